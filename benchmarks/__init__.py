"""Benchmarks: each runs both sides in one run and prints a ratio."""
