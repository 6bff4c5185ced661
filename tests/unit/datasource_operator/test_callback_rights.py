"""Roles of the callback server: written where they differ, few times, put right, taken away, and told where they cannot be."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from datasource.cluster.api_errors import Forbidden, Unavailable
from datasource.cluster.resources import DATASOURCES, Resource
from datasource_operator.cache import Key
from datasource_operator.callback_rights import (
    CHECK_INTERVAL,
    FIRST_ROUNDS,
    GATHER,
    PACE,
    RECHECK_PAUSE,
    ROLE_BINDINGS,
    ROLES,
    CallbackRights,
)
from datasource_operator.decisions.callback_rights import LABELS, ServiceAccount
from datasource_operator.served_scopes import ServedScopes, Source
from datasource_operator.tasks import cancel
from tests.support.kube_in_memory import Answer, Call, KubeInMemory
from tests.unit.datasource_operator.stand_ins import Clock

ACCOUNT = ServiceAccount("datasource-system", "datasource-callback-server")
NAME = "datasource-callback-rights"
APP = {"oauth2": {"clientSecretRef": {"name": "app"}}}
SALES = Key("shop", "sales")


@dataclass
class Rbac(KubeInMemory):
    """Roles and RoleBindings in memory; `refuses` is raised for lists and writes in a namespace."""

    writes: list[tuple[str, str, str, str]] = field(default_factory=list)
    """(verb, resource, namespace, name)"""
    refuses: dict[str, Exception] = field(default_factory=dict)
    list_fails: Exception | None = None
    lists: list[str] = field(default_factory=list)

    async def requested(self, call: Call, answer: Answer) -> Any:
        if call.verb == "list":
            self.lists.append(call.resource.plural)
            if self.list_fails is not None:
                raise self.list_fails
            if call.namespace in self.refuses:
                raise self.refuses[call.namespace]
        if call.verb in {"apply", "delete"}:
            self.writes.append((call.verb, call.resource.plural, call.namespace, call.name))
            if call.namespace in self.refuses:
                raise self.refuses[call.namespace]
        return await super().requested(call, answer)

    def names(self, namespace: str = "shop", name: str = NAME) -> list[list[str]]:
        """Of each rule of a Role."""
        return [rule["resourceNames"] for rule in self.object(ROLES, namespace, name)["rules"]]

    def has_datasource(self, key: Key) -> None:
        self.put(DATASOURCES, *key)


@dataclass
class World:
    """Roles, and time that moves as far as somebody waits."""

    kube: Rbac = field(default_factory=Rbac)
    clock: Clock = field(default_factory=Clock)
    scopes: tuple[str | None, ...] = (None,)
    is_listed: bool = True
    served: ServedScopes = field(init=False)

    def keeper(self) -> CallbackRights:
        self.served = ServedScopes(self.scopes)
        if self.is_listed:
            self.list_datasources()
        return CallbackRights(self.kube, ACCOUNT, self.served, self.clock, lambda: 0.0, self._sleep)

    def list_datasources(self) -> None:
        """As kopf does."""
        for scope in self.scopes:
            self.served.listed(scope, Source.DATASOURCES)

    async def _sleep(self, seconds: float) -> None:
        until = self.clock.now + seconds
        while self.clock.now < until:  # noqa: ASYNC110 - the clock is the test's
            await asyncio.sleep(0)

    async def pass_time(self, keeper: CallbackRights, time: timedelta, step: float = 0.1) -> None:
        """Let time pass, and everything happen that is due meanwhile."""
        until = self.clock.now + time.total_seconds()
        while self.clock.now < until:
            self.clock.now = min(until, self.clock.now + step)
            keeper._queue.wake_one()
            for _ in range(30):
                await asyncio.sleep(0)

    @asynccontextmanager
    async def leads(self, keeper: CallbackRights) -> AsyncIterator[CallbackRights]:
        tasks = keeper.start()
        await self.pass_time(keeper, GATHER * 2)
        yield keeper
        await cancel(tasks)

    def datasource(self, keeper: CallbackRights, key: Key, spec: Mapping[str, Any] = APP) -> None:
        self.kube.has_datasource(key)
        keeper.needed_by(key, spec)

    def gone(self, keeper: CallbackRights, key: Key) -> None:
        self.kube.remove(DATASOURCES, *key)
        keeper.needed_no_more(key)


async def settled() -> World:
    """One Datasource in namespace shop, with its Role."""
    world = World()
    keeper = world.keeper()
    world.datasource(keeper, SALES)
    async with world.leads(keeper):
        assert world.kube.names() == [["sales-oauth2-credential"], ["app"]]
    world.kube.writes.clear()
    return world


async def test_role_and_its_binding_come_with_the_first_datasource() -> None:
    world = World()
    keeper = world.keeper()
    async with world.leads(keeper):
        world.datasource(keeper, SALES)
        await world.pass_time(keeper, GATHER * 2)
    assert world.kube.writes == [("apply", "roles", "shop", NAME), ("apply", "rolebindings", "shop", NAME)]
    assert keeper.refused() == 0


async def test_restart_writes_nothing() -> None:
    world = await settled()
    keeper = world.keeper()
    world.datasource(keeper, SALES)
    async with world.leads(keeper):
        await world.pass_time(keeper, CHECK_INTERVAL, step=5)
    assert world.kube.writes == []


async def test_burst_of_datasources_is_one_write_and_a_stream_of_them_one_every_two_seconds() -> None:
    world = World()
    keeper = world.keeper()
    async with world.leads(keeper):
        for number in range(500):
            world.datasource(keeper, Key("shop", f"burst-{number}"))
        await world.pass_time(keeper, GATHER * 2)
        assert len(world.kube.writes) == 2
        for number in range(100):
            world.datasource(keeper, Key("shop", f"stream-{number}"))
            await world.pass_time(keeper, timedelta(milliseconds=100))
        await world.pass_time(keeper, PACE)
    assert len(world.kube.names()[0]) == 600
    assert len(world.kube.writes) <= 2 * (1 + 7)


async def test_names_of_many_kibibytes_are_written_less_often() -> None:
    world = World()
    keeper = world.keeper()
    async with world.leads(keeper):
        for number in range(2000):
            world.datasource(keeper, Key("shop", f"{number}".rjust(235, "a")))
        await world.pass_time(keeper, PACE)
        world.kube.writes.clear()
        world.datasource(keeper, Key("shop", "one-more"))
        await world.pass_time(keeper, PACE)
        assert world.kube.writes == []
        await world.pass_time(keeper, PACE * 3)
        assert len(world.kube.writes) == 2


async def test_what_changes_nothing_is_not_written() -> None:
    world = await settled()
    keeper = world.keeper()
    world.datasource(keeper, SALES)
    async with world.leads(keeper):
        world.datasource(keeper, SALES, {**APP, "suspend": True})
        await world.pass_time(keeper, PACE * 2)
        assert world.kube.writes == []
        world.datasource(keeper, SALES, {"oauth2": {"clientSecretRef": {"name": "other"}}})
        await world.pass_time(keeper, PACE * 2)
    assert world.kube.names() == [["sales-oauth2-credential"], ["other"]]


async def test_roles_go_with_the_last_datasource_the_binding_first() -> None:
    world = await settled()
    keeper = world.keeper()
    world.datasource(keeper, SALES)
    async with world.leads(keeper):
        world.gone(keeper, SALES)
        await world.pass_time(keeper, PACE * 2)
    assert world.kube.writes == [("delete", "rolebindings", "shop", NAME), ("delete", "roles", "shop", NAME)]
    assert keeper._namespaces == {}


async def test_roles_of_a_namespace_whose_datasources_went_while_nobody_led_go_at_the_start() -> None:
    world = await settled()
    world.kube.remove(DATASOURCES, *SALES)
    keeper = world.keeper()
    async with world.leads(keeper):
        await world.pass_time(keeper, PACE)
    assert world.kube.stored(ROLES) == world.kube.stored(ROLE_BINDINGS) == []


async def test_namespace_that_went_and_came_again_under_its_name_gets_its_roles_again() -> None:
    world = await settled()
    keeper = world.keeper()
    world.datasource(keeper, SALES)
    async with world.leads(keeper):
        world.gone(keeper, SALES)
        world.kube.remove(ROLES, "shop", NAME)
        world.kube.remove(ROLE_BINDINGS, "shop", NAME)
        world.datasource(keeper, SALES)
        await world.pass_time(keeper, PACE * 2)
        assert world.kube.names() == [["sales-oauth2-credential"], ["app"]]


@pytest.mark.parametrize(
    ("resource", "change"),
    [
        (ROLES, {"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}),
        (ROLES, {"rules": None}),
        (ROLES, {"metadata": {"name": NAME, "namespace": "shop", "resourceVersion": "9", "labels": {}}}),
        (ROLE_BINDINGS, {"subjects": [{"kind": "User", "name": "mallory"}]}),
        (ROLE_BINDINGS, {"roleRef": {"kind": "ClusterRole", "name": "admin"}}),
        (ROLES, None),
        (ROLE_BINDINGS, None),
    ],
)
async def test_what_somebody_edited_or_deleted_is_put_right_at_the_next_look(
    resource: Resource, change: dict[str, Any] | None
) -> None:
    world = await settled()
    whole = msgspec.json.encode(world.kube.object(ROLE_BINDINGS, "shop", NAME)["subjects"])
    keeper = world.keeper()
    world.datasource(keeper, SALES)
    async with world.leads(keeper):
        if change is None:
            world.kube.remove(resource, "shop", NAME)
        else:
            world.kube.object(resource, "shop", NAME).update(change)
        await world.pass_time(keeper, CHECK_INTERVAL + PACE, step=5)
    assert world.kube.names() == [["sales-oauth2-credential"], ["app"]]
    assert msgspec.json.encode(world.kube.object(ROLE_BINDINGS, "shop", NAME)["subjects"]) == whole
    assert world.kube.object(ROLE_BINDINGS, "shop", NAME)["roleRef"]["name"] == NAME


async def test_role_of_somebody_else_under_our_label_stays() -> None:
    world = await settled()
    world.kube.put(ROLES, "shop", "theirs", rules=[], metadata={"labels": LABELS})
    keeper = world.keeper()
    world.datasource(keeper, SALES)
    async with world.leads(keeper):
        await world.pass_time(keeper, PACE)
    assert world.kube.writes == []


async def test_nothing_is_taken_away_before_the_watch_has_told_of_every_datasource() -> None:
    world = await settled()
    keeper = world.keeper()
    async with world.leads(keeper):
        await world.pass_time(keeper, timedelta(seconds=FIRST_ROUNDS - 2))
        assert world.kube.writes == []
        keeper.needed_by(SALES, APP)
        await world.pass_time(keeper, PACE * 2)
    assert world.kube.writes == []


async def test_nothing_is_asked_before_all_datasources_were_listed() -> None:
    """Of 100,000 a list takes long, and it was asked for again and again while kopf still read its own."""
    world = await settled()
    world.is_listed = False
    keeper = world.keeper()
    world.kube.lists.clear()
    world.datasource(keeper, SALES)
    async with world.leads(keeper):
        await world.pass_time(keeper, timedelta(seconds=FIRST_ROUNDS / 2))
        assert world.kube.lists == []
        world.list_datasources()
        # A person may be waiting for the right.
        await world.pass_time(keeper, timedelta(seconds=2))
        assert world.kube.lists != []


async def test_datasources_are_listed_only_where_something_would_be_taken_away_or_given() -> None:
    """A list of 100,000 costs the API server more than everything else of a takeover."""
    world = await settled()
    for key, expected in ((SALES, False), (Key("shop", "hr"), True)):
        keeper = world.keeper()
        world.kube.lists.clear()
        world.kube.has_datasource(SALES)
        keeper.needed_by(SALES, APP)
        world.datasource(keeper, key)
        async with world.leads(keeper):
            await world.pass_time(keeper, PACE)
        assert (DATASOURCES.plural in world.kube.lists) is expected
    assert world.kube.names() == [["hr-oauth2-credential", "sales-oauth2-credential"], ["app"]]


async def test_namespaces_that_cannot_be_listed_hold_up_no_other_and_are_told() -> None:
    refused = tuple(f"refused-{number}" for number in range(30))
    world = World(scopes=(*refused, "shop"), is_listed=False)
    keeper = world.keeper()
    world.served.listed("shop", Source.DATASOURCES)
    for scope in refused:
        world.served.refused(scope, Source.DATASOURCES, "403 Forbidden")
        world.kube.refuses[scope] = Forbidden(403, "Forbidden", "cannot list datasources")
    world.datasource(keeper, SALES)
    async with world.leads(keeper):
        await world.pass_time(keeper, timedelta(seconds=2))
        assert world.kube.names() == [["sales-oauth2-credential"], ["app"]]
        await world.pass_time(keeper, timedelta(seconds=FIRST_ROUNDS + 2))
        assert keeper.refused() == len(refused)


async def test_watch_that_tells_of_nothing_for_long_is_waited_for() -> None:
    world = await settled()
    keeper = world.keeper()
    async with world.leads(keeper):
        await world.pass_time(keeper, timedelta(seconds=3 * FIRST_ROUNDS), step=1)
        assert world.kube.writes == []


async def test_namespace_in_which_they_cannot_be_written_is_told_once_and_stops_no_other() -> None:
    world = World()
    keeper = world.keeper()
    world.kube.refuses["shop"] = Forbidden(403, "Forbidden", "cannot patch roles")
    with capture_logs() as logs:
        async with world.leads(keeper):
            for key in (SALES, Key("bank", "sales")):
                world.datasource(keeper, key)
            await world.pass_time(keeper, timedelta(seconds=30))
            assert keeper.refused() == 1
            assert world.kube.names("bank") == [["sales-oauth2-credential"], ["app"]]
            told = [each for each in logs if "rights of the callback server" in each["event"]]
            assert [(each["namespace"], "cannot patch roles" in each["error"]) for each in told] == [("shop", True)]
            world.kube.refuses.clear()
            await world.pass_time(keeper, timedelta(minutes=2), step=1)
            assert keeper.refused() == 0
    assert world.kube.names() == [["sales-oauth2-credential"], ["app"]]


async def test_namespace_that_is_going_away_is_nothing_to_tell() -> None:
    world = World()
    keeper = world.keeper()
    world.kube.refuses["shop"] = Forbidden(403, "Forbidden", "unable to create: it is being terminated")
    with capture_logs() as logs:
        async with world.leads(keeper):
            world.datasource(keeper, SALES)
            await world.pass_time(keeper, PACE)
            assert keeper.refused() == 0
            world.kube.refuses.clear()
            world.gone(keeper, SALES)
            await world.pass_time(keeper, timedelta(minutes=2), step=1)
    assert logs == []
    assert keeper._namespaces == {}


async def test_scope_whose_roles_cannot_be_listed_is_told_once_and_looked_at_again() -> None:
    world = World(scopes=("shop", "bank"))
    keeper = world.keeper()
    world.kube.list_fails = Forbidden(403, "Forbidden", "cannot list roles")
    with capture_logs() as logs:
        async with world.leads(keeper):
            world.datasource(keeper, SALES)
            await world.pass_time(keeper, RECHECK_PAUSE * 3, step=1)
            assert keeper.refused() == 2
            assert [each["namespace"] for each in logs] == ["shop", "bank"]
            assert world.kube.writes == [], "what stands there is not known"
            world.kube.list_fails = None
            await world.pass_time(keeper, RECHECK_PAUSE * 2, step=1)
            assert keeper.refused() == 0
    assert world.kube.names() == [["sales-oauth2-credential"], ["app"]]


async def test_refused_scope_keeps_no_other_from_its_looks() -> None:
    world = await settled()
    world.scopes = ("shop", "bank")
    keeper = world.keeper()
    world.datasource(keeper, SALES)
    whole = Rbac.pages

    async with world.leads(keeper):

        async def pages(resource: Resource, namespace: str | None, *rest: Any, **more: Any) -> AsyncIterator[list[Any]]:
            if namespace == "bank":
                raise Forbidden(403, "Forbidden", "no")
            async for page in whole(world.kube, resource, namespace, *rest, **more):
                yield page

        world.kube.pages = pages  # type: ignore[method-assign]
        world.kube.remove(ROLE_BINDINGS, "shop", NAME)
        await world.pass_time(keeper, CHECK_INTERVAL * 2 + PACE, step=5)
        assert keeper.refused() == 1
    assert ("rolebindings", "shop", NAME) in world.kube.server.objects


async def test_answer_that_does_not_come_is_tried_again() -> None:
    world = World()
    keeper = world.keeper()
    world.kube.refuses["shop"] = Unavailable("no answer")
    async with world.leads(keeper):
        world.datasource(keeper, SALES)
        await world.pass_time(keeper, PACE)
        assert len(world.kube.writes) >= 1
        world.kube.refuses.clear()
        await world.pass_time(keeper, timedelta(minutes=1), step=1)
    assert world.kube.names() == [["sales-oauth2-credential"], ["app"]]


async def test_who_stands_by_remembers_what_is_needed_and_nothing_of_what_is_gone() -> None:
    world = World()
    keeper = world.keeper()
    for number in range(100):
        key = Key(f"shop-{number}", "sales")
        keeper.needed_by(key, APP)
        keeper.needed_no_more(key)
    keeper.needed_no_more(SALES)
    keeper.needed_no_more(Key("shop-1", "sales"))
    assert keeper._namespaces == {}
    assert len(keeper._queue) == 0
    world.datasource(keeper, SALES)
    async with world.leads(keeper):
        assert world.kube.names() == [["sales-oauth2-credential"], ["app"]]


async def test_who_leads_again_looks_at_what_another_wrote_meanwhile() -> None:
    world = World()
    keeper = world.keeper()
    world.datasource(keeper, SALES)
    async with world.leads(keeper):
        pass
    world.kube.object(ROLES, "shop", NAME)["rules"] = []
    async with world.leads(keeper):
        await world.pass_time(keeper, PACE)
    assert world.kube.names() == [["sales-oauth2-credential"], ["app"]]


async def test_namespace_that_shrinks_gives_its_further_roles_back() -> None:
    world = World()
    keeper = world.keeper()
    keys = [Key("shop", f"{number}".rjust(235, "a")) for number in range(1000)]
    async with world.leads(keeper):
        for key in keys:
            world.datasource(keeper, key)
        await world.pass_time(keeper, PACE)
        assert len(world.kube.stored(ROLES)) == 4
        for key in keys[1:]:
            world.gone(keeper, key)
        await world.pass_time(keeper, PACE * 4)
    assert [each["metadata"]["name"] for each in world.kube.stored(ROLES)] == [NAME]
    assert [each["metadata"]["name"] for each in world.kube.stored(ROLE_BINDINGS)] == [NAME]


async def test_who_leads_no_more_stops_at_once_even_where_looks_fail() -> None:
    """A failure beside a cancellation must not swallow it: this process would never end its work."""
    world = World()
    keeper = world.keeper()
    world.kube.list_fails = KeyError("a bug")
    tasks = keeper.start()
    await asyncio.sleep(0)
    for each in tasks:
        each.cancel()
    done, _ = await asyncio.wait(tasks, timeout=5)
    assert len(done) == len(tasks)
