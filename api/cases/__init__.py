"""Submit, list, change and erase cases; their files and previews."""
