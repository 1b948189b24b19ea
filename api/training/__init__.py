"""Snapshots, training runs and the job that makes a model."""
