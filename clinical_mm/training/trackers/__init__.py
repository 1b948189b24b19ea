"""Where what a training tells of itself is kept beside its bundle; one file a place."""
