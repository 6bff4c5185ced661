"""When a credential is due for its refresh. Pure: the clock is an argument, and the jitter is computed from the credential."""

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta

from datasource.records.credential import CredentialFacts
from datasource.records.grant import GrantEnd

SHORTEST_PAUSE = timedelta(seconds=5)
"""The shortest time between two refreshes, however short the lifetime of the access token is."""

LONGEST_FLOOR = timedelta(minutes=1)
"""The shortest pause grows up to this where access tokens live shorter than that pause: no refresh keeps up with them."""

KUBELET_DELAY = timedelta(minutes=2)
"""How long kubelet may take to bring a changed Secret into pods. This much of the lifetime is left, where the lifetime allows
it."""

LARGEST_JITTER = timedelta(hours=1)
_JITTER_SHARE = 0.1
_LIFETIME_SHARE = 2 / 3
_EARLIEST_SHARE = 1 / 3


SHORTEST_GRANT_PAUSE = timedelta(minutes=1)
"""The shortest time between two refreshes because of the grant's end. Perhaps no refresh moves that end."""


def refresh_due(
    facts: CredentialFacts,
    *,
    refresh_before: timedelta | None,
    first_seen: datetime,
    default_lifetime: timedelta | None = None,
    grant: GrantEnd | None = None,
) -> datetime | None:
    """When to refresh; None: never. At two thirds of the lifetime or `refresh_before` its end, and earlier by a jitter.

    The lifetime is that of the access token. If the provider gave none, it is that in the spec, else that in the token itself.
    A grant that ends sooner is refreshed at two thirds of its own lifetime.

    Args:
        facts: of the credential. `expires_at` and `refreshed_at` are by the clock of the process that stored them.
        refresh_before: from the spec. A refresh is never due before a third of the lifetime.
        default_lifetime: the lifetime in the spec, for tokens whose lifetime the provider does not give.
        grant: the end of the grant, as far as it is known.
        first_seen: when this process first saw this revision, by its own clock. The token is at least as old. So a clock that
            was ahead where it was stored makes no refresh late.
    """
    age = age_when_due(facts, refresh_before=refresh_before, default_lifetime=default_lifetime, grant=grant)
    return None if age is None else age_begins(facts, first_seen) + age


def age_begins(facts: CredentialFacts, first_seen: datetime) -> datetime:
    """The time that `age_when_due` counts from."""
    return first_seen if facts.refreshed_at is None else min(facts.refreshed_at, first_seen)


def age_when_due(
    facts: CredentialFacts,
    *,
    refresh_before: timedelta | None,
    default_lifetime: timedelta | None = None,
    grant: GrantEnd | None = None,
) -> timedelta | None:
    """How old a revision is when its refresh is due; None: it never is. The arguments are those of `refresh_due`."""
    if facts.is_unproven:
        return timedelta(0)
    if facts.refreshed_at is None or not facts.has_refresh_token:
        return None
    ages = [
        *_by_the_access_token(facts, refresh_before, default_lifetime),
        *_by_the_grant(facts, grant),
        *_to_be_proved(facts),
    ]
    return min(ages, default=None)


def _by_the_access_token(
    facts: CredentialFacts, refresh_before: timedelta | None, default_lifetime: timedelta | None
) -> Iterator[timedelta]:
    lifetime = _lifetime(facts, facts.expires_at)
    if lifetime is None:
        lifetime = _lifetime(facts, facts.expiry_hint) if default_lifetime is None else default_lifetime
    if lifetime is not None:
        age = _age_by_lifetime(lifetime, refresh_before) - _jitter(facts, lifetime)
        yield max(age, lifetime * _EARLIEST_SHARE, _floor(facts, lifetime))


def _by_the_grant(facts: CredentialFacts, grant: GrantEnd | None) -> Iterator[timedelta]:
    lifetime = None if grant is None else _lifetime(facts, grant.at)
    if lifetime is not None:
        age: timedelta = lifetime * _LIFETIME_SHARE
        yield max(age - _jitter(facts, lifetime), SHORTEST_GRANT_PAUSE)


def _to_be_proved(facts: CredentialFacts) -> Iterator[timedelta]:
    """A hint that is equal to `refreshed_at` means: refresh at once, because it is not known whether the grant still works."""
    if facts.expires_at is not None and facts.expiry_hint is not None and facts.expiry_hint == facts.refreshed_at:
        yield SHORTEST_PAUSE


def _lifetime(facts: CredentialFacts, end: datetime | None) -> timedelta | None:
    if end is None or facts.refreshed_at is None:
        return None
    return max(end - facts.refreshed_at, timedelta(0))


def _floor(facts: CredentialFacts, lifetime: timedelta) -> timedelta:
    """The shortest pause. It doubles with each refresh if the tokens expire before the next one (`expires_in` of 0 or 1)."""
    if lifetime >= SHORTEST_PAUSE:
        return SHORTEST_PAUSE
    doublings = min(max(facts.revision - 1, 0), 4)
    return min(SHORTEST_PAUSE * (1 << doublings), LONGEST_FLOOR)


def _age_by_lifetime(lifetime: timedelta, refresh_before: timedelta | None) -> timedelta:
    if refresh_before is not None:
        return lifetime - refresh_before
    at_two_thirds: timedelta = lifetime * _LIFETIME_SHARE
    return min(at_two_thirds, lifetime - KUBELET_DELAY) if lifetime > 2 * KUBELET_DELAY else at_two_thirds


def _jitter(facts: CredentialFacts, lifetime: timedelta) -> timedelta:
    """The same for each call with one revision, and another for each revision. Tokens issued together are not due together."""
    digest = hashlib.sha256(f"{facts.credential_id}/{facts.revision}".encode()).digest()
    share = int.from_bytes(digest[:4]) / 2**32
    return min(lifetime * _JITTER_SHARE, LARGEST_JITTER) * share
