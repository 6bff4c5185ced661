"""The linter of words: `make lint`. docs/glossary.md says which words and sentences; this holds what people read to it."""
