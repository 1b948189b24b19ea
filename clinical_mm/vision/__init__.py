"""Pictures made ready for networks, the networks that look at them, and weights to start from."""
