"""How long a request to the API server is waited for. Pure: a setting of the task that asks.

Who works for nobody in particular waits as long as it takes. A person before a white page goes away: for a page, silence is
told after a few seconds. What must not be given up halfway (a code is spent) is waited for again as long as it takes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one request may take."""

    in_all: timedelta
    of_silence: timedelta
    """The same where the API server answers nobody meanwhile: then it does not only have a lot to do, it hangs."""


FOR_WORK = Patience(timedelta(seconds=20), timedelta(seconds=20))

FOR_A_PAGE = Patience(timedelta(seconds=10), timedelta(seconds=4))

PATIENCE: ContextVar[Patience] = ContextVar("PATIENCE", default=FOR_WORK)
"""That of the task which asks."""


@contextmanager
def waiting(patience: Patience) -> Iterator[None]:
    """Wait that long for the API server while the block runs."""
    before = PATIENCE.set(patience)
    try:
        yield
    finally:
        PATIENCE.reset(before)
