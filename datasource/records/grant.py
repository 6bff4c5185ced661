"""When a grant ends, as far as that is known, and how near that end is. Pure.

A refresh token may have three ends. The provider may give an end. An absolute end counts from when a person authorized. An idle
end counts from the last use. An end that the provider gives replaces the idle end, which the spec or the preset only estimates.
The absolute end stays beside it, because no refresh moves it.

No provider says whether a refresh moves the end that it gave. So an end is near when less than a tenth of its lifetime is left,
at most 14 days. A refresh is due after two thirds (`schedule`). So an end that refreshes move is never near while refreshing
works.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

from datasource.records.credential import CredentialFacts

LONGEST_WINDOW = timedelta(days=14)
_WINDOW_SHARE = 0.1

MOVED_BY = timedelta(seconds=30)
"""How much later the end in a reply must be to count as moved. Providers give the rest in whole seconds, and we count it from
the request."""


class GrantEnd(msgspec.Struct, frozen=True):
    """An end of a grant, and the whole lifetime up to that end."""

    at: datetime
    lifetime: timedelta

    @property
    def window(self) -> timedelta:
        """How long before its end a grant is reported as expiring."""
        return min(LONGEST_WINDOW, self.lifetime * _WINDOW_SHARE)


class Nearness(StrEnum):
    """How near the end of a grant is. It is the reason of the condition GrantExpiring, and causes one Event each."""

    SOON = "EndsSoon"
    THREE_DAYS = "EndsWithinThreeDays"
    ONE_DAY = "EndsWithinADay"


_STEPS = {Nearness.ONE_DAY: timedelta(days=1), Nearness.THREE_DAYS: timedelta(days=3)}
"""The nearest first."""


def grant_ends(facts: CredentialFacts, *, lifetime: timedelta | None, idle: timedelta | None) -> tuple[GrantEnd, ...]:
    """The known ends of a grant, the first one first.

    An end before the last refresh is left out: the provider accepted the refresh token after it.

    Args:
        facts: of the credential.
        lifetime: how long a grant lasts after a person authorized, as the spec or the preset says.
        idle: how long it lasts after each refresh.
    """
    if not facts.has_refresh_token or facts.refreshed_at is None:
        return ()
    ends = []
    if facts.grant_expires_at is not None and facts.grant_expires_at > facts.refreshed_at:
        left = facts.grant_expires_at - facts.refreshed_at
        ends.append(GrantEnd(facts.grant_expires_at, facts.grant_lifetime or left))
    elif idle is not None:
        ends.append(GrantEnd(_after(facts.refreshed_at, idle), idle))
    if lifetime is not None and facts.authorized_at is not None:
        ends.append(GrantEnd(_after(facts.authorized_at, lifetime), lifetime))
    return tuple(sorted((end for end in ends if end.at > facts.refreshed_at), key=lambda end: end.at))


def near_end(ends: Iterable[GrantEnd], now: datetime) -> GrantEnd | None:
    """The first end that is near; None: none is. An earlier end that is not near is passed over, because refreshes move it."""
    return next((end for end in ends if nearness(end, now) is not None), None)


def _after(moment: datetime, span: timedelta) -> datetime:
    try:
        return moment + span
    except OverflowError:
        # An annotation was altered.
        return datetime.max.replace(tzinfo=UTC)


def nearness(end: GrantEnd, now: datetime) -> Nearness | None:
    """How near an end is; None: not near enough to report. An end that has passed has the nearest value of its window."""
    left = end.at - now
    if left >= end.window:
        return None
    return next((step for step, size in _STEPS.items() if left < size < end.window), Nearness.SOON)


def next_step_towards(end: GrantEnd, now: datetime) -> datetime | None:
    """When `nearness` changes next if no refresh moves the end; None: never."""
    sizes = (end.window, *(size for size in _STEPS.values() if size < end.window))
    return min((moment for size in sizes if (moment := end.at - size) > now), default=None)


def told_end(before: CredentialFacts, end: datetime | None) -> datetime | None:
    """The end to store after a reply. The stored end stays if the reply has none, or the same one within a few seconds.

    Otherwise the end would change with each refresh, and people would see each change as news.
    """
    stood = before.grant_expires_at
    return stood if end is None or (stood is not None and abs(end - stood) <= MOVED_BY) else end


def told_life(before: CredentialFacts, end: datetime | None, told_at: datetime) -> timedelta | None:
    """The whole lifetime of the grant to store after a reply.

    A reply that repeats the stored end does not change it, because such a reply gives only what is left.

    Args:
        before: the facts from before the reply.
        end: the end in the reply; None: it has none.
        told_at: when the reply came.
    """
    if end is None:
        return before.grant_lifetime
    is_moved = before.grant_expires_at is None or end - MOVED_BY > before.grant_expires_at
    if is_moved or before.grant_lifetime is None:
        return max(end - told_at, timedelta(seconds=1))
    return before.grant_lifetime
