"""Who may do something when: pauses and places. Pure."""
