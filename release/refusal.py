"""Why nothing is released."""

from deploy.local.processes import StackError


class Refused(StackError):
    """A release cannot be made of this; the text says why and what to do."""
