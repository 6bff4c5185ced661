"""What writes the files that are generated and kept in the repository: `make generate`. Tests fail while one is stale.

Each file they write is marked `linguist-generated` in .gitattributes.
"""
