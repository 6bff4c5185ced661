"""Why nothing is released."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.local.processes import StackError


class Refused(StackError):
    """A release cannot be made of this; the text says why and what to do."""


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
