"""What every room stands on: the database, blobs, jobs, the clock, ids. The only place that knows drivers and paths."""
