"""What stands in Secrets and annotations, and what follows from it. Pure."""
