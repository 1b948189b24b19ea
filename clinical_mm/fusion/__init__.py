"""Ways to join the tokens of several modalities, one file each."""
