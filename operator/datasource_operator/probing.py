"""I/O: `spec.probe`: a GET below spec.url with the access token, beside the reconcile workers.

At most once a minute for each Datasource.

Redirects are not followed, replies are bounded, and hosts are judged as those of providers are. It changes no state and clears
nothing: what it learns is a condition. A 401 asks for one refresh, and for no other before an hour has passed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import NamedTuple

import structlog

from datasource.api.probe import probe_problem, probe_url
from datasource.api.spec import OAuth2, Spec
from datasource.api.states import ACCEPTED
from datasource.cluster.api_errors import ApiError, Unavailable
from datasource.cluster.clients import ClientMaterialMissing, Clients
from datasource.cluster.credential_secrets import CredentialSecrets
from datasource.oauth2.errors import OAuth2Error, OutcomeUnknown, TooManyLookups
from datasource.outbound.endpoint import UrlProblem, split_url
from datasource.outbound.provider import provider_of
from datasource.outbound.provider_request import SHORT_REPLY, ProviderRequest, UnusableReply
from datasource.providers.transport import Transport
from datasource.records.contents import StoredCredential, contents_in
from datasource.records.credential import CredentialFacts, UnreadableCredential, read_data
from datasource_operator.cache import Key
from datasource_operator.decisions.acceptance import (
    UNAUTHORIZED,
    Acceptance,
    Remedy,
    of_status,
    unanswered,
    unusable,
)
from datasource_operator.decisions.observed import Observed, Probed
from datasource_operator.decisions.predicates import usable_credential
from datasource_operator.fair_pool import FairPool

logger = structlog.get_logger(__name__)

IN_ALL = 32
PER_NAMESPACE = 4
PER_PROVIDER = 4

AT_MOST_EACH = timedelta(minutes=1)
"""For one Datasource, whatever is edited."""

DEADLINE = timedelta(seconds=10)

REFRESH_AT_MOST_EACH = timedelta(hours=1)
"""A service that refuses every token costs a refresh an hour at most; after one that did not help, none."""

UNKNOWN_COUNTS_AFTER = 2
"""Looks in a row: one reply that says nothing is no news."""


class _Asked(NamedTuple):
    """Which token, and where it goes."""

    url: str
    credential_id: str
    revision: int


class _Wanted(NamedTuple):
    asked: _Asked
    oauth2: OAuth2
    pause: timedelta
    has_refresh_token: bool
    was_refused: bool
    """Whether the status says already that a token was refused: then another refresh would not help."""


@dataclass(slots=True)
class _State:
    """What is known of one Datasource."""

    asked: _Asked
    until: float
    acceptance: Acceptance | None = None
    wants_refresh: bool = False
    unknowns: int = 0


@dataclass(slots=True)
class Probing:
    """Probes Datasources that ask for it."""

    transport: Transport
    clients: Clients
    credential_secrets: CredentialSecrets
    look_again: Callable[[Key], None]
    """Told of a Datasource whose probe has ended."""
    allow_insecure_http: bool = False
    monotonic: Callable[[], float] = time.monotonic
    _pool: FairPool = field(init=False)
    _wanted: dict[Key, _Wanted] = field(default_factory=dict)
    _states: dict[Key, _State] = field(default_factory=dict)
    _sent_at: dict[Key, float] = field(default_factory=dict)
    _refreshed_at: dict[Key, float] = field(default_factory=dict)
    """When a refresh was asked for last."""

    def __post_init__(self) -> None:
        self._pool = FairPool(self._run, PER_PROVIDER, IN_ALL, PER_NAMESPACE, "probe")

    def of(self, key: Key, seen: Observed) -> Probed:
        """What is known, at once; where a probe is due it begins, or the Datasource comes again when it may."""
        wanted = _wanted(seen, allow_insecure_http=self.allow_insecure_http)
        if wanted is None:
            self._states.pop(key, None)
            return Probed()
        if isinstance(wanted, UrlProblem):
            return Probed(unusable(wanted))
        state, now = self._states.get(key), self.monotonic()
        if state is None or state.asked != wanted.asked or state.until <= now:
            next_look = self._begin(key, wanted, now)
        else:
            next_look = timedelta(seconds=state.until - now)
        if state is None:
            return Probed(next_look=next_look)
        wants_refresh = state.wants_refresh and state.asked == wanted.asked
        return Probed(state.acceptance, wants_refresh=wants_refresh, next_look=next_look)

    def forget(self, key: Key) -> None:
        """The Datasource is gone."""
        self._pool.forget(key)
        for kept in (self._wanted, self._states, self._sent_at, self._refreshed_at):
            kept.pop(key, None)

    async def stop(self) -> None:
        """End what is under way."""
        self._wanted.clear()
        await self._pool.stop()

    def _begin(self, key: Key, wanted: _Wanted, now: float) -> timedelta | None:
        """Begin a probe; else when it may begin. Whose probe has begun is looked at again when that has ended."""
        sent_at = self._sent_at.get(key)
        left = 0.0 if sent_at is None else sent_at + AT_MOST_EACH.total_seconds() - now
        if left > 0:
            return timedelta(seconds=left)
        self._wanted[key] = wanted
        self._pool.submit(key, provider_of(wanted.asked.url))
        return None

    async def _run(self, key: Key) -> None:
        wanted = self._wanted.pop(key, None)
        if wanted is None:
            return
        try:
            status = await self._status(key, wanted)
        except (ClientMaterialMissing, ApiError, Unavailable, TooManyLookups, UnreadableCredential) as error:
            logger.info("a token was not probed", datasource=str(key), error=str(error))
            status = None
        except OAuth2Error as error:
            status = unanswered(str(error))
        except Exception:
            logger.exception("a probe failed", datasource=str(key))
            status = None
        self._tell(key, wanted, status)

    async def _status(self, key: Key, wanted: _Wanted) -> int | Acceptance | None:
        """The status of the reply; None where nothing was sent, since the credential is another one by now."""
        secret = await self.credential_secrets.whole(*key)
        found = None if secret is None else contents_in(secret.metadata)
        if secret is None or not isinstance(found, StoredCredential) or not _is_that(found.facts, wanted.asked):
            return None
        token = read_data(secret).access_token
        ca_bundle = await self.clients.ca_bundle(key.namespace, wanted.oauth2)
        request = ProviderRequest(
            wanted.asked.url,
            {"Authorization": f"Bearer {token}", "Accept": "*/*"},
            b"",
            method="GET",
            largest_reply=SHORT_REPLY,
            secrets=(token,),
        )
        self._sent_at[key] = self.monotonic()
        try:
            reply = await self.transport.send(request, deadline=DEADLINE, tenant=key.namespace, ca_bundle=ca_bundle)
        except (OutcomeUnknown, UnusableReply) as error:
            # Only the status matters, whatever the body is like.
            if error.received is None:
                return unanswered(str(error))
            reply = error.received
        return reply.status

    def _tell(self, key: Key, wanted: _Wanted, status: int | Acceptance | None) -> None:
        before, now = self._states.get(key), self.monotonic()
        known = (
            _State(wanted.asked, now) if before is None else replace(before, asked=wanted.asked, wants_refresh=False)
        )
        pause = AT_MOST_EACH if status is None else wanted.pause
        if status == UNAUTHORIZED and self._may_refresh(key, wanted, now):
            # Nothing is told yet: the token that comes is probed as soon as it may be.
            self._refreshed_at[key] = now
            known.wants_refresh = True
            pause = AT_MOST_EACH
        elif status is not None:
            self._judge(key, known, wanted, status)
        known.until = now + pause.total_seconds()
        self._states[key] = known
        self.look_again(key)

    def _judge(self, key: Key, known: _State, wanted: _Wanted, status: int | Acceptance) -> None:
        host = _host(wanted.asked.url)
        found = of_status(status, host, self._remedy(key, wanted)) if isinstance(status, int) else status
        known.unknowns = known.unknowns + 1 if found.status == "Unknown" else 0
        if found.status != "Unknown" or known.unknowns >= UNKNOWN_COUNTS_AFTER or known.acceptance is None:
            known.acceptance = found

    def _may_refresh(self, key: Key, wanted: _Wanted, now: float) -> bool:
        last = self._refreshed_at.get(key)
        is_long_ago = last is None or now - last >= REFRESH_AT_MOST_EACH.total_seconds()
        state = self._states.get(key)
        known = None if state is None else state.acceptance
        refused = wanted.was_refused or (known is not None and known.status == "False")
        return wanted.has_refresh_token and is_long_ago and not refused

    def _remedy(self, key: Key, wanted: _Wanted) -> Remedy | None:
        if not wanted.has_refresh_token:
            return Remedy.NO_REFRESH_TOKEN
        return Remedy.REFRESHED if key in self._refreshed_at else None


def _wanted(seen: Observed, *, allow_insecure_http: bool) -> _Wanted | UrlProblem | None:
    """What to send, where the spec asks for a probe and there is a token to send. Nothing is sent to an odd place."""
    spec, credential = seen.spec, usable_credential(seen)
    if not isinstance(spec, Spec) or spec.probe is None or spec.oauth2 is None or spec.suspend or seen.being_deleted:
        return None
    if credential is None:
        return None
    facts, probe = credential.facts, spec.probe
    if facts.expires_at is not None and facts.expires_at <= seen.now:
        return None
    problem = probe_problem(spec.url, probe.path, allow_insecure_http=allow_insecure_http)
    if problem is not None:
        return problem
    stood = seen.status.condition(ACCEPTED)
    return _Wanted(
        _Asked(probe_url(spec.url, probe.path), facts.credential_id, facts.revision),
        spec.oauth2,
        probe.pause,
        facts.has_refresh_token,
        stood is not None and stood.status == "False",
    )


def _is_that(facts: CredentialFacts, asked: _Asked) -> bool:
    return (facts.credential_id, facts.revision) == (asked.credential_id, asked.revision)


def _host(url: str) -> str:
    split = split_url(url)
    return "" if split is None else split.hostname or ""
