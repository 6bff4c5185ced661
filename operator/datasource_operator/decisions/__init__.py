"""What to do, decided from what was observed. Pure: no I/O, no clock and no randomness of its own."""
