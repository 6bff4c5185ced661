"""The API: what a Datasource says, and the words that users read. Pure."""
