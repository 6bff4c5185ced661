"""People who sign in: who they are, what they may do, and their pages. Nothing of it is there where nobody is to sign in."""
