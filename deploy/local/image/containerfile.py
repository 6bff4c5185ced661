"""What a Containerfile says about itself: the base that it begins with, when it was made, who it runs as."""

import re
from dataclasses import dataclass

from deploy.local.processes import StackError


@dataclass(frozen=True)
class Said:
    """`epoch` is in seconds since 1970."""

    base: str
    base_tag: str
    epoch: int


def said_in(containerfile: str) -> Said:
    """The defaults of BASE and SOURCE_DATE_EPOCH.

    Raises:
        StackError: one of them is not there.

    >>> said_in("ARG BASE=python:3-slim\\nARG SOURCE_DATE_EPOCH=7\\nFROM ${BASE}")
    Said(base='python', base_tag='3-slim', epoch=7)
    """
    base, _, tag = _default(containerfile, "BASE").partition(":")
    return Said(base, tag, int(_default(containerfile, "SOURCE_DATE_EPOCH")))


def _default(containerfile: str, name: str) -> str:
    found = re.search(rf"^ARG {name}=(\S+)$", containerfile, flags=re.MULTILINE)
    if found is None:
        raise StackError(
            f"The Containerfile has no line ARG {name}=..., with the value that is used where none is given."
        )
    return found.group(1)
