"""A reply waits in one pod, two other pods want the same refresh, and something happens meanwhile: in whatever order."""

import itertools
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from datasource.api.requests import HandledSet
from datasource.api.states import Reason
from datasource.cluster.api_errors import Unavailable
from datasource.cluster.resources import DATASOURCES, SECRETS
from datasource.records.contents import tombstone
from datasource.records.credential_patches import credential_patch
from datasource_operator.refresh_memory import LOOK_GAP
from tests.support.builders import NAMESPACE
from tests.unit.datasource_operator.journal_world import KEY, SECRET, OperatorProcess, World, journal_world
from tests.unit.datasource_operator.test_replayer import left_behind, writes

Act = Callable[[World, OperatorProcess], None]
"""What happens, to the world or to the pod with the reply."""


def nothing(_: World, __: OperatorProcess) -> None:
    pass


def told_that_it_is_dead(world: World, _: OperatorProcess) -> None:
    """Another pod had taken over, and wrote its verdict."""
    writes(world, intent=None, verdict=Reason.REFRESH_INTERRUPTED, verdict_message="invalid_grant")


def cleared(world: World, _: OperatorProcess) -> None:
    if world.secret is None:
        return
    gone = tombstone(world.facts, credential_id="t-1", handled=HandledSet())
    version = world.secret.metadata.resource_version
    patch = credential_patch(datasource_name=KEY.name, resource_version=version, facts=gone, data=None)
    world.server.merge_patch(SECRETS, NAMESPACE, SECRET, patch, manager="another")


def deleted(world: World, _: OperatorProcess) -> None:
    world.server.remove(SECRETS, NAMESPACE, SECRET)
    world.server.remove(DATASOURCES, NAMESPACE, KEY.name)


def made_again(world: World, process: OperatorProcess) -> None:
    deleted(world, process)
    usual = {"uid": "another", "generation": 1}
    world.server.put(DATASOURCES, NAMESPACE, KEY.name, metadata=usual, spec=world.spec)


def edited(world: World, _: OperatorProcess) -> None:
    usual = {"uid": "u", "generation": 2}
    oauth2 = {**world.spec["oauth2"], "clientID": "another"}
    world.server.put(DATASOURCES, NAMESPACE, KEY.name, metadata=usual, spec=world.spec | {"oauth2": oauth2})


def suspended(world: World, _: OperatorProcess) -> None:
    usual = {"uid": "u", "generation": 2}
    world.server.put(DATASOURCES, NAMESPACE, KEY.name, metadata=usual, spec=world.spec | {"suspend": True})


def authorized_anew(world: World, _: OperatorProcess) -> None:
    writes(world, credential_id="new", intent=None)


def labelled(world: World, _: OperatorProcess) -> None:
    world.server.merge_patch(SECRETS, NAMESPACE, SECRET, {"metadata": {"labels": {"a": "b"}}}, manager="somebody")


def intent_taken_away(world: World, _: OperatorProcess) -> None:
    """GitOps reverts the annotations of what it deployed."""
    writes(world, intent=None)


def api_server_is_away_for_it(_: World, process: OperatorProcess) -> None:
    process.kube.refuses = lambda call: Unavailable("no answer") if call.resource == SECRETS else None


def clock_is_set_back(world: World, _: OperatorProcess) -> None:
    world.moment -= timedelta(days=30)


def volume_takes_nothing(_: World, process: OperatorProcess) -> None:
    def full(step: str) -> None:
        if step.startswith("before"):
            raise OSError(28, "No space left on device")

    assert process.journal is not None
    process.journal.fault = full


@dataclass(frozen=True)
class Case:
    """What happens, and what is wanted of the reply."""

    act: Act
    stored: bool = True
    """Whether it stands in the end."""
    revoked: bool = False
    proved: bool = False
    """Whether the grant is proved at once by a refresh."""

    def __str__(self) -> str:
        return self.act.__name__


CASES = [
    Case(nothing),
    Case(told_that_it_is_dead, proved=True),
    Case(cleared, stored=False, revoked=True),
    Case(deleted, stored=False, revoked=True),
    Case(made_again, stored=False, revoked=True),
    Case(edited),
    Case(suspended),
    Case(authorized_anew, stored=False),
    Case(labelled),
    Case(api_server_is_away_for_it),
    Case(clock_is_set_back),
    Case(volume_takes_nothing),
]

ORDERS = [("pod-1", "pod-2", "pod-3"), ("pod-2", "pod-1", "pod-3"), ("pod-2", "pod-3", "pod-1")]
"""The second and the third are alike."""


async def take_turns(world: World, order: tuple[str, ...], pods: dict[str, OperatorProcess]) -> None:
    for name in order:
        process = pods[name]
        if name == "pod-1":
            await process.replay()
        elif world.server.stored(DATASOURCES):
            await process.refresh()
            process.monotonic.advance(LOOK_GAP)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_reply_ends_where_it_belongs_whoever_comes_first(tmp_path: Path, case: Case) -> None:
    for number, (order, happens_before) in enumerate(itertools.product(ORDERS, (True, False))):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with journal_world(folder) as world:
            await left_behind(world)
            pods = {name: world.starts(name) for name in ("pod-1", "pod-2", "pod-3")}
            if not happens_before:
                # They have looked at it already, and the pod with the reply is about to.
                await take_turns(world, tuple(each for each in order if each != "pod-1"), pods)
            case.act(world, pods["pod-1"])
            for _ in range(2):
                await take_turns(world, order, pods)
            pods["pod-1"].kube.refuses = lambda _: None
            await take_turns(world, order, pods)
            told = (case, order, happens_before)
            sent = world.provider.used.count("rt-1")
            if case.stored:
                assert (world.refresh_token, world.facts.verdict) == ("rt-3" if case.proved else "rt-2", None), told
                assert (world.is_lost, sent) == (False, 1), told
            else:
                assert world.refresh_token not in {"rt-2", "rt-3"}, told
            assert ("rt-2" in world.provider.revoked) is case.revoked, told
            assert pods["pod-1"].journal is not None
            assert pods["pod-1"].journal.waiting == [], told


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
async def test_intent_that_is_taken_away_lets_whoever_comes_first_decide_and_loses_no_lenient_grant(
    tmp_path: Path, order: tuple[str, ...]
) -> None:
    """Nothing tells others of the reply then. Where it comes first, a strict grant lives on, too."""
    for is_strict in (True, False):
        folder = tmp_path / str(is_strict)
        folder.mkdir()
        async with journal_world(folder, is_strict=is_strict) as world:
            await left_behind(world)
            pods = {name: world.starts(name) for name in ("pod-1", "pod-2", "pod-3")}
            intent_taken_away(world, pods["pod-1"])
            for _ in range(3):
                await take_turns(world, order, pods)
            assert world.is_lost is (is_strict and order[0] != "pod-1")
            assert world.facts.verdict in {None, Reason.GRANT_REVOKED}


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
async def test_backup_of_the_very_revision_that_was_sent_is_no_other_case(
    tmp_path: Path, order: tuple[str, ...]
) -> None:
    """It has no intent, and the refresh token that was sent."""
    async with journal_world(tmp_path, is_strict=False) as world:
        (secret,) = [each for each in world.server.stored(SECRETS) if each["metadata"]["name"] == SECRET]
        backup = deepcopy(secret)
        del backup["metadata"]["resourceVersion"]
        await left_behind(world)
        pods = {name: world.starts(name) for name in ("pod-1", "pod-2", "pod-3")}
        world.server.put(SECRETS, NAMESPACE, SECRET, **backup)
        for _ in range(3):
            await take_turns(world, order, pods)
        assert (world.is_lost, world.facts.verdict) == (False, None)
        assert world.facts.revision == 2
