"""How much a task has read from the API server. Pure: a setting of the task that asks.

What a tenant writes decides how large an answer is; whoever reads on behalf of many measures it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Amount:
    """Bytes of answers."""

    of_bytes: int = 0


_AMOUNT: ContextVar[Amount | None] = ContextVar("_AMOUNT", default=None)


@contextmanager
def measured() -> Iterator[Amount]:
    """Measure what is read while the block runs."""
    amount = Amount()
    token = _AMOUNT.set(amount)
    try:
        yield amount
    finally:
        _AMOUNT.reset(token)


def add(of_bytes: int) -> None:
    """So many were read."""
    amount = _AMOUNT.get()
    if amount is not None:
        amount.of_bytes += of_bytes
