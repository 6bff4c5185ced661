"""How far random tests walk: a short way at each `make check`, the long one at `make test`."""

import os

from hypothesis import settings

IS_LONG = os.environ.get("UNIT_WALKS") == "long"


def walks(short: int, long: int) -> settings:
    """Settings with so many examples.

    No deadline: a busy machine is no failure. No database: it would leave a folder where the tests were started.
    """
    examples = long if IS_LONG else short
    return settings(max_examples=examples, deadline=None, database=None, print_blob=True)
