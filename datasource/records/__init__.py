"""The content of Secrets and annotations, and what follows from it. Pure."""
