"""An earlier revision of a credential is restored while a reply to a later one waits: a backup, or somebody's GitOps."""

import asyncio
from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from datasource.api.names import Annotation
from datasource.api.requests import HandledSet, Requests
from datasource.api.states import Reason
from datasource.cluster.resources import DATASOURCES, SECRETS
from datasource.records.credential import read_data
from datasource.records.intent import JOURNAL_IS_LOST_AFTER, Intent
from datasource_operator.refresh_memory import LOOK_GAP
from tests.support.builders import NAMESPACE
from tests.unit.datasource_operator.journal_world import KEY, SECRET, OperatorProcess, World, journal_world
from tests.unit.datasource_operator.test_replayer import killed, replied, writes

Backup = dict[str, Any]


def backed_up(world: World) -> Backup:
    """What a backup keeps of the credential Secret."""
    (secret,) = [each for each in world.server.stored(SECRETS) if each["metadata"]["name"] == SECRET]
    kept = deepcopy(secret)
    del kept["metadata"]["resourceVersion"]
    return kept


def restored(world: World, backup: Backup) -> None:
    """As `kubectl replace` does it, or an engine that reverts drift."""
    world.server.put(SECRETS, NAMESPACE, SECRET, **deepcopy(backup))


async def gets(process: OperatorProcess) -> None:
    """One more revision, an hour later."""
    process.world.moment += timedelta(hours=1)
    await process.refresh()


async def three_revisions(world: World) -> list[Backup]:
    """Backups of revisions 1, 2 and 3; the provider has forgotten the refresh tokens of the first two."""
    process, backups = world.starts(), [backed_up(world)]
    for _ in range(2):
        await gets(process)
        backups.append(backed_up(world))
    process.end()
    assert (world.refresh_token, world.facts.revision) == ("rt-3", 3)
    world.moment += timedelta(hours=1)
    return backups


async def left_behind(world: World) -> None:
    """The reply to revision 3 is written down, and its process was killed before it stored it."""
    assert await killed(world.starts(dies_at="after rename"), OperatorProcess.refresh)
    assert (world.provider.refresh_token, world.refresh_token) == ("rt-4", "rt-3")


@pytest.mark.parametrize("is_strict", [True, False], ids=["strict", "lenient"])
@pytest.mark.parametrize("revision", [1, 2, 3])
async def test_reply_is_stored_over_whatever_revision_was_brought_back(
    tmp_path: Path, revision: int, is_strict: bool
) -> None:
    async with journal_world(tmp_path, is_strict=is_strict) as world:
        backups = await three_revisions(world)
        received_at = world.moment
        await left_behind(world)
        restored(world, backups[revision - 1])
        process = world.starts()
        assert await process.replay() is None
        assert (world.refresh_token, world.facts.revision, world.facts.intent) == ("rt-4", 4, None)
        assert (world.facts.refreshed_at, world.facts.verdict) == (received_at, None)
        assert len(world.provider.used) == 3
        assert not world.is_lost
        await gets(process)
        assert (world.refresh_token, world.facts.revision) == ("rt-5", 5)


async def test_clock_that_was_ahead_when_the_backup_was_made_costs_no_reply(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        world.moment += timedelta(days=400)
        backups = await three_revisions(world)
        world.moment -= timedelta(days=400)
        # By this clock it is due in a year.
        asked = {"metadata": {"annotations": {Annotation.REFRESH: "now"}}}
        world.server.merge_patch(DATASOURCES, NAMESPACE, KEY.name, asked)
        await left_behind(world)
        restored(world, backups[1])
        await world.starts().replay()
        assert (world.refresh_token, world.facts.revision) == ("rt-4", 4)


async def test_whoever_refreshed_since_with_what_was_brought_back_is_not_put_back(tmp_path: Path) -> None:
    """Some providers take an old refresh token, and what they gave last may be all that works."""
    async with journal_world(tmp_path, is_strict=False) as world:
        backups = await three_revisions(world)
        await left_behind(world)
        restored(world, backups[0])
        other = world.starts("pod-2")
        await gets(other)
        assert (world.refresh_token, world.facts.revision) == ("rt-5", 2)
        before = replied("superseded")
        await world.starts().replay()
        assert (world.refresh_token, world.facts.revision) == ("rt-5", 2)
        assert replied("superseded") == before + 1
        assert world.provider.revoked == []


async def test_whoever_was_told_that_what_was_brought_back_is_dead_is_proved_wrong_at_once(tmp_path: Path) -> None:
    """A provider that refuses an old refresh token and leaves the grant alone."""
    async with journal_world(tmp_path) as world:
        backups = await three_revisions(world)
        await left_behind(world)
        restored(world, backups[0])
        writes(world, verdict=Reason.GRANT_REVOKED, verdict_message="The provider refused: invalid_grant.")
        await world.starts().replay()
        assert (world.refresh_token, world.facts.verdict, world.facts.verdict_message) == ("rt-4", None, None)
        assert world.facts.expiry_hint == world.moment


async def test_intent_out_of_a_backup_is_waited_for_like_any_other(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        backups = await three_revisions(world)
        await left_behind(world)
        restored(world, backups[1])
        writes(world, intent=Intent(id="0b", process="process-0", pod="pod-0", at=world.now()))
        process = world.starts()
        assert await process.replay() == "another process began to refresh the token"
        for _ in range(9):
            process.monotonic.advance(LOOK_GAP)
            await process.replay()
        assert (world.refresh_token, world.facts.intent) == ("rt-4", None)


async def test_what_was_handled_and_what_is_known_of_the_grant_is_not_brought_back_with_it(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        old = world.moment + timedelta(hours=1)
        asked, asked_before = HandledSet().with_requests(Requests(refresh="2")), Requests(refresh="1")
        writes(world, grant_expires_at=old, granted_scopes=("read",))
        backups = await three_revisions(world)
        end = old + timedelta(days=30)
        writes(world, grant_expires_at=end, granted_scopes=("read", "mail"), handled=asked)
        await left_behind(world)
        restored(world, backups[0])
        writes(world, handled=HandledSet().with_requests(asked_before))
        await world.starts().replay()
        handled = asked.with_requests(asked_before)
        assert set(world.facts.handled.refresh) == set(handled.refresh)
        assert (world.facts.grant_expires_at, world.facts.granted_scopes) == (end, ("read", "mail"))


async def test_reply_that_brings_nothing_changes_nothing_of_what_was_brought_back(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        backups = await three_revisions(world)
        world.provider.also = {"error": "invalid_grant", "refresh_token": None}
        await left_behind(world)
        restored(world, backups[1])
        process = world.starts()
        assert await process.replay() is None
        assert (world.refresh_token, world.facts.revision, world.facts.intent) == ("rt-2", 2, None)
        assert world.facts.verdict is None
        assert process.journal is not None
        assert process.journal.waiting == []


async def test_request_of_which_the_reply_says_that_it_was_not_processed_leaves_no_intent_there(
    tmp_path: Path,
) -> None:
    async with journal_world(tmp_path) as world:
        backups = await three_revisions(world)
        # The one before it was lost: taken back, the intent would say so.
        intent = Intent(id="0c", process="process-0", pod="pod-1", at=world.now(), journal=True)
        writes(world, intent=intent)
        world.provider.also = {"error": "temporarily_unavailable", "refresh_token": None}
        await left_behind(world)
        restored(world, backups[1])
        await world.starts().replay()
        assert (world.refresh_token, world.facts.revision, world.facts.intent) == ("rt-2", 2, None)


async def test_reply_of_which_only_the_refresh_token_can_be_used_is_kept_over_it(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        backups = await three_revisions(world)
        world.provider.also = {"access_token": 7}
        await left_behind(world)
        restored(world, backups[0])
        expires_at = world.facts.expires_at
        writes(world, verdict=Reason.GRANT_REVOKED, verdict_message="The provider refused: invalid_grant.")
        await world.starts().replay()
        assert world.secret is not None
        data = read_data(world.secret)
        # What is said of the access token is true of the one that stands there.
        assert (data.refresh_token, data.access_token, world.facts.expires_at) == ("rt-4", "at-1", expires_at)
        assert (world.facts.revision, world.facts.verdict) == (4, None)


async def test_two_replies_are_stored_one_after_the_other_over_what_was_brought_back(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        backups = await three_revisions(world)
        await left_behind(world)
        journal = tmp_path / "pod-1" / "journal"
        kept = {path.name: path.read_bytes() for path in journal.iterdir()}
        await world.starts().replay()
        for opened in list(world.journals):
            opened.close()
            world.journals.remove(opened)
        world.moment += timedelta(hours=1)
        assert await killed(world.starts(dies_at="after rename"), OperatorProcess.refresh)
        for name, content in kept.items():
            (journal / name).write_bytes(content)
        restored(world, backups[0])
        process = world.starts()
        for _ in range(4):
            await process.replay()
        assert (world.refresh_token, world.facts.revision) == ("rt-5", 5)
        assert not world.is_lost


# In the process that got the reply, which writes it over what it saw.


def before_the_store(process: OperatorProcess, happens: Callable[[], None]) -> None:
    """Have something happen between the reply and its store."""
    process.refresher.sender.answered = lambda _: happens()


@pytest.mark.parametrize("has_journal", [True, False])
@pytest.mark.parametrize("revision", [1, 2, 3])
async def test_process_that_has_the_reply_in_hand_stores_it_over_what_was_brought_back(
    tmp_path: Path, has_journal: bool, revision: int
) -> None:
    async with journal_world(tmp_path) as world:
        backups = await three_revisions(world)
        process = world.starts(has_journal=has_journal)
        before_the_store(process, lambda: restored(world, backups[revision - 1]))
        await process.refresh()
        assert (world.refresh_token, world.facts.revision, world.facts.intent) == ("rt-4", 4, None)
        assert (world.is_lost, process.trouble()) == (False, "")


async def test_requests_of_people_that_stand_there_are_not_taken_away(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        backups = await three_revisions(world)
        process = world.starts()
        asked = HandledSet().with_requests(Requests(refresh="1"))

        def happens() -> None:
            restored(world, backups[0])
            writes(world, handled=asked)

        before_the_store(process, happens)
        await process.refresh()
        assert (world.refresh_token, world.facts.handled) == ("rt-4", asked)


@pytest.mark.parametrize("change", [{"credential_id": "new"}, {"revision": 4, "stored_by": "0b"}])
async def test_another_credential_and_a_later_revision_still_win(tmp_path: Path, change: dict[str, Any]) -> None:
    async with journal_world(tmp_path) as world:
        await three_revisions(world)
        process = world.starts()
        before_the_store(process, lambda: writes(world, **change))
        await process.refresh()
        assert (world.refresh_token, world.facts.credential_id) == ("rt-3", change.get("credential_id", "credential-1"))


async def test_refused_token_says_nothing_of_what_was_brought_back(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        backups = await three_revisions(world)
        world.provider.is_dead = True
        process = world.starts()
        before_the_store(process, lambda: restored(world, backups[1]))
        await process.refresh()
        assert (world.facts.verdict, world.facts.revision, world.refresh_token) == (None, 2, "rt-2")


async def test_two_other_pods_on_what_was_brought_back_and_the_reply_in_a_third(tmp_path: Path) -> None:
    """A backup has no intent, so nothing tells others of the journal: whoever comes first decides, and none is lost to a
    lenient provider."""
    async with journal_world(tmp_path, is_strict=False) as world:
        backups = await three_revisions(world)
        await left_behind(world)
        restored(world, backups[0])
        second, third = world.starts("pod-2"), world.starts("pod-3")
        await asyncio.gather(second.refresh(), third.refresh(), world.starts().replay())
        for _ in range(9):
            for process in (second, third):
                await process.refresh()
                process.monotonic.advance(LOOK_GAP)
            world.moment += JOURNAL_IS_LOST_AFTER / 9
        assert not world.is_lost
        assert world.facts.verdict is None
