"""Keys, roles and projects; the guard below all routes."""
