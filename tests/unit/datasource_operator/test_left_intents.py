"""What a pod that came back, or leads no longer, tells whoever leads: that no reply lies here. And when it must not say so."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import msgspec
import pytest

from datasource.api.requests import HandledSet
from datasource.cluster.api_errors import ApiError, Forbidden, Unavailable
from datasource.cluster.resources import SECRETS
from datasource.records.contents import tombstone
from datasource.records.credential_patches import credential_patch, facts_patch
from datasource.records.intent import TAKEOVER_AFTER, Intent
from datasource_operator import left_intents
from datasource_operator.left_intents import CHECK_INTERVAL
from datasource_operator.refresh_memory import LOOK_GAP
from tests.support.builders import NAMESPACE
from tests.support.kube_in_memory import Call
from tests.unit.datasource_operator.journal_world import KEY, SECRET, Killed, OperatorProcess, World, journal_world

IN_FLIGHT = ["before open", "after open", "before write"]
"""A kill there loses the reply: it was read, and no file has it."""

LOOKS = int(TAKEOVER_AFTER / LOOK_GAP) + 2


async def died(world: World, *, at: int | str) -> OperatorProcess:
    """The pod's first process began a refresh, and was killed."""
    first = world.starts(dies_at=at)
    with contextlib.suppress(Killed):
        await first.refresh()
    first.end()
    return first


async def leads(process: OperatorProcess, looks: int = LOOKS) -> None:
    """It wants the refresh, and looks again every 5 seconds."""
    for _ in range(looks):
        await process.refresh()
        process.monotonic.advance(LOOK_GAP)


def intent_of(world: World) -> Intent:
    intent = world.facts.intent
    assert intent is not None
    return intent


def written(world: World, **changes: object) -> None:
    """Somebody changes what the credential Secret says of its tokens."""
    assert world.secret is not None
    facts = msgspec.structs.replace(world.facts, **changes)
    patch = facts_patch(datasource_name=KEY.name, resource_version=world.secret.metadata.resource_version, facts=facts)
    world.server.merge_patch(SECRETS, NAMESPACE, SECRET, patch, manager="another")


def version(world: World) -> str:
    assert world.secret is not None
    return world.secret.metadata.resource_version


async def test_leader_goes_on_once_the_pod_that_came_back_says_that_it_has_no_reply(tmp_path: Path) -> None:
    async with journal_world(tmp_path, is_strict=False) as world:
        await died(world, at="before open")
        before, leader, back = intent_of(world), world.starts("pod-2"), world.starts()
        await leads(leader)
        assert (len(world.provider.used), before.journal) == (1, True)
        await back.hand_over()
        after = msgspec.structs.replace(before, journal=False, ended=True)
        assert intent_of(world) == after, "what was sent stays on record"
        await leads(leader, 1)
        assert (world.facts.revision, world.facts.intent, len(world.provider.used)) == (2, None, 2)


async def test_whoever_sees_it_for_the_first_time_goes_on_at_once_as_nobody_waits_for_an_answer(tmp_path: Path) -> None:
    async with journal_world(tmp_path, is_strict=False) as world:
        await died(world, at="before open")
        await world.starts().hand_over()
        await leads(world.starts("pod-3"), 1)
        assert (world.facts.revision, len(world.provider.used)) == (2, 2)


async def test_request_that_a_living_process_gave_up_is_waited_for(tmp_path: Path) -> None:
    """The provider may still work on it."""
    async with journal_world(tmp_path, is_strict=False) as world:
        world.provider.status = 502
        process = world.starts()
        await process.refresh()
        await process.hand_over()
        assert (intent_of(world).journal, intent_of(world).ended) == (False, False)
        world.provider.status = 200
        leader = world.starts("pod-2")
        await leads(leader, int(TAKEOVER_AFTER / LOOK_GAP))
        assert len(world.provider.used) == 1
        await leads(leader, 2)
        assert len(world.provider.used) == 2


async def every_kill(tmp_path: Path, *, is_strict: bool) -> AsyncIterator[tuple[str, World]]:
    """At each step of the first process; its pod comes back while another one leads."""
    for at in count(1):
        folder = tmp_path / str(at)
        folder.mkdir()
        async with journal_world(folder, is_strict=is_strict) as world:
            first = await died(world, at=at)
            if not first.fate.is_dead:
                return
            leader, back = world.starts("pod-2"), world.starts()
            await leads(leader)
            for _ in range(2):
                await back.replay()
                await back.hand_over()
            await leads(leader)
            yield first.fate.steps[-1], world


@pytest.mark.parametrize("is_strict", [True, False], ids=["strict", "lenient"])
async def test_no_kill_costs_more_than_where_the_pod_itself_leads_again(tmp_path: Path, is_strict: bool) -> None:
    lost = []
    async for step, world in every_kill(tmp_path, is_strict=is_strict):
        assert world.facts.intent is None or world.facts.intent.sends == 2, step
        if world.is_lost:
            lost.append(step)
        else:
            assert (world.facts.revision, world.facts.verdict) == (2, None), step
    assert lost == (IN_FLIGHT if is_strict else [])


@pytest.mark.parametrize("dies_at", ["before merge_patch", "after merge_patch"])
async def test_pod_that_dies_while_it_says_so_says_it_when_it_comes_back_once_more(
    tmp_path: Path, dies_at: str
) -> None:
    async with journal_world(tmp_path, is_strict=False) as world:
        await died(world, at="before open")
        second = world.starts(dies_at=dies_at)
        with pytest.raises(Killed):
            await second.hand_over()
        second.end()
        third = world.starts()
        await third.hand_over()
        assert not intent_of(world).journal
        stood = version(world)
        await third.hand_over()
        assert version(world) == stood, "it is said once"
        await leads(world.starts("pod-2"))
        assert world.facts.revision == 2


async def test_reply_that_waits_to_be_stored_is_waited_for(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        await died(world, at="after rename")
        back, leader = world.starts(), world.starts("pod-2")

        def refuses(call: Call) -> Exception | None:
            return Forbidden(403, "Forbidden", "a webhook says no") if call.verb == "merge_patch" else None

        back.kube.refuses = refuses
        await back.replay()
        back.kube.refuses = lambda _: None
        await back.hand_over()
        await leads(leader)
        assert (intent_of(world).journal, len(world.provider.used)) == (True, 1)
        await back.replay()
        assert (world.refresh_token, world.is_lost) == ("rt-2", False)


async def test_reply_that_was_set_aside_is_left_for_a_person_to_look_at(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        await died(world, at="after rename")
        (file,) = (tmp_path / "pod-1" / "journal").iterdir()
        file.write_bytes(file.read_bytes()[:-9])
        back = world.starts()
        await back.replay()
        await back.hand_over()
        assert back.journal is not None
        assert (len(back.journal.aside), intent_of(world).journal) == (1, True)


async def test_process_that_did_not_get_the_journal_says_nothing_of_it(tmp_path: Path) -> None:
    """The one that has it may be about to write a reply down."""
    async with journal_world(tmp_path) as world:
        await died(world, at="before open")
        await world.starts(has_journal=False).hand_over()
        assert intent_of(world).journal


async def test_intents_of_other_pods_are_left_alone(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        await died(world, at="before open")
        await world.starts("pod-2").hand_over()
        assert intent_of(world).journal


async def test_intent_of_whoever_went_on_meanwhile_is_not_put_back(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        await died(world, at="before open")
        back = world.starts()
        another = Intent("0b", "process-9", "pod-9", world.now(), sends=2, journal=True)
        written(world, intent=another)
        await back.left.hand_over()
        assert world.facts.intent == another, "what its cache shows is older than what stands there"
        await back.hand_over()
        assert world.facts.intent == another


async def test_credential_that_was_cleared_meanwhile_stays_cleared(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        await died(world, at="before open")
        back, before = world.starts(), world.facts
        cleared = tombstone(before, credential_id="tombstone-1", handled=HandledSet())
        patch = credential_patch(datasource_name=KEY.name, resource_version=version(world), facts=cleared, data=None)
        world.server.merge_patch(SECRETS, NAMESPACE, SECRET, patch, manager="another")
        stood = version(world)
        await back.left.hand_over()
        await back.hand_over()
        assert version(world) == stood


@pytest.mark.parametrize("error", [Unavailable("no answer"), Forbidden(403, "Forbidden", "quota")])
async def test_api_server_that_refuses_is_asked_again(tmp_path: Path, error: ApiError | Unavailable) -> None:
    async with journal_world(tmp_path) as world:
        await died(world, at="before open")
        back = world.starts()
        back.kube.refuses = lambda _: error
        await back.hand_over()
        assert intent_of(world).journal
        back.kube.refuses = lambda _: None
        await back.hand_over()
        assert not intent_of(world).journal


async def test_process_that_leads_no_longer_says_so_of_what_it_left_itself(tmp_path: Path) -> None:
    async with journal_world(tmp_path, is_strict=False) as world:
        world.provider.status = 502
        process = world.starts()
        process.left.leads = True
        await process.refresh()
        await process.hand_over()
        assert intent_of(world).journal, "while it leads it goes on itself, and others need not"
        process.left.leads = False
        await process.hand_over()
        assert not intent_of(world).journal
        world.provider.status = 200
        await leads(world.starts("pod-2"))
        assert (world.facts.revision, world.facts.verdict) == (2, None)


async def test_process_that_leads_again_after_it_said_so_goes_on_at_once(tmp_path: Path) -> None:
    async with journal_world(tmp_path, is_strict=False) as world:
        await died(world, at="before open")
        back = world.starts()
        await back.hand_over()
        await back.refresh()
        assert (world.facts.revision, len(world.provider.used)) == (2, 2)


async def test_it_is_looked_for_as_long_as_the_process_lives_and_not_before_others_may_go_on(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        await died(world, at="before open")
        back, slept = world.starts(), []

        async def sleep(seconds: float) -> None:
            slept.append((seconds, intent_of(world).journal))
            if len(slept) == 3:
                raise asyncio.CancelledError

        back.left.sleep = sleep
        with pytest.raises(asyncio.CancelledError):
            await back.left.run()
        assert slept == [(CHECK_INTERVAL.total_seconds(), True)] + [(CHECK_INTERVAL.total_seconds(), False)] * 2


async def test_process_that_ends_says_so_and_waits_for_no_api_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with journal_world(tmp_path) as world:
        await died(world, at="before open")
        back = world.starts()
        asked = asyncio.Event()

        async def hangs(*_: object, **__: object) -> object:
            asked.set()
            return await asyncio.Event().wait()

        with monkeypatch.context() as patched:
            patched.setattr(left_intents, "LAST_CHECK_TIMEOUT", timedelta(0))
            patched.setattr(back.kube, "merge_patch", hangs)
            await back.left.hand_over_at_the_end()
        assert asked.is_set() or intent_of(world).journal
        await back.left.hand_over_at_the_end()
        assert not intent_of(world).journal
