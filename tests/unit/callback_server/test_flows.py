"""Flow records: each authorization has one, each is finished by one request, and there are never more than the slots."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from callback_server.flows import ClaimedFlow, FlowStore, NoSlot
from datasource.api.names import FLOW_SLOTS, flow_secret_name, uid_digest
from datasource.api.requests import Requests
from datasource.cluster.api_errors import Conflict, NotFound, Unavailable
from datasource.cluster.resources import SECRETS
from datasource.records.flow import FLOW_LIFETIME, Flow, FlowKey, Outcome, StoredFlow, key_hash, new_flow_key
from tests.unit.callback_server.visits import SYSTEM, SwappingKube
from tests.unit.datasource.builders import NOW, UID


class Beginning:
    """Makes flows, and remembers the key of each."""

    def __init__(self, at: datetime = NOW, seed: int = 1) -> None:
        self.at = at
        self.keys: dict[int, FlowKey] = {}
        self._seed = seed

    def __call__(self, slot: int) -> Flow:
        key = new_flow_key(UID, slot, lambda size: bytes([self._seed]) * size)
        self.keys[slot] = key
        return Flow(
            state_hash=key_hash(key),
            done_id="done",
            code_verifier="verifier",
            nonce=None,
            namespace="shop",
            name="calendar",
            uid=UID,
            parameters_hash="p",
            replaces="",
            requests=Requests(),
            cookie_hash="c",
            ticket_hash="t",
            redirect_uri="https://connect.example.com/callback/shop",
            created_at=self.at,
            expires_at=self.at + FLOW_LIFETIME,
        )


def store(kube: SwappingKube, now: datetime = NOW) -> FlowStore:
    return FlowStore(kube, SYSTEM, lambda: now)


async def begun(kube: SwappingKube) -> tuple[FlowKey, StoredFlow]:
    """One flow that waits to be claimed."""
    beginning = Beginning()
    await store(kube).begin(beginning, UID)
    key = beginning.keys[0]
    found = await store(kube).find(key)
    assert found is not None
    return key, found


# Beginning.


async def test_record_that_was_begun_is_found_by_its_key() -> None:
    kube = SwappingKube()
    key, found = await begun(kube)
    assert found.flow == Beginning()(0)
    assert await store(kube).find_named(key.secret_name) == found


async def test_each_flow_has_a_slot_of_its_own_however_many_begin_at_once() -> None:
    kube = SwappingKube()
    beginnings = [Beginning(seed=seed) for seed in range(FLOW_SLOTS)]
    await asyncio.gather(*(store(kube).begin(each, UID) for each in beginnings))
    found = [await store(kube).find(each.keys[max(each.keys)]) for each in beginnings]
    assert len({record.flow.state_hash for record in found if record is not None}) == FLOW_SLOTS


async def test_datasource_never_has_more_records_than_slots_and_the_oldest_unclaimed_goes() -> None:
    kube = SwappingKube()
    beginnings = [Beginning(NOW + timedelta(seconds=number), seed=number) for number in range(FLOW_SLOTS)]
    for each in beginnings:
        await store(kube).begin(each, UID)
    oldest = await store(kube).find(beginnings[0].keys[0])
    assert oldest is not None
    claimed = await store(kube).claim(beginnings[0].keys[0], oldest, "claim-1")
    late = Beginning(NOW + timedelta(minutes=1), seed=99)
    await store(kube, NOW + timedelta(minutes=1)).begin(late, UID)
    assert len(kube.objects) == FLOW_SLOTS
    assert claimed is not None
    still = await store(kube).find(beginnings[0].keys[0])
    assert still is not None
    assert still.flow.claim == "claim-1", "a code may be on its way in that one"
    replaced = await store(kube).find(beginnings[1].keys[1])
    assert replaced is not None
    assert replaced.flow.created_at == late.at


async def test_expired_record_is_written_over_before_any_that_lives() -> None:
    kube = SwappingKube()
    for number in range(FLOW_SLOTS):
        old = number == FLOW_SLOTS - 1
        await store(kube).begin(Beginning(NOW - FLOW_LIFETIME if old else NOW - timedelta(minutes=1), seed=number), UID)
    late = Beginning(seed=99)
    await store(kube).begin(late, UID)
    written = await store(kube).find_named(flow_secret_name(uid_digest(UID), FLOW_SLOTS - 1))
    assert written is not None
    assert written.flow.created_at == NOW


async def test_whoever_loses_every_slot_to_others_is_told_so() -> None:
    class Crowded(SwappingKube):
        async def create(self, *_: Any, **__: Any) -> Any:
            raise Conflict(409, "AlreadyExists", "taken")

        async def merge_patch(self, *_: Any, **__: Any) -> Any:
            raise Conflict(409, "Conflict", "changed")

    with pytest.raises(NoSlot):
        await store(Crowded()).begin(Beginning(), UID)


@pytest.mark.parametrize(
    "alter",
    [
        pytest.param(lambda content: content.pop("data"), id="no data"),
        pytest.param(lambda content: content.update(type="Opaque"), id="another type"),
        pytest.param(lambda content: content["data"].update(flow="!"), id="no base64"),
        pytest.param(lambda content: content["data"].update(flow="e30="), id="an empty object"),
    ],
)
async def test_altered_record_is_none_and_its_slot_is_used_again(alter: Callable[[dict[str, Any]], None]) -> None:
    kube = SwappingKube()
    key, _ = await begun(kube)
    alter(kube.objects[SECRETS.plural, SYSTEM, key.secret_name])
    assert await store(kube).find(key) is None
    for number in range(FLOW_SLOTS):
        await store(kube).begin(Beginning(seed=number + 2), UID)
    assert len(kube.objects) == FLOW_SLOTS


# Claiming.


async def test_of_many_who_claim_at_once_one_may_exchange() -> None:
    kube = SwappingKube()
    key, found = await begun(kube)
    claims = await asyncio.gather(*(store(kube).claim(key, found, f"claim-{number}") for number in range(8)))
    (won,) = [claim for claim in claims if claim is not None]
    assert isinstance(won, ClaimedFlow)
    stored = await store(kube).find(key)
    assert stored is not None
    assert stored.flow.claim == won.flow.claim


class Flaky(SwappingKube):
    """Its next writes end with an error, written or not."""

    def __init__(self, *failures: tuple[Exception, bool]) -> None:
        super().__init__()
        self.failures = list(failures)

    async def merge_patch(self, *arguments: Any, **options: Any) -> Any:
        if not self.failures:
            return await super().merge_patch(*arguments, **options)
        failure, is_written = self.failures.pop(0)
        if is_written:
            await super().merge_patch(*arguments, **options)
        raise failure


@pytest.mark.parametrize("is_written", [True, False], ids=["it was written", "it was not"])
async def test_claim_whose_answer_was_lost_is_ours_if_it_stands(is_written: bool) -> None:
    kube = Flaky((Unavailable("cut"), is_written))
    key, found = await begun(kube)
    claimed = await store(kube).claim(key, found, "claim-1")
    assert claimed is not None
    assert claimed.flow.claim == "claim-1"


async def test_claim_is_given_up_where_nobody_can_tell_whether_it_stands() -> None:
    kube = Flaky(*((Conflict(409, "Conflict", "changed"), False) for _ in range(50)))
    key, found = await begun(kube)
    assert await store(kube).claim(key, found, "claim-1") is None


@pytest.mark.parametrize("becomes", ["gone", "another flow"])
async def test_record_that_is_not_that_flow_any_more_cannot_be_claimed(becomes: str) -> None:
    kube = SwappingKube()
    key, found = await begun(kube)
    name = (SECRETS.plural, SYSTEM, key.secret_name)
    if becomes == "gone":
        del kube.objects[name]
    else:
        del kube.objects[name]
        await store(kube).begin(Beginning(seed=2), UID)
    assert await store(kube).claim(key, found, "claim-1") is None


async def test_how_it_ended_is_kept_with_the_claim() -> None:
    kube = SwappingKube()
    key, found = await begun(kube)
    claimed = await store(kube).claim(key, found, "claim-1")
    assert claimed is not None
    await store(kube).record_outcome(claimed, Outcome.NOT_STORED, "A title", "A message.")
    ended = await store(kube).find(key)
    assert ended is not None
    assert ended.flow == msgspec.structs.replace(
        claimed.flow, outcome=Outcome.NOT_STORED, outcome_title="A title", outcome_message="A message."
    )
    # Whoever else read the claim cannot write another end over it.
    with pytest.raises(Conflict):
        await store(kube).record_outcome(claimed, Outcome.STORED)


async def test_key_of_a_flow_is_not_printed_with_its_claim() -> None:
    kube = SwappingKube()
    key, found = await begun(kube)
    claimed = await store(kube).claim(key, found, "claim-1")
    assert key.text not in repr(claimed)


async def test_record_that_is_not_there_is_none() -> None:
    assert await store(SwappingKube()).find_named("nothing") is None
    with pytest.raises(NotFound):
        await store(SwappingKube()).kube.get(SECRETS, SYSTEM, "nothing", object)
