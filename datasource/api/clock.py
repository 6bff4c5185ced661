"""Times as Kubernetes writes them: RFC 3339, UTC, whole seconds."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import msgspec

Now = Callable[[], datetime]
"""Tells the time, with an offset."""

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time in a record, with an offset: a record without one is unreadable, rather than not comparable with the clock."""


def rfc3339(moment: datetime) -> str:
    """Format an aware moment; fractions of a second are cut off."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def parse_rfc3339(text: str) -> datetime:
    """Parse an RFC 3339 time.

    Raises:
        ValueError: it is none, has no offset, or is beyond all time in UTC.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} is beyond all time in UTC") from None


def micro_time(moment: datetime) -> str:
    """A MicroTime (meta/v1): RFC 3339 in UTC with microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
