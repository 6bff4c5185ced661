"""How many connections a provider gets, and which of them serve the next request."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from datasource.oauth2.errors import NotDelivered
from datasource.providers import connections as connections_module
from datasource.providers import transport as transport_module
from datasource.providers.transport import Transport
from tests.support.hostile_provider import (
    GOOD_REPLY,
    ON_LOOPBACK,
    HostileProvider,
    replies,
    self_signed,
    sets_a_cookie_and_waits,
)
from tests.unit.datasource.providers.requests import PATIENT, SHORT, request_to


async def test_connection_made_under_the_systems_trust_is_not_used_under_another() -> None:
    certificate = self_signed()
    behaviour = replies(200, keeps_open=True)
    async with HostileProvider(behaviour, tls=certificate.server_context(), keeps_open=True) as provider:
        async with Transport(ON_LOOPBACK, verify=certificate.trusting_context()) as transport:
            for bundle in (None, None, certificate.certificate):
                await transport.send(request_to(provider.url), deadline=PATIENT, tenant="apps", ca_bundle=bundle)
    assert len(provider.requests) == 3
    assert provider.connections == 2


async def test_requests_to_one_provider_share_a_connection() -> None:
    async with HostileProvider(replies(200, keeps_open=True)) as provider, Transport(ON_LOOPBACK) as transport:
        provider.keeps_open = True
        for _ in range(3):
            await transport.send(request_to(provider.url), deadline=PATIENT, tenant="apps")
        assert (len(provider.requests), provider.connections) == (3, 1)


async def test_requests_at_the_same_time_have_a_connection_each_and_the_next_ones_share_them() -> None:
    headers_are_out, release = asyncio.Event(), asyncio.Event()
    held = sets_a_cookie_and_waits(headers_are_out, release)
    behaviours = (held, replies(200, keeps_open=True))
    async with HostileProvider(*behaviours, keeps_open=True) as provider, Transport(ON_LOOPBACK) as transport:
        first = asyncio.create_task(transport.send(request_to(provider.url), deadline=PATIENT, tenant="apps"))
        await headers_are_out.wait()
        for _ in range(3):
            await transport.send(request_to(provider.url), deadline=PATIENT, tenant="apps")
        assert provider.connections == 2
        release.set()
        assert (await first).body == GOOD_REPLY


async def test_connection_that_the_provider_has_closed_meanwhile_is_not_used_again() -> None:
    behave = replies(200, keeps_open=True)
    async with HostileProvider(behave, keeps_open=True) as provider, Transport(ON_LOOPBACK) as transport:
        await transport.send(request_to(provider.url), deadline=PATIENT, tenant="apps")
        await provider.close_connections()
        assert (await transport.send(request_to(provider.url), deadline=PATIENT, tenant="apps")).status == 200
        assert provider.connections == 2


async def test_request_that_finds_every_connection_in_use_is_not_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_module, "CONNECTIONS_TO_ONE_PROVIDER", 1)
    headers_are_out, release = asyncio.Event(), asyncio.Event()
    held = sets_a_cookie_and_waits(headers_are_out, release)
    async with HostileProvider(held, replies(200)) as provider, Transport(ON_LOOPBACK) as transport:
        first = asyncio.create_task(transport.send(request_to(provider.url), deadline=PATIENT, tenant="apps"))
        await headers_are_out.wait()
        monkeypatch.setattr(connections_module, "CONNECT_TIMEOUT", SHORT)
        with pytest.raises(NotDelivered, match="too many requests to it are under way"):
            await transport.send(request_to(provider.url), deadline=PATIENT, tenant="apps")
        release.set()
        await first
        assert (await transport.send(request_to(provider.url), deadline=PATIENT, tenant="apps")).status == 200
    assert len(provider.requests) == 2


async def test_provider_that_nobody_asks_any_more_costs_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is let go when another one is asked for the first time, and can be asked again."""
    monkeypatch.setattr(transport_module, "IDLE_SECONDS", -1.0)
    monkeypatch.setattr(connections_module, "IDLE_SECONDS", -1.0)
    behave = replies(200, keeps_open=True)
    async with HostileProvider(behave) as left, HostileProvider(behave) as other, Transport(ON_LOOPBACK) as transport:
        left.keeps_open = other.keeps_open = True
        for provider in (left, other, left):
            await transport.send(request_to(provider.url), deadline=PATIENT, tenant="apps")
        assert (left.connections, other.connections) == (2, 1)


async def test_two_who_ask_new_providers_at_once_let_go_of_the_same_old_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    behave = replies(200, keeps_open=True)
    async with AsyncExitStack() as stack:
        providers = [await stack.enter_async_context(HostileProvider(behave, keeps_open=True)) for _ in range(5)]
        transport = await stack.enter_async_context(Transport(ON_LOOPBACK))
        for provider in providers[:3]:
            await transport.send(request_to(provider.url), deadline=PATIENT, tenant="apps")
        monkeypatch.setattr(transport_module, "IDLE_SECONDS", -1.0)
        monkeypatch.setattr(connections_module, "IDLE_SECONDS", -1.0)
        both = (transport.send(request_to(provider.url), deadline=PATIENT, tenant="apps") for provider in providers[3:])
        assert [reply.status for reply in await asyncio.gather(*both)] == [200, 200]
