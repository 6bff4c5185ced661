"""The local stack: a real control plane and a real identity provider, with no Docker; for the demo, the tests and bench."""
