"""The service around the learning core: HTTP, pages, SQL, jobs, command line."""
