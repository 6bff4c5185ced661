"""Waiting for what other processes do: up to a bound, after which the text says what was there instead."""

import time
from collections.abc import Callable

PATIENCE = 30.0
"""Seconds until a wait gives up: a bound against hanging, not a measure of anything."""


class GaveUp(AssertionError):
    """What was waited for did not happen; the text says what was there instead."""


def eventually(
    what: str, is_so: Callable[[], object], seen: Callable[[], object] = lambda: "", *, seconds: float = PATIENCE
) -> None:
    """Wait until `is_so()` is true."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise GaveUp(f"{what}: not within {seconds:.0f} s. There is: {seen()}")
        time.sleep(0.1)
