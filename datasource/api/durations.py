"""Durations as Go writes them (time.ParseDuration), as far as a Datasource may use them. Pure."""

import re
from datetime import timedelta
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal

_DURATION = re.compile(r"([0-9]+(\.[0-9]+)?[smh])+")
_DURATION_PART = re.compile(r"([0-9.]+)([smh])")
_MICROSECONDS = {"s": Decimal(1_000_000), "m": Decimal(60_000_000), "h": Decimal(3_600_000_000)}

# Of what a Datasource may say, at most 32 characters, no digit is lost. No number is too large: it becomes infinite.
_EXACT = Context(prec=64, rounding=ROUND_HALF_EVEN, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[])
_LONGEST = Decimal(2**63 - 1).scaleb(-3)
"""What Go can hold, 292 years: it counts nanoseconds in 64 bits. The API server refuses more."""


def parse_duration(text: str | None) -> timedelta | None:
    """Read a duration as Go writes it; None where it is none. One that Go cannot hold counts as the longest that it can."""
    if text is None or not _DURATION.fullmatch(text):
        return None
    whole = Decimal(0)
    for number, unit in _DURATION_PART.findall(text):
        whole = _EXACT.fma(Decimal(number), _MICROSECONDS[unit], whole)
    return timedelta(microseconds=int(_EXACT.to_integral_value(min(whole, _LONGEST))))
