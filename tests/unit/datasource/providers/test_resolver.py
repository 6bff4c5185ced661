"""One tenant's names cost only that tenant: lookups by real name servers, some of which never answer."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop

from datasource.oauth2.errors import TooManyLookups
from datasource.outbound.provider_request import ProviderRequest
from datasource.providers import resolver as resolver_module
from datasource.providers.resolver import (
    LONGEST_LOOKUP,
    MOST_ADDRESSES,
    MOST_OF_A_DOMAIN,
    MOST_OF_A_TENANT,
    Lookups,
    NameServers,
)
from datasource.providers.transport import Transport
from tests.support.hostile_provider import LOOPBACK, ON_LOOPBACK, HostileProvider, replies
from tests.support.name_server import NameServer

PATIENT = timedelta(seconds=10)
SHORT = timedelta(milliseconds=100)
VICTIM = "login.victim.example"


@asynccontextmanager
async def machine(
    known: dict[str, Sequence[str]] | None = None, **options: Any
) -> AsyncIterator[tuple[NameServer, NameServers]]:
    """A machine whose only name server is on loopback."""
    async with NameServer({VICTIM: [LOOPBACK]} if known is None else known) as server:
        names = NameServers(servers=[server.address], **options)
        try:
            yield server, names
        finally:
            await names.aclose()


class HangingNames:
    """Names that nobody answers for, until they are let go; counts how many are under way at once."""

    def __init__(self) -> None:
        self.under_way: set[str] = set()
        self.begun: list[str] = []
        self.let_go = asyncio.Event()

    async def __call__(self, name: str, _: int) -> Sequence[str]:
        self.begun.append(name)
        if name.startswith("hangs"):
            self.under_way.add(name)
            try:
                await self.let_go.wait()
            finally:
                self.under_way.discard(name)
        return ("192.0.2.1",)


def ask(lookups: Lookups, name: str, tenant: str) -> "asyncio.Task[Sequence[str]]":
    return asyncio.create_task(lookups.addresses(name, 443, tenant=tenant))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def end(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


# What the name servers of the machine tell.


async def test_name_has_the_addresses_that_its_name_server_tells() -> None:
    async with machine({VICTIM: ["192.0.2.7", "2001:db8::7"]}) as (_, names):
        assert set(await names(f"{VICTIM}.", 443)) == {"192.0.2.7", "2001:db8::7"}


async def test_name_that_nobody_knows_has_none() -> None:
    async with machine() as (_, names):
        with pytest.raises(OSError, match="not found"):
            await names("login.nowhere.example.", 443)


@pytest.mark.parametrize("name", ["a" * 64 + ".example.", "a..example.", "." * 3, "\N{SNOWMAN}.example", "x" * 300])
async def test_name_that_is_none_has_none(name: str) -> None:
    async with machine() as (_, names):
        with pytest.raises((OSError, UnicodeError)):
            await names(name, 443)


async def test_search_list_is_for_names_without_a_dot_at_their_end() -> None:
    """A pod's own: names that the platform team allowed are found as every program in the cluster finds them."""
    service = "keycloak.auth.svc.cluster.local"
    pods = ["apps.svc.cluster.local", "svc.cluster.local"]
    async with machine({service: ["10.0.0.9"], VICTIM: [LOOPBACK]}, domains=pods, ndots=5) as (server, names):
        assert await names("keycloak.auth", 443) == ("10.0.0.9",)
        assert await names(f"{VICTIM}.", 443) == (LOOPBACK,)
    assert {name for name in server.asked if "victim" in name} == {VICTIM}


async def test_name_servers_of_this_machine_are_asked_unless_others_are_named() -> None:
    names = NameServers()
    assert set(await names("localhost", 80)) <= {"127.0.0.1", "::1"}
    await names.aclose()
    await names.aclose()


async def test_name_of_many_addresses_has_only_the_first_of_them() -> None:
    many = [f"192.0.2.{number}" for number in range(60)]
    async with machine({VICTIM: many}) as (_, names):
        found = await names(f"{VICTIM}.", 443)
    assert len(found) == MOST_ADDRESSES
    assert set(found) <= set(many)


async def test_name_server_that_is_slow_once_is_waited_for() -> None:
    """c-ares expects it to be as fast as it was."""
    slow = "slow.example"
    async with machine({VICTIM: [LOOPBACK], slow: [LOOPBACK]}) as (server, names):
        for _ in range(3):
            await names(f"{VICTIM}.", 443)
        server.late = 2.5
        assert await names(f"{slow}.", 443) == (LOOPBACK,)


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "_MOST_REMEMBERED", 3)
    async with machine() as (server, names):
        for _ in range(4):
            assert await names(f"{VICTIM}.", 443) == (LOOPBACK,)
    # A and AAAA; remembered once, and asked for anew after that.
    assert server.asked[VICTIM] == 4


# A machine of its own: a network namespace with resolv.conf and hosts file, as a pod has.

PLAY = Path(__file__).parents[3] / "support" / "lookups_in_a_pod.py"
UNSHARE = ["unshare", "--mount", "--net", "--propagation", "private"]


def cannot_unshare() -> bool:
    """Whether this machine gives no namespaces; in CI that is no excuse."""
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, check=False)  # noqa: S603
    return "CI" not in os.environ and tried.returncode != 0


@pytest.mark.skipif(cannot_unshare(), reason="needs the right to make a network namespace (unshare --net)")
def test_in_a_pod_with_a_silent_name_server_a_victims_request_goes_through() -> None:
    command = [*UNSHARE, sys.executable, str(PLAY)]
    played = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert played.returncode == 0, played.stderr
    assert json.loads(played.stdout) == {
        "a name of the hosts file": ["192.0.2.44"],
        "a Service through the search list": ["10.0.0.9"],
        "a victim's request beside 12 silent names": 200,
    }


# A bulkhead for each tenant.


@pytest.mark.parametrize("silent_names", [2, 12, 200])
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_silent_names_of_one_tenant_do_not_keep_another_ones_request(
    silent_names: int, run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    async def play() -> None:
        async with AsyncExitStack() as stack:
            server, names = await stack.enter_async_context(machine())
            provider = await stack.enter_async_context(HostileProvider(replies(200)))
            transport = await stack.enter_async_context(Transport(ON_LOOPBACK, resolve=names))

            async def send(host: str, tenant: str) -> int:
                request = ProviderRequest(url=f"http://{host}:{provider.port}/token", headers={}, body=b"a=b")
                return (await transport.send(request, deadline=PATIENT, tenant=tenant)).status

            hanging = [
                asyncio.create_task(send(f"n{number}.d{number % 40}.silent.example", "attacker"))
                for number in range(silent_names)
            ]
            await server.hears_of(min(silent_names, MOST_OF_A_DOMAIN))
            assert await send(VICTIM, "victim") == 200
            await end(*hanging)

    run(play())


async def test_tenant_has_only_so_many_lookups_under_way() -> None:
    names = HangingNames()
    lookups = Lookups(names)
    asked = [ask(lookups, f"hangs.n{number}.d{number}.example", "a") for number in range(MOST_OF_A_TENANT + 3)]
    await settle()
    assert len(names.under_way) == MOST_OF_A_TENANT
    names.let_go.set()
    assert await asyncio.gather(*asked) == [("192.0.2.1",)] * len(asked)


async def test_silent_domain_leaves_room_for_other_domains_of_the_same_tenant() -> None:
    names = HangingNames()
    lookups = Lookups(names)
    asked = [ask(lookups, f"hangs{number}.silent.example.", "a") for number in range(MOST_OF_A_TENANT)]
    await settle()
    assert len(names.under_way) == MOST_OF_A_DOMAIN
    assert await lookups.addresses("login.okta.test.", 443, tenant="a") == ("192.0.2.1",)
    await end(*asked)


async def test_lookup_that_nobody_waits_for_any_more_keeps_its_place_until_it_ends() -> None:
    """Otherwise asking and giving up would be a way around the bound."""
    names = HangingNames()
    lookups = Lookups(names)
    for round_ in range(3):
        asked = [ask(lookups, f"hangs.r{round_}.d{number}.example", "a") for number in range(MOST_OF_A_TENANT)]
        await settle()
        await end(*asked)
    assert len(names.begun) == MOST_OF_A_TENANT
    names.let_go.set()
    await settle()
    assert await lookups.addresses("login.example.com", 443, tenant="a") == ("192.0.2.1",)


async def test_who_gives_up_while_waiting_for_room_leaves_no_trace() -> None:
    names = HangingNames()
    lookups = Lookups(names)
    under_way = [ask(lookups, f"hangs.d{number}.example", "a") for number in range(MOST_OF_A_TENANT)]
    await settle()
    waiting = [ask(lookups, f"hangs.w{number}.example", "a") for number in range(5)]
    await settle()
    await end(*waiting)
    names.let_go.set()
    await asyncio.gather(*under_way)
    again = [ask(lookups, f"n.d{number}.example", "a") for number in range(MOST_OF_A_TENANT)]
    assert len(await asyncio.gather(*again)) == MOST_OF_A_TENANT


async def test_without_room_the_request_is_not_delivered_and_the_tenant_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resolver_module, "LONGEST_QUEUE", SHORT)
    names = HangingNames()
    lookups = Lookups(names)
    asked = [ask(lookups, f"hangs.d{number}.example", "a") for number in range(MOST_OF_A_TENANT)]
    await settle()
    with pytest.raises(TooManyLookups, match=r"login\.example\.com was not looked up.*this namespace"):
        await lookups.addresses("login.example.com", 443, tenant="a")
    assert await lookups.addresses("login.example.com", 443, tenant="b") == ("192.0.2.1",)
    await end(*asked)


async def test_name_that_is_being_looked_up_is_asked_for_once() -> None:
    names = HangingNames()
    lookups = Lookups(names)
    asked = [ask(lookups, "hangs.example.com", tenant) for tenant in "abcabcabc"]
    await settle()
    await end(asked.pop())
    names.let_go.set()
    assert await asyncio.gather(*asked) == [("192.0.2.1",)] * 8
    assert names.begun == ["hangs.example.com"]


async def test_name_that_another_tenant_waits_to_look_up_is_not_waited_for() -> None:
    """Whoever fills their own places and then asks for everybody's provider must not stand before everybody."""
    names = HangingNames()
    lookups = Lookups(names)
    asked = [ask(lookups, f"hangs.d{number}.example", "attacker") for number in range(MOST_OF_A_TENANT)]
    asked.append(ask(lookups, "login.example.com", "attacker"))
    await settle()
    assert not asked[-1].done()
    assert await lookups.addresses("login.example.com", 443, tenant="victim") == ("192.0.2.1",)
    await end(*asked)


async def test_two_who_waited_for_room_ask_for_the_same_name_once() -> None:
    names = HangingNames()
    lookups = Lookups(names)
    filling = [ask(lookups, f"hangs.d{number}.example", "a") for number in range(MOST_OF_A_TENANT)]
    await settle()
    waiting = [ask(lookups, "hangs.login.test", "a") for _ in range(2)]
    await settle()
    names.let_go.set()
    await asyncio.gather(*filling, *waiting)
    assert names.begun.count("hangs.login.test") == 1


async def test_when_many_tenants_fill_all_places_another_one_still_gets_its_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resolver_module, "MOST_IN_ALL", 6)
    names = HangingNames()
    lookups = Lookups(names)
    asked = [ask(lookups, f"hangs.n{number}.{tenant}.example", tenant) for tenant in "ab" for number in range(3)]
    await settle()
    assert len(names.under_way) == 6
    with pytest.raises(TooManyLookups):
        await lookups.addresses("login.example.com", 443, tenant="a")
    assert await lookups.addresses("login.example.com", 443, tenant="victim") == ("192.0.2.1",)
    await end(*asked)


async def test_silent_name_gives_its_place_back_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "LONGEST_LOOKUP", SHORT)
    names = HangingNames()
    lookups = Lookups(names)
    asked = [ask(lookups, f"hangs.d{number}.example", "a") for number in range(MOST_OF_A_TENANT)]
    for failure in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(failure, TimeoutError)
    assert await lookups.addresses("login.example.com", 443, tenant="a") == ("192.0.2.1",)


async def test_failure_is_told_to_all_who_wait() -> None:
    async def fails(_: str, __: int) -> Sequence[str]:
        await asyncio.sleep(0)
        raise OSError("Domain name not found")

    lookups = Lookups(fails)
    told = await asyncio.gather(
        *(lookups.addresses("a.example", 443, tenant=tenant) for tenant in "ab"), return_exceptions=True
    )
    assert [str(failure) for failure in told] == ["Domain name not found"] * 2


async def test_lookup_that_is_ended_from_outside_leaves_no_trace() -> None:
    names = HangingNames()
    lookups = Lookups(names)
    asked = ask(lookups, "hangs.example.com", "a")
    await settle()
    (task,) = [each for each in asyncio.all_tasks() if each.get_name() == "lookup of hangs.example.com"]
    await end(task, asked)
    names.let_go.set()
    assert await lookups.addresses("hangs.example.com", 443, tenant="a") == ("192.0.2.1",)


def test_a_lookup_may_take_as_long_as_c_ares_tries() -> None:
    """A quarter of a second doubled five times; less, and what is slow to answer would never be found."""
    assert sum(0.25 * 2**number for number in range(resolver_module._TRIES)) >= LONGEST_LOOKUP.total_seconds()
