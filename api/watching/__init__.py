"""Whether the cases that come are still like those that taught, and whether reviewers agree with the model."""
