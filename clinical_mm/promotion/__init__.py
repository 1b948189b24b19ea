"""Whether a new model may replace the one that serves: both judged on the same untouched cases, by a written policy."""
