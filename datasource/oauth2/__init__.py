"""Pure: a strict OAuth 2.0 client for a program that nobody watches: request builders and reply parsers."""
