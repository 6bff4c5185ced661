"""Why nothing is released."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from deploy.local.processes import StackError


class Refused(StackError):
    """A release cannot be made of this; the text says why and what to do."""


def named(things: Sequence[str], one: str, many: str) -> str:
    """How many things there are, and the name of the first.

    >>> named(["a.py"], "file differs", "files differ")
    '1 file differs: a.py'
    >>> named(["a.py", "b.py"], "file differs", "files differ")
    '2 files differ, a.py among them'
    """
    if len(things) == 1:
        return f"1 {one}: {things[0]}"
    return f"{len(things)} {many}, {things[0]} among them"


@contextmanager
def refusals() -> Iterator[None]:
    """End the process with one sentence where a release is refused, or where this machine refuses a file."""
    try:
        yield
    except StackError as error:
        sys.exit(str(error))
    except OSError as error:
        if error.filename is None:
            raise
        sys.exit(f"{error.filename}: {error.strerror}. Nothing was released.")
