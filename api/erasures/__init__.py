"""Erase a patient everywhere, and certify it."""
