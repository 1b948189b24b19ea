"""A challenger that answers every live case in silence, so that it can be judged before anyone relies on it."""
