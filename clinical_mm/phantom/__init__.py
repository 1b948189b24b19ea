"""Synthetic cases whose truth is known."""
