"""Backups: everything that is stored in one file, and back again into an empty place."""
