"""From labelled cases to a trained bundle."""
