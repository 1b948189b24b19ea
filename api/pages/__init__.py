"""The review pages, over the same services as the REST API."""
