"""Several electors on one Lease: one leads, the others stand by, and a leader that ends hands over."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from datasource_operator.decisions.election import (
    LEASE_DURATION,
    RENEW_EVERY,
    RETRY_PERIOD,
)
from datasource_operator.lease import RELEASE_DEADLINE, RENEW_DEADLINE, LeaseElector
from tests.unit.datasource_operator.lease_stage import (
    FAILOVER_AFTER_SIGKILL,
    FAILOVER_AFTER_SIGTERM,
    NO_TIME,
    SECOND,
    SYSTEM,
    Fate,
    Line,
    Stage,
    Trip,
    clock,
    passes,
    play,
    status,
    until,
)


def test_the_first_one_leads_at_once() -> None:
    async def scene() -> None:
        stage = Stage()
        a = stage.enter("a")
        assert not a.elector.is_leading
        await stage.leader(within=RETRY_PERIOD)
        assert a.elector.is_leading
        assert stage.server.spec == {
            "holderIdentity": "a",
            "leaseDurationSeconds": 15,
            "acquireTime": stage.server.spec["renewTime"],
            "renewTime": stage.server.spec["renewTime"],
            "leaseTransitions": 0,
        }

    play(scene())


def test_of_two_that_start_together_one_leads() -> None:
    async def scene() -> None:
        stage = Stage()
        a, b = stage.enter("a"), stage.enter("b")
        await passes(timedelta(minutes=1))
        assert a.elector.is_leading != b.elector.is_leading
        assert len(stage.began) == 1

    play(scene())


def test_a_leader_goes_on_and_a_standby_writes_nothing() -> None:
    async def scene() -> None:
        stage = Stage()
        a, b = await stage.leader_and_standby()
        await passes(timedelta(minutes=5))
        assert stage.began == [("a", stage.began[0][1])]
        assert set(b.line.verbs) == {"get"}
        assert set(a.line.verbs[2:]) == {"merge_patch"}, "a renewal is one request"
        assert stage.server.spec["leaseTransitions"] == 0
        assert stage.server.spec["acquireTime"] < stage.server.spec["renewTime"]

    play(scene())


@pytest.mark.parametrize("offset", [timedelta(days=-400), timedelta(days=400)])
def test_wall_clocks_do_not_matter(offset: timedelta) -> None:
    async def scene() -> None:
        stage = Stage()
        stage.enter("a")
        await stage.leader()
        stage.enter("b", wall_clock_offset=offset, clock_offset=offset.total_seconds())
        await passes(timedelta(minutes=5))
        assert stage.working == ["a"]
        stage.candidates["a"].kill()
        assert (await stage.leader()).name == "b"

    play(scene())


def test_the_metric_says_who_leads() -> None:
    async def scene() -> None:
        stage = Stage()
        a = stage.enter("a")
        await passes(NO_TIME)
        assert status(a) == 0
        await stage.leader()
        assert status(a) == 1
        await a.stop()
        assert status(a) == 0

    play(scene())


def test_every_process_has_a_name_of_its_own() -> None:
    names = {LeaseElector(Line(), SYSTEM).identity for _ in range(2)}
    assert len(names) == 2


# The end of a leader


def test_after_sigterm_the_next_one_leads_at_once() -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        await a.stop()
        assert a.task.cancelled()
        assert stage.server.spec["holderIdentity"] == ""
        assert (await stage.leader(within=FAILOVER_AFTER_SIGTERM)).name == "b"
        assert stage.server.spec["leaseTransitions"] == 1

    play(scene())


def test_after_sigkill_the_next_one_leads_when_the_lease_has_expired() -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        killed_at = clock()
        a.kill()
        assert (await stage.leader(within=FAILOVER_AFTER_SIGKILL)).name == "b"
        # The last renewal may be RENEW_EVERY old at the kill.
        assert clock() - killed_at >= (LEASE_DURATION - RENEW_EVERY).total_seconds()

    play(scene())


def test_the_lease_is_held_until_the_work_has_ended() -> None:
    """A refresh under way at SIGTERM may take longer than a Lease lasts."""

    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        a.ending = 3 * LEASE_DURATION
        a.task.cancel()
        await passes(2 * LEASE_DURATION)
        assert not a.elector.is_leading
        assert status(a) == 0
        assert stage.working == ["a"]
        assert (await stage.leader(within=2 * LEASE_DURATION)).name == "a"
        await until(lambda: stage.working == ["b"], within=LEASE_DURATION + FAILOVER_AFTER_SIGTERM)
        assert stage.overlaps == []

    play(scene())


def test_cancelled_twice_it_leaves_the_lease_to_expire() -> None:
    """Work that goes on must not be joined by somebody else's at once."""

    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        a.ending = SECOND
        a.task.cancel()
        await passes(SECOND / 10)
        await a.stop()
        assert a.task.cancelled()
        assert stage.working == ["a"]
        assert stage.server.spec["holderIdentity"] == "a"
        await passes(SECOND)
        assert stage.working == []
        assert (await stage.leader(within=FAILOVER_AFTER_SIGKILL)).name == "b"

    play(scene())


def test_work_that_ends_by_itself_releases_the_lease() -> None:
    async def scene() -> None:
        stage = Stage()
        a = stage.enter("a")
        await a.stop()
        a.start(lambda: passes(SECOND))
        await a.task
        assert not a.elector.is_leading
        assert stage.server.spec["holderIdentity"] == ""

    play(scene())


def test_what_the_work_raises_is_raised_after_the_release() -> None:
    async def work() -> None:
        await passes(SECOND)
        raise RuntimeError("broken")

    async def scene() -> None:
        stage = Stage()
        a = stage.enter("a")
        await a.stop()
        a.start(work)
        with pytest.raises(RuntimeError, match="broken"):
            await a.task
        assert stage.server.spec["holderIdentity"] == ""

    play(scene())


def test_work_that_fails_while_it_is_ended_is_logged_and_the_lease_released() -> None:
    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("broken")

    async def scene() -> None:
        stage = Stage()
        a = stage.enter("a")
        await a.stop()
        a.start(work)
        await until(lambda: a.elector.is_leading, within=RETRY_PERIOD)
        with capture_logs() as logs:
            await a.stop()
        assert a.task.cancelled()
        assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["work failed while it was ended"]
        assert stage.server.spec["holderIdentity"] == ""

    play(scene())


def test_an_elector_that_is_run_again_holds_nothing_any_more() -> None:
    async def scene() -> None:
        stage = Stage()
        a = stage.enter("a")
        await stage.leader()
        await a.stop()
        stage.server.freeze()
        a.start()
        await passes(RENEW_DEADLINE)
        assert len(stage.began) == 1
        stage.server.thaw()
        await stage.leader()

    play(scene())


def test_a_standby_that_ends_writes_nothing() -> None:
    async def scene() -> None:
        stage = Stage()
        _, b = await stage.leader_and_standby()
        await b.stop()
        assert set(b.line.verbs) == {"get"}

    play(scene())


@pytest.mark.parametrize("there", [SECOND / 10, NO_TIME], ids=["not done yet", "done"])
def test_a_process_that_ends_while_it_acquires_releases_what_it_may_have_got(there: timedelta) -> None:
    async def scene() -> None:
        stage = Stage()
        a = stage.enter("a")
        a.line.trip = lambda: Trip(there=there, back=SECOND / 5 - there)
        await passes(SECOND / 4)
        assert a.line.verbs == ["get", "create"]
        await a.stop()
        assert stage.server.spec["holderIdentity"] == ""

    play(scene())


def test_a_release_that_nobody_answers_does_not_hold_up_the_end() -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        stage.server.freeze()
        cancelled_at = clock()
        with capture_logs() as logs:
            await a.stop()
        assert clock() - cancelled_at <= RELEASE_DEADLINE.total_seconds() + 0.01
        assert logs[-1]["event"] == "could not release the lease, it is left to expire"

    play(scene())


def test_a_release_is_tried_again() -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        fates = iter([Fate.REFUSED, Fate.ANSWERED, Fate.LOST])
        a.line.trip = lambda: Trip(next(fates, Fate.ANSWERED))
        await a.stop()
        assert stage.server.spec["holderIdentity"] == ""
        assert (await stage.leader(within=FAILOVER_AFTER_SIGTERM)).name == "b"

    play(scene())


def test_a_release_without_an_answer_does_not_take_the_lease_from_the_next_one() -> None:
    async def scene() -> None:
        stage = Stage()
        a, b = await stage.leader_and_standby()
        fates = iter([Fate.ANSWERED, Fate.DONE_UNANSWERED])
        a.line.trip = lambda: Trip(next(fates, Fate.ANSWERED))
        a.task.cancel()
        assert (await stage.leader(within=NO_TIME)).name == "a"
        await until(lambda: stage.working == ["b"], within=FAILOVER_AFTER_SIGTERM)
        await until(a.task.done, within=RELEASE_DEADLINE)
        await passes(timedelta(minutes=1))
        assert b.elector.is_leading
        assert len(stage.began) == 2

    play(scene())
