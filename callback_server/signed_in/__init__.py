"""People who sign in: who they are, what they may do, and their pages. Used only where sign-in is on."""
