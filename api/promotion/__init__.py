"""Whether a new model may replace the one that serves: compared, decided by a policy, and what a person makes of it."""
