"""In which order whoever begins to lead looks at everything: what is due goes before what is settled."""

import asyncio
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from datasource.api.names import Annotation, credential_secret_name
from datasource.api.objects import Datasource
from datasource.concurrency.fair_turns import FairTurns
from datasource.records.contents import Contents
from datasource.records.intent import Intent
from datasource_operator import takeover
from datasource_operator.cache import Cache, Key
from datasource_operator.queue import Priority, WorkQueue
from datasource_operator.takeover import AT_A_TIME, MOST_READY, Takeover, waits_since
from datasource_operator.trimming import trimmed
from tests.support.builders import (
    NAMESPACE,
    NOW,
    credential,
    credential_metadata,
    datasource,
    observed,
    settled,
    tombstone,
)
from tests.unit.datasource_operator.stand_ins import Clock

MINUTE = timedelta(minutes=1)
AT_ONCE = datetime.min.replace(tzinfo=NOW.tzinfo)
IN_USE = credential()
EXPIRES_SOON = credential(expires_at=NOW + MINUTE, refreshed_at=NOW - 59 * MINUTE)
NEVER_REFRESHED = credential(has_refresh_token=False)
BEGUN = credential(intent=Intent(id="intent", process="p", pod="p", at=NOW))


def settled_with(stored: Contents | None, **changes: Any) -> Datasource:
    """A Datasource with the status that it should have."""
    return msgspec.structs.replace(datasource(**changes), status=settled(observed(stored)).status)


@pytest.mark.parametrize("stored", [None, tombstone(), IN_USE, NEVER_REFRESHED])
def test_what_is_settled_waits_for_nothing(stored: Contents | None) -> None:
    assert waits_since(settled_with(stored), stored, NOW) is None


def test_a_refresh_waits_since_it_was_due() -> None:
    since = waits_since(settled_with(EXPIRES_SOON), EXPIRES_SOON, NOW)
    assert since is not None
    assert NOW - 59 * MINUTE < since < NOW


@pytest.mark.parametrize(
    ("seen", "stored"),
    [
        (datasource(), None),
        (settled_with(IN_USE, generation=2), IN_USE),
        (settled_with(IN_USE, annotations={Annotation.REFRESH: "now"}), IN_USE),
        (settled_with(IN_USE, deletion_timestamp=NOW), IN_USE),
        (settled_with(None), IN_USE),
        (settled_with(IN_USE), None),
        (settled_with(IN_USE), tombstone()),
        (settled_with(BEGUN), BEGUN),
    ],
)
def test_what_people_did_and_what_was_begun_does_not_wait_for_what_is_due(
    seen: Datasource, stored: Contents | None
) -> None:
    assert waits_since(seen, stored, NOW) == AT_ONCE


class EveryOtherIsDone(Exception):
    """All Datasources of the other namespace were looked at."""


class Fleet:
    """Many Datasources in the cache, and the queue of a process that has stood by."""

    def __init__(self, number: int) -> None:
        self.cache = Cache()
        self.queue: WorkQueue[Key] = WorkQueue(Clock(), lambda: 1.0, FairTurns(2, 1), lambda key: key.namespace)
        self.keys = [Key(NAMESPACE, f"d-{each:05}") for each in range(number)]
        for key in self.keys:
            self.store(key.name)
            self.queue.add(key)

    def store(self, name: str, expires_in: timedelta = 60 * MINUTE, namespace: str = NAMESPACE) -> None:
        stored = credential(expires_at=NOW + expires_in, refreshed_at=NOW + expires_in - 60 * MINUTE)
        seen = settled_with(stored, name=name, namespace=namespace, resource_version="9")
        self.cache.store_datasource(trimmed(seen))
        times = {"expires_at": stored.facts.expires_at, "refreshed_at": stored.facts.refreshed_at}
        told = {each: at.strftime("%Y-%m-%dT%H:%M:%SZ") for each, at in times.items() if at is not None}
        secret = credential_metadata(name=name, has_refresh_token="true", resource_version="9", **told)
        self.cache.store_secret(msgspec.structs.replace(secret, namespace=namespace))

    async def taken_over(self) -> list[Key]:
        """All keys, in the order in which workers take them."""
        self.queue.begin_anew()
        await Takeover(self.cache, self.queue, lambda: NOW).run()
        taken = []
        while self.queue.depth:
            taken.append(await self.queue.take())
            self.queue.done(taken[-1])
        return taken


async def test_those_that_are_due_go_before_thousands_that_are_not() -> None:
    fleet = Fleet(3 * AT_A_TIME)
    late, later = fleet.keys[-1], fleet.keys[-2]
    for key, left in ((later, 5 * MINUTE), (late, MINUTE)):
        fleet.cache.drop_datasource(key)
        fleet.cache.drop_secret_named(key, credential_secret_name(key.name))
        fleet.store(key.name, left)
    taken = await fleet.taken_over()
    # The one whose token ends first is the first.
    assert taken[:2] == [late, later]
    assert sorted(taken) == fleet.keys


async def test_no_more_are_queued_than_are_soon_looked_at() -> None:
    fleet = Fleet(MOST_READY + 4 * AT_A_TIME)
    fleet.queue.begin_anew()
    taken: list[Key] = []
    most = 0

    async def look_at_some(seconds: float) -> None:
        nonlocal most
        most = max(most, fleet.queue.ready)
        for _ in range(AT_A_TIME if seconds else 0):
            taken.append(await fleet.queue.take())
            fleet.queue.done(taken[-1])

    await Takeover(fleet.cache, fleet.queue, lambda: NOW, look_at_some).run()
    while fleet.queue.ready:
        taken.append(await fleet.queue.take())
        fleet.queue.done(taken[-1])
    assert most == MOST_READY + 1
    assert sorted(taken) == fleet.keys


async def test_namespace_whose_work_hangs_holds_up_no_other() -> None:
    fleet = Fleet(2 * MOST_READY)
    for number in range(MOST_READY + 100):
        fleet.store(f"other-{number}", namespace="other")
    fleet.queue.begin_anew()
    done: list[Key] = []
    turns = count()

    async def look_at_the_other(seconds: float) -> None:
        assert next(turns) < 20 * MOST_READY
        while fleet.queue.ready_in("other", Priority.ROUTINE):
            key = await fleet.queue.take()
            if key.namespace == NAMESPACE:
                # It hangs, and holds the one place of its namespace.
                continue
            fleet.queue.done(key)
            done.append(key)
        if len(done) == MOST_READY + 100:
            raise EveryOtherIsDone

    with pytest.raises(EveryOtherIsDone):
        await Takeover(fleet.cache, fleet.queue, lambda: NOW, look_at_the_other).run()


async def test_namespace_in_which_people_wait_without_end_holds_up_no_routine_of_another() -> None:
    fleet = Fleet(MOST_READY + 100)
    for key in fleet.keys:
        # As after an edit.
        fleet.cache.store_datasource(trimmed(settled_with(IN_USE, name=key.name, generation=2, resource_version="10")))
    fleet.store("calendar", namespace="other")
    fleet.queue.begin_anew()
    rounds, taken = count(), set[Key]()

    async def looks_at_one_and_more_are_edited(_: float) -> None:
        assert next(rounds) < 3 * MOST_READY
        await asyncio.sleep(0)
        key = await fleet.queue.take()
        taken.add(key)
        fleet.queue.done(key)
        if key.namespace == "other":
            raise EveryOtherIsDone
        for each in fleet.keys:
            fleet.queue.add(each)

    with pytest.raises(EveryOtherIsDone):
        await Takeover(fleet.cache, fleet.queue, lambda: NOW, looks_at_one_and_more_are_edited).run()
    assert len(taken) < MOST_READY


async def test_others_have_their_turns_meanwhile() -> None:
    fleet = Fleet(2 * AT_A_TIME)
    fleet.queue.begin_anew()
    taking_over = asyncio.create_task(Takeover(fleet.cache, fleet.queue, lambda: NOW).run())
    turns = 0
    while not taking_over.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 4


async def test_one_that_cannot_be_judged_is_looked_at_first_and_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet = Fleet(3)

    def judge(seen: Datasource, stored: Contents | None, now: datetime) -> datetime | None:
        if seen.metadata.name == fleet.keys[-1].name:
            raise RuntimeError("a bug")
        return waits_since(seen, stored, now)

    monkeypatch.setattr(takeover, "waits_since", judge)
    with capture_logs() as logs:
        assert await fleet.taken_over() == [fleet.keys[2], fleet.keys[0], fleet.keys[1]]
    assert [each["datasource"] for each in logs] == [str(fleet.keys[2])]
