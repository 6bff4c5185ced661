"""Replies that lie in the journal, whoever is killed where, and whatever was done meanwhile."""

import asyncio
import dataclasses
import shutil
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from datasource.api.names import Annotation
from datasource.api.requests import HandledSet
from datasource.api.states import Reason
from datasource.cluster.api_errors import Forbidden, Unavailable
from datasource.cluster.resources import DATASOURCES, SECRETS
from datasource.process.journal import REPLIES
from datasource.process.journal_folder import Unusable
from datasource.records.contents import tombstone
from datasource.records.credential import read_data
from datasource.records.credential_patches import credential_patch, facts_patch
from datasource.records.intent import JOURNAL_IS_LOST_AFTER, TAKEOVER_AFTER, Intent
from datasource.records.schedule import SHORTEST_PAUSE, refresh_due
from datasource_operator.outcome_writer import CANNOT_BE_READ
from datasource_operator.refresh_memory import LOOK_GAP
from datasource_operator.refresh_sender import RefreshSender
from datasource_operator.replayer import Replayer
from datasource_operator.tasks import cancel
from tests.support.builders import NAMESPACE
from tests.unit.datasource_operator.journal_world import (
    KEY,
    SECRET,
    Killed,
    OperatorProcess,
    World,
    journal_world,
)

IN_FLIGHT = ["before open", "after open", "before write"]
"""Steps between the provider's rotation and the end of the file: what a kill there costs is published, and not prevented."""

WRITTEN_DOWN = ["after write", "before rename", "after rename"]
STORE = ["before merge_patch", "after merge_patch", "before unlink", "after unlink"]

BEFORE_IT_IS_SENT = ["before merge_patch", "after merge_patch"]


def folder(tmp_path: Path, number: int) -> Path:
    made = tmp_path / str(number)
    made.mkdir()
    return made


async def goes_on(process: OperatorProcess) -> None:
    """Until nothing is left to do."""
    for _ in range(3):
        if process.journal is not None:
            await process.replay()
        await process.refresh()


async def killed(process: OperatorProcess, work: Callable[[OperatorProcess], Any]) -> bool:
    """Whether it was, before all was done."""
    try:
        await work(process)
    except Killed:
        return True
    finally:
        process.end()
    return process.fate.is_dead


async def every_kill(
    tmp_path: Path, *, is_strict: bool, has_journal: bool = True, elsewhere: bool = False
) -> AsyncIterator[tuple[int, str, World]]:
    """A process that refreshes is killed at each of its steps, and the next one goes on."""
    for at in range(1, 100):
        async with journal_world(folder(tmp_path, at), is_strict=is_strict) as world:
            first = world.starts(dies_at=at, has_journal=has_journal)
            if not await killed(first, OperatorProcess.refresh):
                return
            world.moment += JOURNAL_IS_LOST_AFTER if elsewhere else timedelta(0)
            following = world.starts("pod-2" if elsewhere else "pod-1", has_journal=has_journal)
            if elsewhere:
                for _ in range(9):
                    await following.refresh()
                    following.monotonic.advance(LOOK_GAP)
            await goes_on(following)
            yield at, first.fate.steps[-1], world


@pytest.mark.parametrize("is_strict", [True, False], ids=["strict", "lenient"])
async def test_no_kill_loses_a_grant_but_while_the_reply_is_under_way(tmp_path: Path, is_strict: bool) -> None:
    lost: list[str] = []
    steps: list[str] = []
    async for _, step, world in every_kill(tmp_path, is_strict=is_strict):
        steps.append(step)
        if world.is_lost:
            lost.append(step)
            continue
        assert (world.facts.verdict, world.facts.intent, world.facts.revision) == (None, None, 2), steps
        assert not any((world.tmp_path / "pod-1" / "journal").iterdir())
    assert steps == BEFORE_IT_IS_SENT + IN_FLIGHT + WRITTEN_DOWN + STORE
    assert lost == (IN_FLIGHT if is_strict else [])


async def test_without_a_journal_a_kill_before_the_store_loses_it(tmp_path: Path) -> None:
    """What the journal is for; and that the provider of these tests is strict."""
    kills = every_kill(tmp_path, is_strict=True, has_journal=False)
    outcomes = [(step, world.is_lost) async for _, step, world in kills]
    intent_and_store = ["before merge_patch", "after merge_patch"] * 2
    assert outcomes == list(zip(intent_and_store, [False, False, True, False], strict=True))


@pytest.mark.parametrize("is_strict", [True, False], ids=["strict", "lenient"])
async def test_pod_that_is_lost_with_its_journal_costs_no_more_than_before(tmp_path: Path, is_strict: bool) -> None:
    async for _, step, world in every_kill(tmp_path, is_strict=is_strict, elsewhere=True):
        assert world.is_lost is (is_strict and world.facts.revision == 1), step
        assert world.facts.revision == 2 or world.facts.verdict is Reason.REFRESH_INTERRUPTED or world.provider.is_dead


@pytest.mark.parametrize("first_dies", ["after rename", "before unlink"])
async def test_no_kill_in_a_replay_loses_it_either(tmp_path: Path, first_dies: str) -> None:
    for at in count(1):
        async with journal_world(folder(tmp_path, at)) as world:
            assert await killed(world.starts(dies_at=first_dies), OperatorProcess.refresh)
            second = world.starts(dies_at=at)
            if not await killed(second, OperatorProcess.replay):
                break
            await goes_on(world.starts())
            assert not world.is_lost, second.fate.steps
            assert (world.facts.verdict, world.facts.intent, world.facts.revision) == (None, None, 2)
            assert len(world.provider.used) == 1
    assert at > 4


# What was done meanwhile.


async def left_behind(world: World) -> None:
    """A process wrote a reply down, and was killed before it stored it."""
    assert await killed(world.starts(dies_at="after rename"), OperatorProcess.refresh)
    assert world.provider.refresh_token == "rt-2"
    assert world.refresh_token == "rt-1"


def replied(result: str) -> float:
    return float(REPLIES.labels(result)._value.get())


def writes(world: World, **changes: Any) -> None:
    """Somebody changes what the credential Secret says of its tokens."""
    assert world.secret is not None
    facts = msgspec.structs.replace(world.facts, **changes)
    patch = facts_patch(datasource_name=KEY.name, resource_version=world.secret.metadata.resource_version, facts=facts)
    world.server.merge_patch(SECRETS, NAMESPACE, SECRET, patch, manager="another")


ANOTHER = Intent(id="0b", process="process-9", pod="pod-9", at=None, sends=2)  # type: ignore[arg-type]


def taken_over(world: World) -> Intent:
    intent = msgspec.structs.replace(ANOTHER, at=world.now())
    writes(world, intent=intent)
    return intent


async def test_reply_is_stored_as_it_would_have_been_when_it_came(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        received_at = world.moment
        await left_behind(world)
        world.moment += timedelta(hours=2)
        process = world.starts()
        assert await process.replay() is None
        assert world.facts.refreshed_at == received_at
        assert world.facts.expires_at == received_at + timedelta(hours=1)
        assert world.facts.stored_by is not None


async def test_clock_that_was_set_back_meanwhile_changes_nothing_about_the_reply(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        received_at = world.moment
        await left_behind(world)
        world.moment -= timedelta(days=400)
        process = world.starts()
        assert await process.replay() is None
        assert (world.refresh_token, world.facts.revision, world.facts.refreshed_at) == ("rt-2", 2, received_at)
        assert process.journal is not None
        assert process.journal.waiting == []


async def test_id_token_is_judged_at_the_moment_when_it_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with journal_world(tmp_path) as world:
        received_at = world.moment
        await left_behind(world)
        world.moment += timedelta(hours=2)
        process = world.starts()
        moments: list[object] = []
        judged = RefreshSender.judged

        async def seen(*arguments: Any, at: Any) -> Any:
            moments.append(at)
            return await judged(*arguments, at=at)

        monkeypatch.setattr(RefreshSender, "judged", seen)
        await process.replay()
        assert (moments, world.refresh_token) == ([received_at], "rt-2")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
async def test_entry_that_is_not_whole_is_set_aside_and_refreshes_go_on(tmp_path: Path, share: float) -> None:
    """No process of ours leaves one; a disk may. A lenient provider takes the old refresh token once more."""
    async with journal_world(tmp_path, is_strict=False) as world:
        await left_behind(world)
        (file,) = (tmp_path / "pod-1" / "journal").iterdir()
        file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
        process = world.starts()
        assert await process.replay() is None
        assert process.journal is not None
        assert (process.journal.waiting, len(process.journal.aside)) == ([], 1)
        await process.refresh()
        assert (world.refresh_token, world.facts.revision) == ("rt-3", 2)


async def test_second_process_on_one_directory_leaves_its_replies_alone(tmp_path: Path) -> None:
    """It has no journal, so it cannot know what lies there: it waits for whoever has it."""
    async with journal_world(tmp_path) as world:
        await left_behind(world)
        first = world.starts()
        with pytest.raises(Unusable):
            world.starts()
        second = world.starts(has_journal=False)
        for _ in range(20):
            await second.refresh()
            second.monotonic.advance(LOOK_GAP)
        assert len(world.provider.used) == 1
        await first.replay()
        assert world.refresh_token == "rt-2"


async def test_nothing_is_sent_while_a_reply_lies_there(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        await left_behind(world)
        process = world.starts()
        process.kube.refuses = lambda call: Unavailable("no answer") if call.resource == SECRETS else None
        for _ in range(3):
            await process.refresh()
        assert len(world.provider.used) == 1
        assert "no answer" in process.trouble()
        assert "do not delete the pod" in process.trouble()
        process.kube.refuses = lambda _: None
        process.monotonic.advance(timedelta(minutes=6))
        await process.refresh()
        assert (world.refresh_token, len(world.provider.used)) == ("rt-2", 1)


async def test_standby_replays_and_hands_nothing_to_its_reconciler(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        await left_behind(world)
        process = world.starts()
        told: list[object] = []
        replayer: Replayer = process.refresher.replayer
        replayer.changed = told.append
        await process.replay()
        assert world.refresh_token == "rt-2"
        assert process.refresher.steps.token_secrets._in_hand == {}
        assert told == [KEY]


async def test_process_that_took_over_and_was_told_that_the_grant_is_dead_is_proved_wrong(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        await left_behind(world)
        writes(
            world,
            intent=None,
            verdict=Reason.REFRESH_INTERRUPTED,
            verdict_message="The provider refused: invalid_grant.",
        )
        await world.starts().replay()
        assert (world.facts.verdict, world.facts.verdict_message, world.refresh_token) == (None, None, "rt-2")
        due = refresh_due(world.facts, refresh_before=None, first_seen=world.now())
        assert due is not None
        assert due <= world.now() + SHORTEST_PAUSE


async def test_intent_of_whoever_took_over_is_left_alone_until_nobody_waits_for_its_answer(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        await left_behind(world)
        intent, process = taken_over(world), world.starts()
        replays = process.refresher.replays
        assert replays is not None
        for _ in range(int(TAKEOVER_AFTER / LOOK_GAP)):
            await replays.replay(world.place)
            assert world.facts.intent == intent
            process.monotonic.advance(LOOK_GAP)
        await replays.replay(world.place)
        assert (world.facts.intent, world.refresh_token) == (None, "rt-2")


async def test_whoever_took_over_and_stored_is_not_put_back(tmp_path: Path) -> None:
    async with journal_world(tmp_path, is_strict=False) as world:
        await left_behind(world)
        other = world.starts("pod-2")
        world.moment += JOURNAL_IS_LOST_AFTER
        for _ in range(9):
            await other.refresh()
            other.monotonic.advance(LOOK_GAP)
        assert (world.refresh_token, world.facts.revision) == ("rt-3", 2)
        before = replied("superseded")
        await world.starts().replay()
        assert (world.refresh_token, world.facts.revision) == ("rt-3", 2)
        assert replied("superseded") == before + 1
        assert world.provider.revoked == []


async def test_pod_that_may_come_back_to_its_journal_is_waited_for_and_that_is_said(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        await left_behind(world)
        other = world.starts("pod-2")
        for _ in range(20):
            await other.refresh()
            other.monotonic.advance(LOOK_GAP)
        assert len(world.provider.used) == 1
        assert "begins again when that pod says that it has none, after 15 minutes" in other.trouble()
        assert world.facts.verdict is None
        await world.starts().replay()
        assert not world.is_lost


async def test_reply_after_a_clear_is_revoked_and_stored_nowhere(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        await left_behind(world)
        assert world.secret is not None
        gone = tombstone(world.facts, credential_id="t-1", handled=HandledSet())
        version = world.secret.metadata.resource_version
        patch = credential_patch(datasource_name=KEY.name, resource_version=version, facts=gone, data=None)
        world.server.merge_patch(SECRETS, NAMESPACE, SECRET, patch, manager="another")
        before = replied("dropped")
        await world.starts().replay()
        assert world.refresh_token is None
        assert world.provider.revoked == ["rt-2"]
        assert replied("dropped") == before + 1


async def test_reply_for_a_datasource_that_is_gone_is_revoked(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        await left_behind(world)
        world.server.remove(SECRETS, NAMESPACE, SECRET)
        world.server.remove(DATASOURCES, NAMESPACE, KEY.name)
        process = world.starts()
        await process.replay()
        assert (world.secret, world.provider.revoked) == (None, ["rt-2"])
        assert process.journal is not None
        assert process.journal.waiting == []


async def test_reply_for_a_datasource_that_was_made_anew_goes_to_neither(tmp_path: Path) -> None:
    """The new one has the name of the old one, and nothing of what was consented to."""
    async with journal_world(tmp_path) as world:
        await left_behind(world)
        world.server.remove(SECRETS, NAMESPACE, SECRET)
        world.server.put(
            DATASOURCES, NAMESPACE, KEY.name, metadata={"uid": "another", "generation": 1}, spec=world.spec
        )
        assert await world.starts().replay() is None
        assert (world.secret, world.provider.revoked) == (None, ["rt-2"])


async def test_reply_is_dropped_where_a_person_authorized_anew(tmp_path: Path) -> None:
    """Some providers would revoke the new grant with the old tokens."""
    async with journal_world(tmp_path) as world:
        await left_behind(world)
        writes(world, credential_id="new", intent=None)
        await world.starts().replay()
        assert (world.facts.credential_id, world.facts.revision, world.refresh_token) == ("new", 1, "rt-1")
        assert world.provider.revoked == []


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param({"suspend": True}, id="suspended"),
        pytest.param(
            {
                "oauth2": {
                    "clientID": "another",
                    "authorizeURL": "https://x.example.com/a",
                    "tokenURL": "https://x.example.com/t",
                }
            },
            id="edited",
        ),
        pytest.param({"oauth2": {}}, id="broken"),
    ],
)
async def test_spec_that_was_edited_meanwhile_changes_nothing_about_the_reply(
    tmp_path: Path, edit: dict[str, Any]
) -> None:
    async with journal_world(tmp_path) as world:
        await left_behind(world)
        usual = {"uid": "u", "generation": 2}
        world.server.put(DATASOURCES, NAMESPACE, KEY.name, metadata=usual, spec=world.spec | edit)
        await world.starts().replay()
        assert (world.refresh_token, world.facts.revision) == ("rt-2", 2)


async def test_secret_that_somebody_labelled_or_broke_is_looked_at_again(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        await left_behind(world)
        broken = {"metadata": {"annotations": {Annotation.REVISION: "many"}}}
        world.server.merge_patch(SECRETS, NAMESPACE, SECRET, broken, manager="somebody")
        process = world.starts()
        assert await process.replay() == CANNOT_BE_READ
        mended = {"metadata": {"annotations": {Annotation.REVISION: "1"}, "labels": {"backup": "yes"}}}
        world.server.merge_patch(SECRETS, NAMESPACE, SECRET, mended, manager="somebody")
        assert await process.replay() is None
        assert world.refresh_token == "rt-2"


@pytest.mark.parametrize("taken", [Annotation.ROLE, Annotation.DATASOURCE, Annotation.CREDENTIAL_ID])
async def test_secret_that_lost_an_annotation_is_waited_for(tmp_path: Path, taken: Annotation) -> None:
    async with journal_world(tmp_path) as world:
        await left_behind(world)
        before = annotation(world, taken)
        annotate(world, taken, None)
        process = world.starts()
        assert await process.replay() == CANNOT_BE_READ
        annotate(world, taken, before)
        assert await process.replay() is None
        assert (world.refresh_token, world.is_lost) == ("rt-2", False)


@pytest.mark.parametrize("taken", [Annotation.ROLE, Annotation.DATASOURCE, Annotation.CREDENTIAL_ID])
async def test_reply_that_meets_a_secret_without_an_annotation_is_left_to_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: Annotation
) -> None:
    async with journal_world(tmp_path) as world:
        process, send = world.starts(), RefreshSender.send
        before = annotation(world, taken)

        async def is_edited_meanwhile(self: RefreshSender, *args: Any, **options: Any) -> Any:
            answer = await send(self, *args, **options)
            annotate(world, taken, None)
            return answer

        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(RefreshSender, "send", is_edited_meanwhile)
            await process.refresh()
        assert process.journal is not None
        assert len(process.journal.waiting) == 1
        annotate(world, taken, before)
        await goes_on(process)
        assert (world.refresh_token, world.is_lost) == ("rt-2", False)


def annotation(world: World, key: Annotation) -> str:
    assert world.secret is not None
    return world.secret.metadata.annotations[key]


def annotate(world: World, key: Annotation, value: str | None) -> None:
    world.server.merge_patch(
        SECRETS, NAMESPACE, SECRET, {"metadata": {"annotations": {key: value}}}, manager="kubectl-annotate"
    )


async def test_data_that_cannot_be_read_are_waited_for(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        await left_behind(world)
        held = world.server.stored(SECRETS)[0]["data"]["access_token"]
        world.server.merge_patch(SECRETS, NAMESPACE, SECRET, {"data": {"access_token": None}}, manager="somebody")
        process = world.starts()
        assert await process.replay() == CANNOT_BE_READ
        world.server.merge_patch(SECRETS, NAMESPACE, SECRET, {"data": {"access_token": held}}, manager="somebody")
        assert await process.replay() is None
        assert world.refresh_token == "rt-2"


async def test_write_in_between_is_looked_at_before_anything_is_put_over_it(tmp_path: Path) -> None:
    """Another pod takes over between the replay's look and its write."""
    async with journal_world(tmp_path) as world:
        await left_behind(world)
        process = world.starts()
        intents: list[Intent] = []

        def takes_over(call: Any) -> None:
            if call.verb == "get" and not call.metadata_only and not intents:
                intents.append(taken_over(world))

        process.kube.written = takes_over
        assert await process.replay() == "the credential Secret changed meanwhile"
        assert world.facts.intent == intents[0]
        assert world.refresh_token == "rt-1"


async def test_two_replies_for_one_credential_are_stored_one_after_the_other(tmp_path: Path) -> None:
    """The second one was got with what the first one brought."""
    async with journal_world(tmp_path) as world:
        await left_behind(world)
        kept = {path.name: path.read_bytes() for path in (tmp_path / "pod-1" / "journal").iterdir()}
        process = world.starts()
        await process.replay()
        process.end()
        world.moment += timedelta(hours=1)
        assert await killed(world.starts(dies_at="after rename"), OperatorProcess.refresh)
        # As if the first had never been stored: its entry is there again, and so is what it was got with.
        for name, content in kept.items():
            (tmp_path / "pod-1" / "journal" / name).write_bytes(content)
        data = {"refresh_token": "cnQtMQ==", "access_token": "YXQtMQ=="}
        annotations = {Annotation.REVISION: "1", Annotation.STORED_BY: None}
        world.server.merge_patch(
            SECRETS, NAMESPACE, SECRET, {"data": data, "metadata": {"annotations": annotations}}, manager="backup"
        )
        last = world.starts()
        assert last.journal is not None
        assert len(last.journal.waiting) == 2
        for _ in range(9):
            await last.replay()
        assert (world.refresh_token, world.facts.revision) == ("rt-3", 3)
        assert not world.is_lost


# Replies that are no plain store.


async def test_reply_of_which_only_the_refresh_token_can_be_used_is_kept(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        world.provider.also = {"access_token": 7}
        await left_behind(world)
        await world.starts().replay()
        assert (world.refresh_token, world.facts.revision, world.facts.intent) == ("rt-2", 2, None)
        assert world.secret is not None
        assert read_data(world.secret).access_token == "at-1"


async def test_reply_that_brings_nothing_leaves_the_intent_and_the_journal_empty(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        world.provider.also = {"access_token": 7, "refresh_token": None}
        await left_behind(world)
        process = world.starts()
        assert await process.replay() is None
        assert world.facts.intent is not None
        assert process.journal is not None
        assert process.journal.waiting == []


@pytest.mark.parametrize(("is_taken_over", "verdict"), [(False, Reason.GRANT_REVOKED), (True, None)])
async def test_verdict_is_written_only_over_the_request_that_was_judged(
    tmp_path: Path, is_taken_over: bool, verdict: Reason | None
) -> None:
    async with journal_world(tmp_path) as world:
        world.provider.also = {"error": "invalid_grant", "refresh_token": None}
        await left_behind(world)
        process = world.starts()
        if is_taken_over:
            taken_over(world)
            for _ in range(9):
                assert process.refresher.replays is not None
                await process.refresher.replays.replay(world.place)
                process.monotonic.advance(LOOK_GAP)
        await process.replay()
        assert world.facts.verdict is verdict


async def test_client_that_is_gone_with_its_namespace_ends_the_try_to_revoke(tmp_path: Path) -> None:
    async with journal_world(tmp_path, has_client_secret=True) as world:
        await left_behind(world)
        for name in (SECRET, "my-app"):
            world.server.remove(SECRETS, NAMESPACE, name)
        process = world.starts()
        assert await process.replay() is None
        assert process.journal is not None
        assert (process.journal.waiting, world.provider.revoked) == ([], [])


async def test_client_secret_is_in_no_entry_and_proves_who_revokes(tmp_path: Path) -> None:
    async with journal_world(tmp_path, has_client_secret=True) as world:
        await left_behind(world)
        (file,) = (tmp_path / "pod-1" / "journal").iterdir()
        assert b"s3cret" not in file.read_bytes()
        assert b"rt-1" not in file.read_bytes()
        world.server.remove(SECRETS, NAMESPACE, SECRET)
        await world.starts().replay()
        assert world.provider.revoked == ["rt-2"]


# In the process that got the reply.


async def test_exception_after_the_reply_was_written_down_ends_in_a_replay_and_in_no_second_send(
    tmp_path: Path,
) -> None:
    async with journal_world(tmp_path) as world:
        process = world.starts()

        def fails(_: object) -> None:
            raise RuntimeError("a bug")

        process.refresher.sender.answered = fails
        with pytest.raises(RuntimeError):
            await process.refresh()
        process.refresher.sender.answered = lambda _: None
        assert world.refresh_token == "rt-1"
        await process.refresh()
        assert (world.refresh_token, len(world.provider.used)) == ("rt-2", 1)


async def test_refused_store_gives_its_place_back_after_a_minute_and_is_told_in_the_api_servers_words(
    tmp_path: Path,
) -> None:
    async with journal_world(tmp_path) as world:
        process = world.starts()
        patches = count(1)

        def full(call: Any) -> Exception | None:
            # The intent is written; its reply is not.
            is_store = call.verb == "merge_patch" and next(patches) > 1
            return Forbidden(403, "Forbidden", "exceeded quota: secrets") if is_store else None

        async def pause(seconds: float) -> None:
            process.monotonic.advance(timedelta(seconds=max(seconds, 1)))

        outcomes = process.refresher.outcomes
        outcomes.credential_secrets = dataclasses.replace(outcomes.credential_secrets, sleep=pause)
        process.kube.refuses = full
        began = process.monotonic()
        await process.refresh()
        assert 60 <= process.monotonic() - began < 70
        assert "exceeded quota: secrets" in process.trouble()
        assert "in the journal of the operator's pod" in process.trouble()
        await process.refresh()
        assert "exceeded quota: secrets" in process.trouble()
        process.kube.refuses = lambda _: None
        assert await process.replay() is None
        assert (world.refresh_token, len(world.provider.used)) == ("rt-2", 1)
        assert process.trouble() == ""


async def test_refused_store_is_seen_through_by_a_process_that_ends(tmp_path: Path) -> None:
    """Its pod takes the journal with it."""
    async with journal_world(tmp_path) as world:
        process = world.starts()
        patches = count(1)

        def full(call: Any) -> Exception | None:
            is_store = call.verb == "merge_patch" and 1 < next(patches) < 200
            return Forbidden(403, "Forbidden", "exceeded quota: secrets") if is_store else None

        async def pause(_: float) -> None:
            process.monotonic.advance(timedelta(seconds=5))

        outcomes = process.refresher.outcomes
        outcomes.credential_secrets = dataclasses.replace(outcomes.credential_secrets, sleep=pause)
        process.kube.refuses = full
        process.refresher.sender.answered = lambda _: setattr(process.refresher, "is_stopping", True)
        await process.refresh()
        assert world.refresh_token == "rt-2"


async def test_journal_that_takes_nothing_costs_nothing_but_itself(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        process = world.starts()
        assert process.journal is not None

        def full(step: str) -> None:
            if step == "before write":
                raise OSError(28, "No space left on device")

        process.journal.fault = full
        await process.refresh()
        assert world.refresh_token == "rt-2"
        assert not any((tmp_path / "pod-1" / "journal").iterdir())


async def test_reply_whose_file_somebody_deletes_holds_no_refresh_up(tmp_path: Path) -> None:
    """It is lost; a lenient provider takes the old refresh token once more."""
    async with journal_world(tmp_path, is_strict=False) as world:
        await left_behind(world)
        process, before = world.starts(), replied("dropped")
        shutil.rmtree(tmp_path / "pod-1" / "journal")
        await process.refresh()
        assert replied("dropped") == before + 1
        await process.refresh()
        assert (world.refresh_token, world.facts.revision) == ("rt-3", 2)
        # And the journal is there again.
        process.end()
        world.moment += timedelta(hours=1)
        assert await killed(world.starts(dies_at="after rename"), OperatorProcess.refresh)
        await world.starts().replay()
        assert (world.refresh_token, world.facts.revision) == ("rt-4", 3)


async def test_process_without_a_journal_writes_intents_as_it_always_did(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        for has_journal in (False, True):
            process = world.starts(dies_at=2, has_journal=has_journal)
            assert await killed(process, OperatorProcess.refresh)
            assert world.secret is not None
            assert ('"journal"' in world.secret.metadata.annotations[Annotation.INTENT]) is has_journal
        assert not any((tmp_path / "pod-1" / "journal").iterdir())


async def test_what_lies_there_is_dealt_with_from_the_start_on_and_before_the_end(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        await left_behind(world)
        process = world.starts()
        stored = asyncio.Event()
        process.refresher.replayer.changed = lambda _: stored.set()
        begun = process.refresher.start()
        async with asyncio.timeout(10):
            await stored.wait()
        assert world.refresh_token == "rt-2"
        await process.refresher.drain()
        await cancel(begun)
        process.end()
        world.moment += timedelta(hours=1)
        assert await killed(world.starts(dies_at="after rename"), OperatorProcess.refresh)
        await world.starts().refresher.drain()
        assert world.refresh_token == "rt-3"
        without = world.starts("pod-2", has_journal=False)
        assert without.refresher.start() == []
        await without.refresher.drain()
