"""Many cases in one request: submitted or predicted line by line, as a durable job."""
