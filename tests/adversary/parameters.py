"""How long, how much of each thing, and from which seed."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.cache import BUILD

LIFETIME = 60
"""Seconds that the victim's tokens live."""

DUE_BY = 40
"""Seconds. A refresh is due at two thirds of the lifetime, or a little earlier."""

LATE_AFTER = 5
"""Seconds beyond that. A late refresh is no dead token yet: there are 15 s left."""

MOST_EXTRA = 180.0
"""Seconds for which a run goes on at most until everything has happened once; on a busy machine a short one may need them."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Read from ADVERSARY_SECONDS and so on; as they are here where a variable is not set."""

    seconds: int = 300
    seed: int = 1
    datasources: int = 50
    """Of the victim; those that its people authorize come on top."""
    people: int = 3
    """Of the victim, who authorize again and again."""
    each: int = 12
    """Datasources of each hostile kind."""
    hosts: int = 80
    """That hang, as token endpoint of one Datasource each; and half as many as revocation endpoint."""
    edits: int = 10
    """A second."""
    junk: int = 300
    """Requests a second to the callback server, at distinct doors."""
    hostile_people: int = 8
    """At one time in the flows of Datasources whose provider is hostile."""
    patience: int = 30
    """Seconds after which a person of the victim gives up; it counts as the time that an authorization took."""
    control: int = 1
    """Whether the same is measured without the hostile tenant, before; 0: not."""
    folder: Path = BUILD

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Parameters":
        """Read them from the environment; what is no number ends the process with the variable and the remedy."""
        names = [name for name in cls.__dataclass_fields__ if name != "folder"]
        numbers = {
            name: _number(environ, key, name) for name in names if (key := f"ADVERSARY_{name.upper()}") in environ
        }
        return cls(folder=Path(environ.get("ADVERSARY_FOLDER", BUILD)), **numbers)

    def told(self) -> dict[str, int]:
        """The numbers, for the report."""
        return {name: int(getattr(self, name)) for name in self.__dataclass_fields__ if name != "folder"}


def _number(environ: Mapping[str, str], key: str, name: str) -> int:
    text = environ[key]
    if not (text.isascii() and text.isdecimal()):
        sys.exit(f"{key} must be a number, such as {getattr(Parameters(), name)}; it is {text!r}.")
    return int(text)
