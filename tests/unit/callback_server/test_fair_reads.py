"""Reads for pages take turns by namespace, and each namespace has so many bytes."""

import asyncio
from typing import Any, cast

import pytest

from callback_server.fair_reads import AT_ONCE, IN_ALL, LONGEST_WAIT, PER_NAMESPACE, PER_SECOND, FairReads
from callback_server.limits import Exceeded
from datasource.api.objects import Datasource
from datasource.cluster import amount
from datasource.cluster.api_errors import NotFound
from datasource.cluster.kube import Kube
from datasource.cluster.resources import DATASOURCES
from tests.unit.datasource.api_server import ApiServer, fails, json_reply

LARGE = 3 * 2**19
"""Bytes of the largest object that etcd takes."""


class Stage:
    """An API server on which each object of a namespace has so many bytes, and a clock that only sleeping moves."""

    def __init__(self, **sizes: int) -> None:
        self.sizes = sizes
        self.now = 1000.0
        self.running: list[str] = []
        self.most: dict[str, int] = {}
        self.served: list[str] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.create = self.merge_patch = self.list_metadata = None
        self.reads = FairReads(cast(Kube, self), lambda: self.now, self.sleep)

    async def get(self, _: object, namespace: str, *__: object, **___: object) -> Any:
        self.running.append(namespace)
        for each, running in (("all", len(self.running)), (namespace, self.running.count(namespace))):
            self.most[each] = max(self.most.get(each, 0), running)
        await asyncio.sleep(0)
        await self.may_answer.wait()
        self.running.remove(namespace)
        self.served.append(namespace)
        amount.add(self.sizes.get(namespace, 5_000))

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def look(self, namespace: str) -> None:
        await self.reads.get(DATASOURCES, namespace, "calendar", Datasource)


async def test_namespace_that_has_much_read_waits_and_others_do_not() -> None:
    stage = Stage(attacker=LARGE)
    for _ in range(AT_ONCE // LARGE + 1):
        await stage.look("attacker")
    assert stage.now == 1000.0
    began = stage.now
    for _ in range(20):
        await stage.look("attacker")
    assert stage.now - began == pytest.approx(20 * LARGE / PER_SECOND, rel=0.3)
    before = stage.now
    await stage.look("victim")
    assert stage.now == before


async def test_whoever_reads_on_and_on_gets_no_more_than_is_theirs() -> None:
    stage = Stage(attacker=LARGE)
    for _ in range(200):
        await stage.look("attacker")
    assert len(stage.served) * LARGE <= AT_ONCE + (stage.now - 1000.0) * PER_SECOND + LARGE


async def test_who_would_wait_for_too_long_is_sent_away_at_once() -> None:
    stage = Stage(attacker=LARGE)
    stage.may_answer.clear()
    # All of them begin before the first has been measured.
    crowd = [asyncio.create_task(stage.look("attacker")) for _ in range(40)]
    await asyncio.sleep(0.01)
    stage.may_answer.set()
    await asyncio.gather(*crowd)
    with pytest.raises(Exceeded) as caught:
        await stage.look("attacker")
    assert caught.value.retry_after > LONGEST_WAIT
    await stage.look("victim")
    stage.now += caught.value.retry_after
    await stage.look("attacker")


async def test_reads_of_one_namespace_leave_places_to_others() -> None:
    stage = Stage()
    stage.may_answer.clear()
    crowd = [asyncio.create_task(stage.look(f"attacker-{number % 10}")) for number in range(200)]
    await asyncio.sleep(0.01)
    assert stage.most["all"] <= IN_ALL
    assert max(count for name, count in stage.most.items() if name != "all") <= PER_NAMESPACE
    victim = asyncio.create_task(stage.look("victim"))
    await asyncio.sleep(0.01)
    assert "victim" in stage.running
    stage.may_answer.set()
    await asyncio.gather(victim, *crowd)


async def test_namespaces_go_round_whatever_the_number_that_wait_in_each() -> None:
    stage = Stage()
    await asyncio.gather(*(stage.look(name) for name in ["crowd"] * 100 + ["shop"] * 2))
    # Whoever began before the shop came stands before it, and nobody else.
    assert stage.served.index("shop") <= PER_NAMESPACE + 1


async def test_usual_crowd_waits_for_nothing() -> None:
    """Thirty people of one course, with fifteen reads each."""
    stage = Stage()
    await asyncio.gather(*(stage.look("course") for _ in range(30 * 15)))
    assert stage.now == 1000.0


async def test_what_was_read_is_counted_on_a_real_connection() -> None:
    body = {"metadata": {"name": "calendar", "labels": {"large": "x" * 100_000}}}
    async with ApiServer(json_reply(body)) as server, server.kube() as kube:
        with amount.measured() as read:
            await kube.get(DATASOURCES, "shop", "calendar", Datasource)
    assert 100_000 < read.of_bytes < 101_000


async def test_what_is_not_there_is_told_as_before() -> None:
    async with ApiServer(fails(404, "NotFound")) as server, server.kube() as kube:
        with pytest.raises(NotFound):
            await FairReads(kube).get(DATASOURCES, "shop", "calendar", Datasource)
