"""I/O: requests to OAuth2 providers."""
