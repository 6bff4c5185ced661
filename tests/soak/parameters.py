"""How long, how many, and from which seed."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

TOKEN_LIFETIME = timedelta(seconds=90)

LONGEST_OUTAGE = TOKEN_LIFETIME / 4
"""For how long the provider may be away: a refresh is begun when a third of the lifetime is left."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Read from SOAK_SECONDS and so on; as they are here where a variable is not set."""

    seconds: int = 3600
    datasources: int = 500
    seed: int = 1
    tries: int = 60
    """Tokens that apps try at the provider in a second, all of them in turn."""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Parameters":
        """Read them from the environment; what is no number ends the process with the variable and the remedy."""
        return cls(
            **{name: _number(environ, key, name) for name in cls.__dataclass_fields__ if (key := _key(name)) in environ}
        )


def _key(name: str) -> str:
    return f"SOAK_{name.upper()}"


def _number(environ: Mapping[str, str], key: str, name: str) -> int:
    text = environ[key]
    if not (text.isascii() and text.isdecimal()):
        sys.exit(f"{key} must be a number, such as {getattr(Parameters(), name)}; it is {text!r}.")
    return int(text)
