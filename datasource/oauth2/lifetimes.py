"""How long tokens and the grant behind them last, by what a reply tells. Pure, and never an exception: the code is spent."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from datasource.oauth2.id_token import IdentityMismatch, unverified_claims
from datasource.oauth2.strict_json import Number

LONGEST_LIFETIME = timedelta(days=3650)
"""A longer expires_in is taken as this: ten years."""

_NUMBER = re.compile(r"\+?[0-9]{1,12}(\.[0-9]{0,20})?")

_ENDS = ("expires_in", "expires_at", "expires_on")
"""Where the moment of the end may stand: Square tells no more, and some write it where the lifetime belongs."""

_ENDS_OF_THE_GRANT = ("refresh_token_expires_at", "refresh_expires_at")

_OF_THE_GRANT = ("refresh_token_expires_in", "refresh_expires_in", "x_refresh_token_expires_in")
"""No standard has it. GitHub and LinkedIn say it so; Keycloak; QuickBooks."""

SHORTEST_HINT, LONGEST_HINT = timedelta(minutes=5), timedelta(hours=24)


def told_lifetime(value: object, now: datetime) -> timedelta | None:
    """What expires_in says; None where it is missing or makes no sense.

    0 and less is what some servers say of a token that lasts for ever, and no token is dead as soon as it is made. What would
    be more than ten years is the moment of the end, as some servers write it, where that is one within ten years.
    """
    if isinstance(value, Number):
        seconds = float(value.text)
    elif isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        seconds = float(value)
    else:
        return None
    if math.isnan(seconds) or seconds <= 0:
        return None
    longest = LONGEST_LIFETIME.total_seconds()
    # In seconds since 1970, or in milliseconds. A token of 60 minutes would be taken for one of ten years, and never refreshed.
    ends = (moment - now.timestamp() for moment in (seconds, seconds / 1000) if seconds > longest)
    return timedelta(seconds=next((left for left in ends if 0 < left <= longest), min(seconds, longest)))


def told_lifetime_in(members: Mapping[str, Any], now: datetime) -> timedelta | None:
    """How long the access token lasts, where a reply tells that."""
    return told_lifetime(members.get("expires_in"), now) or _left(members, _ENDS, now)


def told_grant_lifetime(members: Mapping[str, Any], now: datetime) -> timedelta | None:
    """How long the refresh token lasts, where a reply tells that."""
    told = (told_lifetime(members.get(name), now) for name in _OF_THE_GRANT)
    return next((lifetime for lifetime in told if lifetime is not None), None) or _left(
        members, _ENDS_OF_THE_GRANT, now
    )


def _left(members: Mapping[str, Any], names: Sequence[str], now: datetime) -> timedelta | None:
    """What is left until the first of these moments that lies ahead, and not more than ten years."""
    left = (_until(members.get(name), now) for name in names)
    return next((each for each in left if each is not None and timedelta(0) < each <= LONGEST_LIFETIME), None)


def _until(value: object, now: datetime) -> timedelta | None:
    """From now to a moment: in seconds or milliseconds since 1970, or as ISO 8601 has it, in UTC where it does not say."""
    text = value.text if isinstance(value, Number) else value
    if not isinstance(text, str) or len(text) > _LONGEST_MOMENT:
        return None
    try:
        if not isinstance(value, Number) and not text.strip().isdecimal():
            moment = datetime.fromisoformat(text.strip())
            return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - now
        seconds = float(text)
        return timedelta(seconds=(seconds / 1000 if seconds > _MILLISECONDS else seconds) - now.timestamp())
    except (ValueError, OverflowError):
        return None


_LONGEST_MOMENT = 40
_MILLISECONDS = 1e11
"""So many seconds are the year 5138."""


def expiry_hint(access_token: str, now: datetime) -> datetime | None:
    """When an access token that is a JWT says that it runs out (RFC 9068 section 2.2): nothing to rely on, for it is the API's
    to read. So it is a reason to refresh, within bounds, and no more."""
    try:
        expires = unverified_claims(access_token).get("exp")
    except IdentityMismatch:
        return None
    if isinstance(expires, bool) or not isinstance(expires, int | float) or math.isnan(expires):
        return None
    left = min(max(expires - now.timestamp(), SHORTEST_HINT.total_seconds()), LONGEST_HINT.total_seconds())
    return now + timedelta(seconds=left)
