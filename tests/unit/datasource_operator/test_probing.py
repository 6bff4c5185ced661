"""Probes: at most one a minute, to no other host, one refresh for a 401, the token in no text. Services are on loopback."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from datasource.api.names import FIELD_MANAGER
from datasource.api.objects import Condition, Status
from datasource.api.probe import Probe
from datasource.api.spec import Spec
from datasource.api.states import ACCEPTED
from datasource.cluster.api_errors import Unavailable
from datasource.cluster.clients import Clients
from datasource.cluster.credential_secrets import CredentialSecrets
from datasource.cluster.resources import SECRETS
from datasource.outbound.egress import EgressPolicy, rules
from datasource.process.clock import utc_now
from datasource.providers.transport import Transport
from datasource_operator.cache import Key
from datasource_operator.decisions.findings import finding_of
from datasource_operator.decisions.observed import Observed, Probed
from datasource_operator.decisions.steps import Settle
from datasource_operator.decisions.timing import comeback, refresh_is_wanted
from datasource_operator.probing import AT_MOST_EACH, PER_NAMESPACE, Probing
from tests.support.builders import NAME, NAMESPACE, NOW, UID, credential, observed, spec, tombstone
from tests.support.hostile_provider import (
    Behaviour,
    HostileProvider,
    ReceivedRequest,
    cuts_in_the_body,
    endless_body,
    gzip_bomb,
    redirects,
    replies,
    stays_silent,
)
from tests.support.kube_in_memory import KubeInMemory
from tests.unit.datasource_operator.stand_ins import Clock
from tests.unit.datasource_operator.world import _credential_secret, credential_data

KEY = Key(NAMESPACE, NAME)
TOKEN = "at-very-secret"
LOCAL = EgressPolicy(allowed=rules(["127.0.0.0/8"]))
MINUTE = timedelta(minutes=1)


def probing_at(url: str, path: str = "/me", interval: str = "1m", **changes: Any) -> Spec:
    return msgspec.structs.replace(spec(), url=url, probe=Probe(path, interval), **changes)


class Bench:
    """A Datasource with a credential, its probes, and a clock."""

    def __init__(self, transport: Transport) -> None:
        self.clock, self.kube, self.again = Clock(), KubeInMemory(), list[Key]()
        secrets = CredentialSecrets(self.kube, FIELD_MANAGER, may_list=True)
        clients = Clients(self.kube, require_allowed_hosts=False, now=utc_now)
        self.probing = Probing(transport, clients, secrets, self.again.append, monotonic=self.clock)
        self.facts: dict[str, Any] = {}
        self.stores(revision=1)

    def stores(self, **facts: Any) -> None:
        """A credential with these facts."""
        self.facts = facts
        stored = credential(**facts)
        manifest = _credential_secret(stored, credential_data(stored.facts.fingerprint, TOKEN))
        self.kube.put(SECRETS, NAMESPACE, f"{NAME}-oauth2-credential", **manifest)

    def seen(self, wanted: Spec, **changes: Any) -> Observed:
        return observed(credential(**self.facts), wanted=wanted, **changes)

    async def probe(self, wanted: Spec, **changes: Any) -> Probed:
        """Ask, wait until nothing is under way, ask again."""
        self.probing.of(KEY, self.seen(wanted, **changes))
        async with asyncio.timeout(30):
            while self.probing._pool.running:  # noqa: ASYNC110 - what ends is a task of theirs
                await asyncio.sleep(0.001)
        return self.probing.of(KEY, self.seen(wanted, **changes))


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    async with Transport(LOCAL) as transport:
        one = Bench(transport)
        yield one
        await one.probing.stop()


def verdict(probed: Probed) -> str | None:
    return None if probed.acceptance is None else probed.acceptance.status


async def test_the_token_is_sent_below_the_url_and_an_answer_is_a_verdict() -> None:
    async with bench() as one, HostileProvider(replies(200)) as service:
        found = await one.probe(probing_at(f"{service.origin}/rest/"))
        assert verdict(found) == "True"
        (request,) = service.requests
        assert (request.method, request.target, request.body) == ("GET", "/rest/me", b"")
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        assert one.again == [KEY]


async def test_a_minute_lies_between_two_probes_whatever_is_edited() -> None:
    async with bench() as one, HostileProvider(replies(200)) as service:
        for number in range(20):
            found = await one.probe(probing_at(service.origin, f"/{number}"))
            one.clock.advance(timedelta(seconds=1))
        assert len(service.requests) == 1
        assert found.next_look is not None
        assert timedelta(seconds=39) < found.next_look <= AT_MOST_EACH
        one.clock.advance(MINUTE)
        await one.probe(probing_at(service.origin, "/last"))
        assert [each.target for each in service.requests] == ["/0", "/last"]


async def test_a_probe_comes_again_when_its_interval_has_passed() -> None:
    async with bench() as one, HostileProvider(replies(200)) as service:
        wanted = probing_at(service.origin, interval="5m")
        found = await one.probe(wanted)
        assert found.next_look == timedelta(minutes=5)
        seen = replace(one.seen(wanted), probed=found)
        assert comeback(seen, Settle(finding_of(seen), None)).wake_after == timedelta(minutes=5)
        one.clock.advance(timedelta(minutes=4))
        await one.probe(wanted)
        assert len(service.requests) == 1
        one.clock.advance(MINUTE)
        await one.probe(wanted)
        assert len(service.requests) == 2


async def test_a_service_that_refuses_every_token_costs_one_refresh_and_no_more() -> None:
    asked = 0
    async with bench() as one, HostileProvider(replies(401)) as service:
        wanted = probing_at(service.origin)
        for _ in range(120):
            found = await one.probe(wanted)
            if found.wants_refresh:
                asked += 1
                assert verdict(found) is None, "a refresh is asked for first"
                assert refresh_is_wanted(replace(one.seen(wanted), probed=found))
                one.stores(revision=one.facts["revision"] + 1)
            one.clock.advance(MINUTE)
        assert asked == 1
        assert verdict(found) == "False"
        assert found.acceptance is not None
        assert "refreshed for that, and is refused again" in found.acceptance.message


async def test_a_refresh_that_helps_is_asked_for_again_after_an_hour_at_the_earliest() -> None:
    answers: list[int] = []

    async def behave(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        await replies(answers[-1])(request, writer)

    async with bench() as one, HostileProvider(behave) as service:
        wanted, asked = probing_at(service.origin), 0
        for number in range(150):
            answers.append(401 if number % 2 == 0 else 200)
            found = await one.probe(wanted)
            if found.wants_refresh:
                asked += 1
                one.stores(revision=one.facts["revision"] + 1)
            one.clock.advance(MINUTE)
        assert 1 <= asked <= 3


async def test_a_new_process_asks_for_no_refresh_where_one_did_not_help() -> None:
    stood = Condition(ACCEPTED, "False", "TokenRefused", "m", "2026-07-01T11:00:00Z", 1)
    async with bench() as one, HostileProvider(replies(401)) as service:
        found = await one.probe(probing_at(service.origin), status=Status(conditions=(stood,)))
        assert (found.wants_refresh, verdict(found)) == (False, "False")


async def test_without_a_refresh_token_a_401_is_told_at_once() -> None:
    async with bench() as one, HostileProvider(replies(401)) as service:
        one.stores(has_refresh_token=False)
        found = await one.probe(probing_at(service.origin))
        assert (found.wants_refresh, verdict(found)) == (False, "False")
        assert found.acceptance is not None
        assert "no refresh token" in found.acceptance.message


async def test_no_redirect_is_followed_with_the_token() -> None:
    async with bench() as one, HostileProvider(replies(200)) as elsewhere:
        async with HostileProvider(redirects(elsewhere.url)) as service:
            found = await one.probe(probing_at(service.origin))
        assert found.acceptance is not None
        assert (found.acceptance.status, found.acceptance.reason) == ("Unknown", "Redirected")
        assert elsewhere.connections == 0


@pytest.mark.parametrize(
    ("behave", "status"),
    [
        pytest.param(endless_body(), "True", id="200 without an end"),
        pytest.param(endless_body(status=401), None, id="401 without an end"),
        pytest.param(replies(200, b"\x8b\x00\x80", headers=("Content-Encoding: br",)), "True", id="200 in brotli"),
        pytest.param(replies(401, b"\x8b\x00\x80", headers=("Content-Encoding: br",)), None, id="401 in brotli"),
        pytest.param(cuts_in_the_body(), "True", id="200 that is cut"),
        pytest.param(gzip_bomb(), "True", id="a gzip bomb"),
    ],
)
async def test_a_body_that_cannot_be_read_does_not_matter_and_its_status_counts(
    behave: Behaviour, status: str | None
) -> None:
    async with bench() as one, HostileProvider(behave) as service:
        found = await one.probe(probing_at(service.origin))
        assert verdict(found) == status
        assert found.wants_refresh is (status is None)


async def test_one_answer_that_says_nothing_changes_nothing_and_two_do() -> None:
    answers = [200, 503, 503]

    async def behave(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        await replies(answers.pop(0))(request, writer)

    async with bench() as one, HostileProvider(behave) as service:
        verdicts = []
        for _ in range(3):
            verdicts.append(verdict(await one.probe(probing_at(service.origin))))
            one.clock.advance(MINUTE)
        assert verdicts == ["True", "True", "Unknown"]


async def test_hosts_are_judged_where_they_are_connected_to() -> None:
    """DNS rebinding: a name that was fine leads inward when the token is about to be sent."""

    async def inward(_: str, __: int) -> tuple[str, ...]:
        return ("10.0.0.1",)

    async with Transport(EgressPolicy(), resolve=inward) as strict:
        one = Bench(strict)
        found = await one.probe(probing_at("https://api.example.com"))
        assert verdict(found) == "Unknown"
        assert found.acceptance is not None
        assert "a private network" in found.acceptance.message
        assert "10.0.0.1" not in found.acceptance.message


@pytest.mark.parametrize(
    "path", ["/../admin", "//evil.example.com", "/a\\b", "/a\r\nX: y", "@evil.example.com/", "/%2e%2e/x"]
)
async def test_to_an_odd_place_nothing_is_sent(path: str) -> None:
    async with bench() as one, HostileProvider(replies(200)) as service:
        found = await one.probe(probing_at(service.origin, path))
        assert found.acceptance is not None
        assert (found.acceptance.status, found.acceptance.reason) == ("Unknown", "InvalidProbe")
        assert service.connections == 0


async def test_services_that_hang_take_the_places_of_one_namespace() -> None:
    async with bench() as one, HostileProvider(stays_silent(), address="127.0.0.2") as hangs:
        for number in range(20):
            key = Key("attacker", f"d-{number}")
            stored = credential()
            manifest = _credential_secret(stored, credential_data(stored.facts.fingerprint, TOKEN))
            manifest["metadata"]["annotations"]["datasource.dev/datasource"] = key.name
            one.kube.put(SECRETS, "attacker", f"{key.name}-oauth2-credential", **manifest)
            one.probing.of(key, one.seen(probing_at(hangs.origin)))
        await asyncio.sleep(0)
        assert one.probing._pool.running == PER_NAMESPACE
        async with HostileProvider(replies(200)) as service:
            one.probing.of(KEY, one.seen(probing_at(service.origin)))
            async with asyncio.timeout(20):
                while KEY not in one.again:  # noqa: ASYNC110 - what ends is a task of theirs
                    await asyncio.sleep(0.001)
        assert one.probing._pool.running == PER_NAMESPACE


async def test_a_credential_that_changed_meanwhile_is_not_sent() -> None:
    async with bench() as one, HostileProvider(replies(200)) as service:
        one.stores(revision=2)
        one.facts = {"revision": 1}
        found = await one.probe(probing_at(service.origin))
        assert (verdict(found), service.connections) == (None, 0)


@pytest.mark.parametrize("failure", [Unavailable("no API server"), RuntimeError("a bug")])
async def test_where_the_token_cannot_be_read_nothing_is_told(failure: Exception) -> None:
    async with bench() as one, HostileProvider(replies(200)) as service:
        one.kube.failure = failure
        found = await one.probe(probing_at(service.origin))
        assert (verdict(found), service.connections) == (None, 0)
        assert found.next_look == AT_MOST_EACH


async def test_nothing_is_sent_where_nobody_asked_or_there_is_no_token_in_use() -> None:
    async with bench() as one, HostileProvider(replies(200)) as service:
        asks = probing_at(service.origin)
        for seen in (
            one.seen(spec()),
            observed(tombstone(), wanted=asks),
            one.seen(msgspec.structs.replace(asks, suspend=True)),
            one.seen(asks, being_deleted=True),
            observed(credential(expires_at=NOW - MINUTE), wanted=asks),
            observed(credential(fingerprint="of another"), wanted=asks),
        ):
            assert one.probing.of(KEY, seen) == Probed()
        assert one.probing._pool.running == 0


async def test_the_token_stands_in_no_text(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async def repeats(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        said = f"HTTP/1.1 500 {TOKEN}\r\nX-Token: {TOKEN}\r\nContent-Length: {len(TOKEN)}\r\n\r\n{TOKEN}"
        writer.write(said.encode())

    with caplog.at_level(logging.INFO):
        async with bench() as one, HostileProvider(repeats) as service:
            found = await one.probe(probing_at(service.origin))
            assert found.acceptance is not None
            told = repr(found) + repr(one.probing) + caplog.text + "".join(capsys.readouterr())
            assert TOKEN not in told


async def test_nothing_is_kept_of_a_datasource_that_is_gone() -> None:
    async with bench() as one, HostileProvider(replies(401)) as service:
        await one.probe(probing_at(service.origin))
        one.probing.forget(KEY)
        assert (one.probing._states, one.probing._sent_at, one.probing._refreshed_at) == ({}, {}, {})
        assert UID
