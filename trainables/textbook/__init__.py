"""Tasks of the textbook, small ones over the shared parts."""
