"""Electors and an API server that does not answer, or answers late or unclearly."""

from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from datasource.cluster.api_errors import Forbidden
from datasource_operator.decisions.election import (
    LEASE_DURATION,
    RENEW_EVERY,
    REQUEST_DEADLINE,
    RETRY_PERIOD,
)
from datasource_operator.lease import RENEW_DEADLINE
from tests.unit.datasource_operator.lease_stage import (
    FAILOVER_AFTER_SIGKILL,
    SECOND,
    Fate,
    Stage,
    Trip,
    clock,
    passes,
    play,
    status,
    until,
)


def test_a_leader_that_is_cut_off_ends_before_the_next_one_begins() -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        a.ending = (LEASE_DURATION - RENEW_DEADLINE) * 0.99
        a.line.is_cut = True
        cut_at = clock()
        await until(lambda: not a.elector.is_leading, within=RENEW_DEADLINE + SECOND / 10)
        assert status(a) == 0
        await until(lambda: stage.working == ["b"], within=FAILOVER_AFTER_SIGKILL)
        assert clock() - cut_at <= FAILOVER_AFTER_SIGKILL.total_seconds()
        assert stage.overlaps == []
        a.line.is_cut = False
        await passes(timedelta(minutes=1))
        assert stage.working == ["b"]
        assert not a.elector.is_leading

    play(scene())


@pytest.mark.parametrize("frozen_for", [SECOND, RENEW_DEADLINE / 2, 2 * LEASE_DURATION, timedelta(hours=1)])
def test_a_frozen_api_server_changes_no_leader(frozen_for: timedelta) -> None:
    async def scene() -> None:
        stage = Stage()
        a, b = await stage.leader_and_standby()
        stage.server.freeze()
        await passes(frozen_for)
        assert a.elector.is_leading == (frozen_for < RENEW_DEADLINE)
        stage.server.thaw()
        # An attempt that just began is waited for, and then comes the pause.
        await passes(REQUEST_DEADLINE + 2 * RETRY_PERIOD)
        assert a.elector.is_leading
        assert not b.elector.is_leading
        assert stage.overlaps == []
        assert stage.server.spec["leaseTransitions"] == 0

    play(scene())


@pytest.mark.parametrize("each", [REQUEST_DEADLINE * 0.54, REQUEST_DEADLINE * 0.97])
def test_an_api_server_whose_every_answer_is_slow_has_a_leader_and_keeps_it(each: timedelta) -> None:
    """A look and a write together may take longer than one request may."""

    async def scene() -> None:
        stage = Stage()
        a, b = stage.enter("a"), stage.enter("b")
        for candidate in (a, b):
            candidate.line.trip = lambda: Trip(there=each / 2, back=each / 2)
        first = await stage.leader(within=4 * each + 4 * RETRY_PERIOD)
        await passes(timedelta(minutes=5))
        assert stage.working == [first.name]
        first.kill()
        (other,) = {"a", "b"} - {first.name}
        # Between two slow looks only COUNTED_GAP counts, so it takes longer than elsewhere.
        await until(lambda: stage.working == [other], within=3 * LEASE_DURATION)
        assert [name for name, _ in stage.began] == [first.name, other]
        assert stage.overlaps == []

    play(scene())


def test_a_short_outage_does_not_interrupt_the_work() -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        a.line.is_cut = True
        await passes(RENEW_DEADLINE - RENEW_EVERY - REQUEST_DEADLINE)
        a.line.is_cut = False
        await passes(timedelta(minutes=1))
        assert len(stage.began) == 1

    play(scene())


def test_a_leader_whose_holder_died_in_an_outage_is_replaced_after_it() -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        stage.server.freeze()
        a.kill()
        await passes(timedelta(minutes=5))
        stage.server.thaw()
        await passes(LEASE_DURATION / 2)
        assert stage.working == [], "time without answers counted"
        assert (await stage.leader()).name == "b"

    play(scene())


@pytest.mark.parametrize("fate", [Fate.LOST, Fate.DONE_UNANSWERED, Fate.REFUSED])
def test_a_renewal_without_a_clear_answer_is_looked_up(fate: Fate) -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        before = len(a.line.verbs)
        fates = iter([fate])
        a.line.trip = lambda: Trip(next(fates, Fate.ANSWERED))
        await until(lambda: len(a.line.verbs) >= before + 4, within=timedelta(minutes=1))
        assert a.line.verbs[before : before + 4] == ["merge_patch", "get", "merge_patch", "merge_patch"]
        assert len(stage.began) == 1
        assert a.elector.is_leading

    play(scene())


def test_an_acquisition_without_an_answer_is_found_to_be_ours() -> None:
    async def scene() -> None:
        stage = Stage()
        a = stage.enter("a")
        fates = iter([Fate.ANSWERED, Fate.DONE_UNANSWERED])
        a.line.trip = lambda: Trip(next(fates, Fate.ANSWERED))
        await stage.leader(within=3 * RETRY_PERIOD)
        assert a.line.verbs == ["get", "create", "get", "merge_patch"]

    play(scene())


def test_an_acquisition_that_is_done_long_after_we_gave_it_up_is_found_to_be_ours() -> None:
    async def scene() -> None:
        stage = Stage()
        a, b = await stage.leader_and_standby()
        a.kill()
        await until(lambda: "merge_patch" in b.line.verbs, within=FAILOVER_AFTER_SIGKILL)
        stage.server.freeze()
        await passes(timedelta(minutes=1))
        assert stage.working == []
        stage.server.thaw()
        assert (await stage.leader(within=REQUEST_DEADLINE + 2 * RETRY_PERIOD)).name == "b"
        assert stage.server.spec["leaseTransitions"] == 1

    play(scene())


def test_a_process_that_was_stopped_knows_at_once_that_it_leads_no_more() -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        a.clock_offset += RENEW_DEADLINE.total_seconds()
        assert not a.elector.is_leading
        await until(lambda: a.elector.is_leading, within=FAILOVER_AFTER_SIGKILL)
        assert stage.overlaps == []

    play(scene())


def test_an_answer_that_comes_too_late_makes_nobody_leader() -> None:
    """The process was stopped between a request and its answer."""

    async def scene() -> None:
        stage = Stage()
        a = stage.enter("a")
        a.line.trip = lambda: Trip(back=SECOND)
        await until(lambda: a.line.verbs == ["get", "create"], within=3 * SECOND)
        a.clock_offset += RENEW_DEADLINE.total_seconds()
        a.line.trip = Trip
        await passes(SECOND * 1.5)
        assert stage.server.spec["holderIdentity"] == "a"
        assert stage.working == []
        await stage.leader(within=2 * RENEW_EVERY)

    play(scene())


def test_a_leader_whose_work_takes_long_to_end_is_no_candidate_before() -> None:
    async def scene() -> None:
        stage = Stage()
        a = stage.enter("a", ending=2 * LEASE_DURATION)
        await stage.leader()
        a.line.is_cut = True
        await passes(RENEW_DEADLINE)
        with capture_logs() as logs:
            await passes(LEASE_DURATION)
        assert "work takes long to end; we are no candidate before" in [entry["event"] for entry in logs]
        a.line.is_cut = False
        await passes(LEASE_DURATION / 3)
        assert not a.elector.is_leading
        assert stage.working == ["a"]
        await until(lambda: a.elector.is_leading, within=LEASE_DURATION)
        assert [name for name, _ in stage.began] == ["a", "a"]
        assert stage.overlaps == []

    play(scene())


def test_trouble_is_logged_once_and_again_after_it_was_over() -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        with capture_logs() as logs:
            for _ in range(2):
                a.line.trip = lambda: Trip(Fate.REFUSED)
                await passes(RENEW_DEADLINE / 2)
                a.line.trip = Trip
                await passes(RENEW_DEADLINE / 2)
        warnings = [entry for entry in logs if entry["log_level"] == "warning"]
        assert len(warnings) == 2
        assert "etcdserver: request timed out" in warnings[0]["error"]

    play(scene())


def test_a_standby_logs_each_outage_once() -> None:
    async def scene() -> None:
        stage = Stage()
        _, b = await stage.leader_and_standby()
        with capture_logs() as logs:
            for _ in range(2):
                b.line.is_cut = True
                await passes(timedelta(minutes=1))
                b.line.is_cut = False
                await passes(timedelta(minutes=1))
        assert [entry["error"] for entry in logs] == ["no answer in time"] * 2

    play(scene())


def test_whoever_may_not_read_leases_stands_by_until_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        stage = Stage()
        with monkeypatch.context() as forbidden, capture_logs() as logs:
            refusal = Forbidden(403, "Forbidden", "leases is forbidden")

            def refuse(*_: object) -> None:
                raise refusal

            forbidden.setattr(stage.server, "read", refuse)
            stage.enter("a")
            await passes(timedelta(minutes=1))
            assert stage.working == []
        assert [entry["error"] for entry in logs if "error" in entry] == ["403 Forbidden: leases is forbidden"]
        await stage.leader(within=2 * RETRY_PERIOD)

    play(scene())
