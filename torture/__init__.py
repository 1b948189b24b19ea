"""Ordeals: what the service must survive, each by a script that anyone can run."""
