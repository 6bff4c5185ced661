"""What the hostile tenant's Datasources are led to; the first part of a path at its provider."""

from enum import StrEnum, auto

HOSTILE = ".hostile.example"
SILENT = ".silent.example"
"""Endings of names."""


class Target(StrEnum):
    """One for each kind of Datasource."""

    BOMBS = auto()
    """Tokens of 60 kB, again every few seconds, for a template that names them as often as it may."""
    ISSUERS = auto()
    """The issuer never answers."""
    SILENT = auto()
    """The name server never answers."""
    HANGS = auto()
    """The token endpoint never answers; a host of its own for each Datasource."""
    REVOCATIONS = auto()
    """Nor does the revocation endpoint."""
    BYTES = auto()
    """Replies in chunks of one byte."""
    EARLY = auto()
    """`103 Early Hints` without end."""
    NUMBERS = auto()
    """1 MiB of JSON numbers."""
    HEADERS = auto()
    """Header lines without end."""
    DEEP = auto()
    """JSON that nests 100,000 times."""
    GZIP = auto()
    """50 MiB in 50 kB."""
    DRIPS = auto()
    """One byte a second."""
    HALVES = auto()
    """A head, and never a body."""
    ERRORS = auto()
    """An error of 40 kB with control characters."""
    KEYS = auto()
    """A set of 1,024 keys of 4,096 bits."""


ONE_HOST_EACH = frozenset({Target.SILENT, Target.HANGS, Target.REVOCATIONS, Target.ISSUERS})
"""A host and a domain of its own for each Datasource; the others share one."""


def host_of(target: Target, number: int) -> str:
    """The host that the `number`-th Datasource of a kind names."""
    ending = SILENT if target is Target.SILENT else HOSTILE
    return f"n{number}.d{number}.{target}{ending}" if target in ONE_HOST_EACH else f"{target}{ending}"
