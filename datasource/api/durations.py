"""Durations as Go writes them (time.ParseDuration), as far as a Datasource may use them. Pure."""

import re
from datetime import timedelta

_DURATION = re.compile(r"([0-9]{1,9}(\.[0-9]{1,9})?[smh])+")
_DURATION_PART = re.compile(r"([0-9.]+)([smh])")
_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1)}


def parse_duration(text: str | None) -> timedelta | None:
    """Read a duration as Go writes it; None where it is none."""
    if text is None or not _DURATION.fullmatch(text):
        return None
    parts = _DURATION_PART.findall(text)
    return sum((float(number) * _UNITS[unit] for number, unit in parts), start=timedelta(0))
