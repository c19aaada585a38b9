"""Words and decisions: pure functions from a request and what the disk holds to a plan."""
