"""A reviewer's word, and the labels that follow from it."""
