"""Real processes that die by SIGKILL between a provider's reply and its store: what was written down is never lost.

A few points of many, in the same pod; `make faults` goes through all of them, waits longer, and loses pods as well.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from stat import S_IMODE

import pytest

from deploy.local.controlplane import ControlPlane
from deploy.local.provider import Provider
from deploy.local.stack import Stack
from tests.faults.kill_figures import Stage, Trial, missed, must_survive
from tests.faults.kills import Blow, Kills, Restart, kills
from tests.faults.pods import ARMED_STACK

pytestmark = pytest.mark.cluster

EACH = 2
"""Datasources at either provider: so many replies come at once."""

AT_ONCE = Restart(after=0)


@pytest.fixture(scope="module")
def struck(control_plane: ControlPlane, provider: Provider, stack: Stack, folder: Path) -> Iterator[Kills]:
    with kills(control_plane, provider, replace(stack, run=ARMED_STACK), folder / "kills") as made:
        made.prepare(EACH)
        yield made


def stages(trials: list[Trial]) -> set[Stage]:
    return {each.stage for each in trials}


@pytest.mark.parametrize(
    ("blow", "stage"),
    [
        (Blow("after write"), Stage.WRITTEN_DOWN),
        (Blow("after rename", 2 * EACH), Stage.WRITTEN_DOWN),
        (Blow("before store", 2 * EACH, again="before store"), Stage.WRITTEN_DOWN),
        (Blow("after store", EACH), Stage.STORED),
    ],
    ids=str,
)
def test_operator_that_is_killed_loses_nothing_that_it_had_written_down(
    struck: Kills, blow: Blow, stage: Stage
) -> None:
    trials = struck.hit_the_operator(blow, AT_ONCE)
    assert len(trials) == 2 * EACH
    assert stage in stages(trials)
    assert [each for each in missed(trials) if "nothing was shown" not in each] == []


def test_strict_provider_ends_a_grant_whose_reply_was_under_way_and_a_lenient_one_does_not(struck: Kills) -> None:
    """What the other tests are measured by: here a reply is lost, and that is seen."""
    trials = struck.hit_the_operator(Blow("before write"), AT_ONCE)
    under_way = [each for each in trials if each.stage is Stage.UNDER_WAY]
    assert under_way
    assert [each.lost for each in under_way] == [each.provider == "strict" for each in under_way]
    assert not any(each.lost or each.interrupted for each in trials if must_survive(each))


def test_operator_that_is_killed_at_a_system_call_loses_nothing_that_it_had_written_down(struck: Kills) -> None:
    assert struck.hit_the_operator(Blow(), AT_ONCE) == [], "nobody is killed"
    calls = struck.calls_of(Blow())
    last_rename = max(number for number, name in enumerate(calls, start=1) if name.startswith("rename"))
    # Where it needs fewer of them this time, it is not hit.
    tries = (
        struck.hit_the_operator(Blow(system_call=number), AT_ONCE) for number in (last_rename, last_rename // 2, 9)
    )
    trials = next(each for each in tries if each)
    assert len(trials) == 2 * EACH
    assert not any(each.lost or each.interrupted for each in trials if must_survive(each))


@pytest.mark.parametrize(
    ("blow", "stage"),
    [(Blow("after rename", EACH), Stage.WRITTEN_DOWN), (Blow("after store", EACH), Stage.STORED)],
    ids=str,
)
def test_callback_server_that_is_killed_loses_no_consent_that_it_had_written_down(
    struck: Kills, blow: Blow, stage: Stage
) -> None:
    trials = struck.hit_the_callback_server(blow, AT_ONCE, struck.grants)
    assert stage in stages(trials)
    assert not any(each.lost for each in trials if must_survive(each))


def test_entries_are_in_the_volume_of_their_pod_for_nobody_else(struck: Kills) -> None:
    folders = [pod.volume / "journal" for pod in (struck.leader, struck.pages)]
    assert {S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    assert not any(list(folder.iterdir()) for folder in folders), "all is dealt with"
