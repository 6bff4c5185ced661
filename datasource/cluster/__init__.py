"""I/O: the API server, and what is kept there."""
