"""When a grant ends, as far as anybody tells, and how near that is. Pure.

Three things may end a refresh token: what the provider told of it, an absolute end (so long after a person authorized), and
an idle end (so long after it was last used). What is told replaces the idle end, which is a guess of somebody's; the absolute
end stands beside it, for no refresh moves that one.

Nobody says whether a refresh moves an end that was told. So an end is near when less than a tenth of its life is left, at most
14 days: a refresh is due after two thirds (`schedule`), so an end that refreshing moves is never near while refreshing works.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

from datasource.records.credential import CredentialFacts

LONGEST_WINDOW = timedelta(days=14)
_WINDOW_SHARE = 0.1

MOVED_BY = timedelta(seconds=30)
"""By how much a reply must tell a later end for that end to be one that refreshing moves: what is left is told in whole
seconds, and counted from when we asked."""


class GrantEnd(msgspec.Struct, frozen=True):
    """An end, and how long the grant had lasted by then from where the end counts."""

    at: datetime
    lifetime: timedelta

    @property
    def window(self) -> timedelta:
        """How long before its end a grant is told as expiring."""
        return min(LONGEST_WINDOW, self.lifetime * _WINDOW_SHARE)


class Nearness(StrEnum):
    """How near the end of a grant is; the reason of the condition GrantExpiring, and one Event each."""

    SOON = "EndsSoon"
    THREE_DAYS = "EndsWithinThreeDays"
    ONE_DAY = "EndsWithinADay"


_STEPS = {Nearness.ONE_DAY: timedelta(days=1), Nearness.THREE_DAYS: timedelta(days=3)}
"""The nearest first."""


def grant_ends(facts: CredentialFacts, *, lifetime: timedelta | None, idle: timedelta | None) -> tuple[GrantEnd, ...]:
    """The ends of the grant that are known, the first one first.

    An end before the last refresh was none: the provider took the refresh token after it.

    Args:
        facts: of the credential.
        lifetime: how long a grant lasts from when a person authorized, as the spec or the preset says.
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
    """The first end that is near. Before it may come one that is not: refreshes move that, and would hide the other."""
    return next((end for end in ends if nearness(end, now) is not None), None)


def _after(moment: datetime, span: timedelta) -> datetime:
    try:
        return moment + span
    except OverflowError:
        # Somebody altered an annotation.
        return datetime.max.replace(tzinfo=UTC)


def nearness(end: GrantEnd, now: datetime) -> Nearness | None:
    """How near an end is; None: not near enough to be told. One that has come is as near as it gets."""
    left = end.at - now
    if left >= end.window:
        return None
    return next((step for step, size in _STEPS.items() if left < size < end.window), Nearness.SOON)


def next_step_towards(end: GrantEnd, now: datetime) -> datetime | None:
    """When time alone brings the end nearer in the sense of `nearness`; None: no more."""
    sizes = (end.window, *(size for size in _STEPS.values() if size < end.window))
    return min((moment for size in sizes if (moment := end.at - size) > now), default=None)


def told_end(before: CredentialFacts, end: datetime | None) -> datetime | None:
    """The end that replies tell: the one that stood where a reply tells none, or the same one in another second.

    Else it would change with each refresh, and each would be news to people.
    """
    stood = before.grant_expires_at
    return stood if end is None or (stood is not None and abs(end - stood) <= MOVED_BY) else end


def told_life(before: CredentialFacts, end: datetime | None, told_at: datetime) -> timedelta | None:
    """How long the grant lasts in whole, by what replies told: a reply that tells the same end anew leaves less of it.

    Args:
        before: the facts that the reply follows.
        end: what the reply told; None: nothing.
        told_at: when it was asked for.
    """
    if end is None:
        return before.grant_lifetime
    is_moved = before.grant_expires_at is None or end - MOVED_BY > before.grant_expires_at
    if is_moved or before.grant_lifetime is None:
        return max(end - told_at, timedelta(seconds=1))
    return before.grant_lifetime
