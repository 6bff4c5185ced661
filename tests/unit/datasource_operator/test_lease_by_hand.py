"""Electors and a Lease that people alter, delete or restore."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from datasource_operator.decisions.election import (
    LEASE_DURATION,
    RECREATE_AFTER,
    RENEW_EVERY,
    REQUEST_DEADLINE,
    RETRY_PERIOD,
)
from datasource_operator.lease import RENEW_DEADLINE
from tests.unit.datasource_operator.lease_stage import (
    FAILOVER_AFTER_SIGKILL,
    ApiServer,
    Stage,
    clock,
    passes,
    play,
    until,
)


def test_a_label_does_not_interrupt_the_work() -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        with capture_logs() as logs:
            for _ in range(10):
                stage.server.patch_lease({"metadata": {"labels": {"looked-at": str(clock())}}})
                await passes(RENEW_EVERY * 1.5)
        assert logs == []
        assert a.elector.is_leading
        assert len(stage.began) == 1

    play(scene())


def test_a_deleted_lease_is_made_anew_by_its_holder() -> None:
    async def scene() -> None:
        stage = Stage()
        a, b = await stage.leader_and_standby()
        acquired_at = stage.server.spec["acquireTime"]
        stage.server.delete_lease()
        await passes(timedelta(minutes=1))
        assert a.elector.is_leading
        assert len(stage.began) == 1
        assert set(b.line.verbs) == {"get"}
        assert stage.server.spec["acquireTime"] == acquired_at

    play(scene())


def test_a_deleted_lease_whose_holder_died_is_made_anew_by_another() -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        stage.server.patch_lease({"spec": {"leaseTransitions": 6}})
        await passes(2 * RENEW_EVERY)
        stage.server.delete_lease()
        a.kill()
        deleted_at = clock()
        assert (await stage.leader(within=RECREATE_AFTER + FAILOVER_AFTER_SIGKILL)).name == "b"
        assert clock() - deleted_at >= LEASE_DURATION.total_seconds()
        assert stage.server.spec["leaseTransitions"] == 7

    play(scene())


def test_a_lease_that_comes_and_goes_while_nobody_looks_is_not_taken_for_one_that_is_gone() -> None:
    async def scene() -> None:
        stage = Stage()
        a, b = await stage.leader_and_standby()
        c = stage.enter("c")
        await passes(3 * RETRY_PERIOD)
        stage.server.delete_lease()
        a.kill()
        await passes(RECREATE_AFTER - 2 * RETRY_PERIOD)
        c.line.is_cut = True
        await until(lambda: b.elector.is_leading, within=RECREATE_AFTER + FAILOVER_AFTER_SIGKILL)
        stage.server.delete_lease()
        b.line.is_cut, c.line.is_cut = True, False
        await passes(timedelta(minutes=1))
        assert stage.working == ["c"]
        assert stage.overlaps == []

    play(scene())


def handed_over(server: ApiServer) -> None:
    """To the one that stands by."""
    server.patch_lease({"spec": {"holderIdentity": "b"}})


def handed_to_nobody_known(server: ApiServer) -> None:
    server.patch_lease({"spec": {"holderIdentity": "somebody"}})


def emptied(server: ApiServer) -> None:
    server.patch_lease({"spec": {"holderIdentity": ""}})


def wiped(server: ApiServer) -> None:
    server.patch_lease(
        {"spec": {"holderIdentity": None, "renewTime": None, "acquireTime": None, "leaseTransitions": None}}
    )


@pytest.mark.parametrize("alter", [handed_over, handed_to_nobody_known, emptied, wiped])
@pytest.mark.parametrize("is_cut", [False, True], ids=["in touch", "cut off"])
def test_a_lease_that_was_altered_by_hand_has_never_two_leaders(
    alter: Callable[[ApiServer], None], is_cut: bool
) -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        alter(stage.server)
        altered_at = clock()
        a.line.is_cut = is_cut
        # In touch, it learns it at the next renewal, and by a look after that.
        await until(lambda: not stage.working, within=RENEW_DEADLINE if is_cut else RENEW_EVERY + 2 * RETRY_PERIOD)
        assert not a.elector.is_leading
        await until(lambda: len(stage.began) == 2, within=FAILOVER_AFTER_SIGKILL)
        assert clock() - altered_at >= LEASE_DURATION.total_seconds()
        await passes(timedelta(minutes=1))
        assert len(stage.began) == 2
        assert len(stage.working) == 1
        assert stage.overlaps == []

    play(scene())


def test_an_old_copy_that_is_restored_by_hand_gives_nobody_the_lease() -> None:
    async def scene() -> None:
        stage = Stage()
        a, b = await stage.leader_and_standby()
        copy = dict(stage.server.spec)
        await passes(2 * RENEW_EVERY)
        a.line.is_cut = True
        await until(lambda: stage.working == ["b"], within=FAILOVER_AFTER_SIGKILL)
        a.line.is_cut = False
        await passes(2 * REQUEST_DEADLINE)
        b.line.is_cut = True
        stage.server.patch_lease({"spec": copy})
        await passes(timedelta(minutes=1))
        assert len(stage.began) == 3
        assert stage.working == ["a"]
        assert stage.overlaps == []

    play(scene())
