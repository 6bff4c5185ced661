"""Which addresses of a name are tried, and which connection is kept."""

import asyncio
from collections.abc import Sequence

import httpcore
import pytest

from datasource.oauth2.errors import NotDelivered
from datasource.outbound.egress import EgressPolicy, rules
from datasource.providers.connecting import CheckedBackend, connect_to_first
from datasource.providers.resolver import Lookups
from datasource.providers.transport import Transport
from tests.support.hostile_provider import (
    LOOPBACK,
    ON_LOOPBACK,
    HostileProvider,
    replies,
)
from tests.unit.datasource.providers.requests import PATIENT, answering, request_to


class HeldStream(httpcore.AsyncNetworkStream):
    """A connection that says whether it was closed."""

    is_closed = False

    async def aclose(self) -> None:
        self.is_closed = True


async def test_second_answer_of_the_dns_is_never_asked_for() -> None:
    """DNS rebinding: a name that is judged once and resolved again leads elsewhere the second time."""
    answers = [[LOOPBACK], ["127.0.0.2"]]
    asked: list[str] = []

    async def rebinding(name: str, _: int) -> Sequence[str]:
        asked.append(name)
        return answers[len(asked) - 1]

    async with HostileProvider(replies(200)) as provider:
        async with Transport(ON_LOOPBACK, resolve=rebinding) as transport:
            await transport.send(
                request_to(f"http://login.example.com:{provider.port}/token"), deadline=PATIENT, tenant="apps"
            )
    assert asked == ["login.example.com."]
    assert len(provider.requests) == 1


async def test_denied_addresses_of_a_name_are_passed_over() -> None:
    answers = answering("169.254.169.254", "10.0.0.1", "::1", LOOPBACK)
    async with HostileProvider(replies(200)) as provider, Transport(ON_LOOPBACK, resolve=answers) as transport:
        url = f"http://login.example.com:{provider.port}/token"
        assert (await transport.send(request_to(url), deadline=PATIENT, tenant="apps")).status == 200


async def test_addresses_of_both_families_have_a_turn() -> None:
    """A resolver lists one family first (RFC 6724); where that one leads nowhere the other must not come too late."""
    several = [f"2001:db8::{number:x}" for number in range(1, 30)]
    answers = answering(*several, "192.0.2.1", LOOPBACK)
    policy = EgressPolicy(allowed=rules(["2001:db8::/32", "127.0.0.0/8"]))
    backend = CheckedBackend(policy, Lookups(answers), "apps")
    tried = await backend._checked_addresses("login.example.com", 443)
    assert len(tried) == 8
    assert tried[:5] == [several[0], "192.0.2.1", several[1], LOOPBACK, several[2]]


async def test_name_is_whole_unless_the_platform_team_wrote_it() -> None:
    """The search list of a pod would make a Service of payments.shop."""
    asked: list[str] = []

    async def nowhere(name: str, _: int) -> Sequence[str]:
        asked.append(name)
        return ()

    policy = EgressPolicy(allowed=rules(["keycloak.auth"]))
    async with Transport(policy, resolve=nowhere) as transport:
        for host in ("payments.shop", "payments.shop.", "keycloak.auth"):
            with pytest.raises(NotDelivered):
                await transport.send(request_to(f"https://{host}/token"), deadline=PATIENT, tenant="apps")
    assert asked == ["payments.shop.", "payments.shop.", "keycloak.auth"]


async def test_address_that_refuses_makes_way_for_the_next() -> None:
    policy = EgressPolicy(allowed=rules(["127.0.0.0/8"]))
    async with HostileProvider(replies(200)) as provider:
        # Nothing listens on the first two: the provider is on 127.0.0.1 alone.
        async with Transport(policy, resolve=answering("127.0.0.3", "127.0.0.2", LOOPBACK)) as transport:
            reply = await transport.send(
                request_to(f"http://login.example.com:{provider.port}/token"), deadline=PATIENT, tenant="apps"
            )
    assert reply.status == 200
    assert provider.connections == 1


async def test_address_that_does_not_answer_is_overtaken_and_let_go() -> None:
    second, was_let_go = HeldStream(), asyncio.Event()

    async def connect(address: str) -> HeldStream:
        if address == "second":
            return second
        try:
            await asyncio.Event().wait()
        finally:
            was_let_go.set()
        raise AssertionError("nothing sets that event")

    assert await connect_to_first(["first", "second"], connect) is second
    assert was_let_go.is_set()
    assert not second.is_closed


async def test_where_no_address_answers_the_last_failure_is_told() -> None:
    second_is_tried, first_has_failed = asyncio.Event(), asyncio.Event()

    async def connect(address: str) -> HeldStream:
        if address == "second":
            second_is_tried.set()
            await first_has_failed.wait()
            await asyncio.sleep(0.05)  # until somebody has seen the first one fail
        await second_is_tried.wait()
        first_has_failed.set()
        raise httpcore.ConnectError(address)

    with pytest.raises(httpcore.ConnectError, match="second"):
        await connect_to_first(["first", "second"], connect)


async def test_of_two_connections_at_once_one_is_closed() -> None:
    streams = {"first": HeldStream(), "second": HeldStream()}
    second_is_tried = asyncio.Event()

    async def connect(address: str) -> HeldStream:
        if address == "second":
            second_is_tried.set()
        await second_is_tried.wait()
        return streams[address]

    won = await connect_to_first(list(streams), connect)

    (lost,) = (stream for stream in streams.values() if stream is not won)
    assert lost.is_closed
    assert isinstance(won, HeldStream)
    assert not won.is_closed
