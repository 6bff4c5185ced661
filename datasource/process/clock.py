"""I/O: the time that it is. Whoever decides is given it."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The time, with an offset."""
    return datetime.now(UTC)
