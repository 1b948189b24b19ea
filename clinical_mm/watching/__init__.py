"""Whether the cases that come are still like those that taught."""
