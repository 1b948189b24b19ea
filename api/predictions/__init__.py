"""Ask a model about a case."""
