"""How a command can end: the documented exit codes, and the errors that lead to them."""

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of every command."""

    FINE = 0
    NOT_AS_WANTED = 1
    """The cluster answered, and the command or a check failed: no such Datasource, no right, a state that needs a person."""
    USAGE = 2
    UNREACHABLE = 3
    """The cluster could not be asked."""
    TIMED_OUT = 4
    """What was waited for did not come to pass in time; it may still."""
    INTERRUPTED = 130
    """Ctrl-C, as shells count it: 128 and the signal."""


EXIT_CODES = """\
Exit codes: 0 success; 1 a command or check failed; 2 wrong usage; 3 cluster not reachable; 4 timed out; 130 Ctrl-C."""


class Problem(Exception):
    """Why a command cannot go on, and what to do about it."""

    exit = Exit.NOT_AS_WANTED

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


class Misused(Problem):
    """The command was not called as it wants to be."""

    exit = Exit.USAGE


class Unreachable(Problem):
    """kubectl is missing, or could not reach or log in to the cluster."""

    exit = Exit.UNREACHABLE


class Refused(Problem):
    """The API server answered, and said no."""


class NotFound(Refused):
    """There is no such object."""


class Forbidden(Refused):
    """The user has no right to it."""


class NotInstalled(Refused):
    """The API server does not know Datasources."""
