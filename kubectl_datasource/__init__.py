"""`kubectl datasource`: a kubectl plugin for people who work with Datasources.

It talks to the cluster through the user's own kubectl, so every context, login method and proxy works as it does there. What
decides is pure; modules whose docstring begins with *I/O* are not. Whatever takes long to import is imported where it is used:
a command answers as fast as kubectl does.
"""
