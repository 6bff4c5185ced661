"""What `make release` writes into dist/: everything that a release publishes. Nothing is uploaded; docs/release.md has the way.

The same commit and the same values give the same bytes: dates are the commit's, files stand in order, and the same content has
the same signature.
"""
