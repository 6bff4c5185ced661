"""Process 1: watches Datasources and the metadata of their Secrets, and keeps states, token Secrets and tokens true."""
