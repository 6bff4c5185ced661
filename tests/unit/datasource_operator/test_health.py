"""What kubelet is told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import aiohttp
import pytest

from datasource.concurrency.fair_turns import FairTurns
from datasource.process.probes import serve_probes
from datasource_operator.health import (
    DATASOURCES_STALLED_AFTER,
    SILENT_AFTER,
    STALLED_AFTER,
    WATCH_STALLED_AFTER,
    Health,
)
from datasource_operator.queue import WorkQueue
from tests.unit.datasource_operator.stand_ins import Clock

MOMENT = timedelta(seconds=1)


@dataclass
class Operator:
    """What an operator shows of itself; by default it just started, and all is well."""

    clock: Clock = field(default_factory=Clock)
    unreadable: str | None = None
    is_leading: bool = True
    working_since: float | None = None
    overdue_since: float | None = None
    watches_alive_at: float | None = None
    datasources_alive_at: float | None = None
    answered_at: float = 1000.0
    history_went_back: bool = False

    @property
    def signs(self) -> Health:
        """What is made of it."""
        return Health(
            unreadable=lambda: self.unreadable,
            is_leading=lambda: self.is_leading,
            oldest_work=lambda: self.working_since,
            overdue_since=lambda: self.overdue_since,
            watches_alive_at=lambda: self.clock() if self.watches_alive_at is None else self.watches_alive_at,
            datasources_alive_at=lambda: (
                self.clock() if self.datasources_alive_at is None else self.datasources_alive_at
            ),
            answered_at=lambda: self.answered_at,
            history_went_back=lambda: self.history_went_back,
            monotonic=self.clock,
        )


# Liveness.


def test_an_operator_that_remembers_what_was_restored_away_is_restarted() -> None:
    assert "restored to an earlier state" in str(Operator(history_went_back=True).signs.stalled())


def test_an_operator_with_nothing_to_do_is_alive_for_ever() -> None:
    operator = Operator()
    operator.clock.advance(timedelta(days=365))
    assert operator.signs.stalled() is None


def test_an_operator_is_alive_while_no_step_takes_too_long() -> None:
    operator = Operator(working_since=1000.0)
    operator.clock.advance(STALLED_AFTER)
    assert operator.signs.stalled() is None


def test_a_worker_that_is_stuck_asks_for_a_restart() -> None:
    operator = Operator(working_since=1000.0)
    operator.clock.advance(STALLED_AFTER + MOMENT)
    assert operator.signs.stalled() == "a worker has been on one Datasource for too long"


@pytest.mark.parametrize("is_leading", [True, False])
def test_a_queue_that_does_not_move_asks_for_a_restart_of_the_leader_only(is_leading: bool) -> None:
    """Who stands by takes no keys, and is not stuck."""
    operator = Operator(is_leading=is_leading, overdue_since=1000.0)
    operator.clock.advance(STALLED_AFTER)
    assert operator.signs.stalled() is None
    operator.clock.advance(MOMENT)
    assert operator.signs.stalled() == ("the work queue does not move" if is_leading else None)


def test_a_watch_that_does_not_move_asks_for_a_restart() -> None:
    operator = Operator(watches_alive_at=1000.0)
    operator.clock.advance(WATCH_STALLED_AFTER)
    assert operator.signs.stalled() is None
    operator.clock.advance(MOMENT)
    assert operator.signs.stalled() == "a watch of Secrets does not move"


def test_datasources_that_nobody_watches_ask_for_a_restart() -> None:
    operator = Operator(datasources_alive_at=1000.0)
    operator.clock.advance(DATASOURCES_STALLED_AFTER)
    assert operator.signs.stalled() is None
    operator.clock.advance(MOMENT)
    assert operator.signs.stalled() == "Datasources are not watched"


def leader_at(clock: Clock) -> tuple[WorkQueue[str], Health]:
    """The work queue of whoever leads, and what is made of it."""
    queue = WorkQueue[str](clock, lambda: 0.0, FairTurns(1000, 1000), lambda _: "")
    signs = Health(
        unreadable=lambda: None,
        is_leading=lambda: True,
        oldest_work=queue.oldest_work,
        overdue_since=queue.overdue_since,
        watches_alive_at=clock,
        datasources_alive_at=clock,
        answered_at=clock,
        monotonic=clock,
    )
    return queue, signs


async def test_a_long_queue_that_moves_needs_no_restart() -> None:
    """As after ten thousand Datasources were applied at once: a restart would only start over."""
    clock = Clock()
    queue, signs = leader_at(clock)
    for number in range(10):
        queue.add(str(number))
    for _ in range(9):
        clock.advance(STALLED_AFTER / 4)
        queue.done(await queue.take())
        assert signs.stalled() is None


async def test_one_stuck_key_is_seen_behind_others_that_come_and_go() -> None:
    clock = Clock()
    queue, signs = leader_at(clock)
    queue.add("stuck")
    await queue.take()
    for _ in range(5):
        clock.advance(STALLED_AFTER / 4)
        queue.add("quick")
        queue.done(await queue.take())
    assert signs.stalled() is not None
    queue.done("stuck")
    assert signs.stalled() is None


def test_an_operator_out_of_reach_of_the_api_server_needs_no_restart() -> None:
    """A restart would not bring the API server back, and would lose the cache."""
    operator = Operator(unreadable="no lists yet")
    operator.clock.advance(SILENT_AFTER * 10)
    assert operator.signs.stalled() is None


# Readiness.


def test_an_operator_that_has_not_read_the_lists_is_not_ready() -> None:
    assert Operator(unreadable="no lists yet").signs.unready() == "no lists yet"


def test_an_operator_is_ready_while_the_api_server_answers() -> None:
    operator = Operator()
    operator.clock.advance(SILENT_AFTER)
    assert operator.signs.unready() is None


def test_an_operator_is_not_ready_while_the_api_server_is_silent() -> None:
    operator = Operator()
    operator.clock.advance(SILENT_AFTER + MOMENT)
    assert operator.signs.unready() == "the API server does not answer"
    operator.answered_at = operator.clock()
    assert operator.signs.unready() is None


def test_a_stuck_worker_does_not_make_it_unready() -> None:
    operator = Operator(working_since=1000.0)
    operator.clock.advance(STALLED_AFTER + MOMENT)
    operator.answered_at = operator.clock()
    assert operator.signs.unready() is None


# Over HTTP.


@asynccontextmanager
async def probed(operator: Operator) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the probes of an operator, on a free port of loopback."""
    signs = operator.signs
    runner = await serve_probes("127.0.0.1", 0, stalled=signs.stalled, unready=signs.unready)
    host, port = runner.addresses[0][:2]
    try:
        async with aiohttp.ClientSession(f"http://{host}:{port}") as client:
            yield client
    finally:
        await runner.cleanup()


async def answer(client: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    """Status and text under a path."""
    async with client.get(path) as response:
        return response.status, await response.text()


async def test_kubelet_hears_that_all_is_well() -> None:
    async with probed(Operator()) as client:
        assert await answer(client, "/healthz") == (200, "ok")
        assert await answer(client, "/readyz") == (200, "ok")


async def test_kubelet_hears_what_is_wrong_and_when_it_is_over() -> None:
    operator = Operator(unreadable="no lists yet")
    async with probed(operator) as client:
        assert await answer(client, "/readyz") == (503, "no lists yet")
        assert await answer(client, "/healthz") == (200, "ok")
        operator.unreadable = None
        assert await answer(client, "/readyz") == (200, "ok")
        operator.working_since = operator.clock()
        operator.clock.advance(STALLED_AFTER + MOMENT)
        operator.answered_at = operator.clock()
        assert await answer(client, "/healthz") == (503, "a worker has been on one Datasource for too long")
        assert await answer(client, "/readyz") == (200, "ok")


async def test_prometheus_finds_metrics() -> None:
    async with probed(Operator()) as client, client.get("/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        assert "process_cpu_seconds_total" in await response.text()


@pytest.mark.parametrize("path", ["/", "/healthz/", "/debug"])
async def test_nothing_else_is_served(path: str) -> None:
    async with probed(Operator()) as client:
        assert (await answer(client, path))[0] == 404
