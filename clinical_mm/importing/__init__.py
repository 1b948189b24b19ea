"""Public data sets and folders -> Case."""
