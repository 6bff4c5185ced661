"""A flow is finished by one request, however many try and whatever becomes of their writes."""

import asyncio
from datetime import datetime
from typing import Any

import msgspec
import pytest

from callback_server.cookie import cookie_hash
from callback_server.flows import ClaimedFlow, FlowStore
from callback_server.refusals import Kind, Refused
from datasource.api.names import FLOW_SLOTS
from datasource.cluster.api_errors import ApiError, Conflict, Forbidden, NotFound, Unavailable
from datasource.cluster.resources import SECRETS
from datasource.records.flow import FLOW_LIFETIME, Flow, FlowKey, Outcome, StoredFlow, key_hash, new_flow_key
from tests.support.api_in_memory import Address
from tests.unit.callback_server.visits import SYSTEM, Connection
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
            cookie_hash="c",
            ticket_hash="t",
            redirect_uri="https://connect.example.com/callback/shop",
            created_at=self.at,
            expires_at=self.at + FLOW_LIFETIME,
        )


def store(kube: Connection, now: datetime = NOW) -> FlowStore:
    return FlowStore(kube, SYSTEM, lambda: now, lambda: range(FLOW_SLOTS))


async def begun(kube: Connection) -> tuple[FlowKey, StoredFlow]:
    """One flow that waits to be claimed."""
    beginning = Beginning()
    await store(kube).begin(beginning, UID)
    key = beginning.keys[0]
    found = await store(kube).find(key)
    assert found is not None
    return key, found


# Claiming.


async def test_of_many_who_claim_at_once_one_may_exchange() -> None:
    kube = Connection()
    key, found = await begun(kube)
    claims = await asyncio.gather(*(store(kube).claim(key, found, f"claim-{number}") for number in range(8)))
    (won,) = [claim for claim in claims if claim is not None]
    assert isinstance(won, ClaimedFlow)
    stored = await store(kube).find(key)
    assert stored is not None
    assert stored.flow.claim == won.flow.claim


class Flaky(Connection):
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


async def test_claim_that_never_succeeds_leaves_the_flow_to_whoever_comes_again() -> None:
    """Not None: that says that somebody else finishes it, and the code would leave the address of the page."""
    kube = Flaky(*((Conflict(409, "Conflict", "changed"), False) for _ in range(50)))
    key, found = await begun(kube)
    with pytest.raises(Conflict):
        await store(kube).claim(key, found, "claim-1")


async def test_claim_that_is_forbidden_is_told_at_once() -> None:
    kube = Flaky((Forbidden(403, "Forbidden", "no"), False))
    key, found = await begun(kube)
    with pytest.raises(Forbidden):
        await store(kube).claim(key, found, "claim-1")


class Hangs(Flaky):
    """After the claim, so many reads are not answered, either."""

    def __init__(self, *failures: tuple[Exception, bool], reads: list[Exception]) -> None:
        super().__init__(*failures)
        self.reads = reads
        self.has_claimed = False

    async def merge_patch(self, *arguments: Any, **options: Any) -> Any:
        self.has_claimed = True
        return await super().merge_patch(*arguments, **options)

    async def get(self, *arguments: Any, **options: Any) -> Any:
        if self.has_claimed and self.reads:
            raise self.reads.pop(0)
        return await super().get(*arguments, **options)


SILENCES = [Unavailable("timeout"), ApiError(504, "", "a load balancer"), ApiError(500, "InternalError", "etcd")]


@pytest.mark.parametrize("is_written", [True, False], ids=["and was written", "and was not written"])
@pytest.mark.parametrize("silence", SILENCES, ids=str)
async def test_claim_into_an_api_server_that_hangs_is_known_once_it_answers_again(
    silence: Exception, is_written: bool
) -> None:
    """The instance: it hung for a minute between a claim and its answer, and the code was nobody's."""
    kube, slept = Hangs((silence, is_written), reads=[*SILENCES, *SILENCES]), list[float]()
    key, found = await begun(kube)
    claimed = await patient(kube, slept).claim(key, found, "claim-1")
    assert claimed is not None
    assert claimed.flow.claim == "claim-1"
    assert len(slept) == 2 * len(SILENCES), "a pause for each"


async def test_claim_into_an_api_server_that_hangs_is_waited_for_while_the_flow_lives_and_no_longer() -> None:
    kube, slept = Hangs((Unavailable("timeout"), True), reads=[Unavailable("timeout")] * 5), list[float]()
    key, found = await begun(kube)
    with pytest.raises(Unavailable):
        await patient(kube, slept, now=NOW + 2 * FLOW_LIFETIME).claim(key, found, "claim-1")
    assert slept == []


def patient(kube: Connection, slept: list[float], now: datetime = NOW) -> FlowStore:
    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    return FlowStore(kube, SYSTEM, lambda: now, lambda: range(FLOW_SLOTS), sleep)


@pytest.mark.parametrize("becomes", ["gone", "another flow"])
async def test_record_that_is_not_that_flow_any_more_cannot_be_claimed(becomes: str) -> None:
    kube = Connection()
    key, found = await begun(kube)
    name = Address(SECRETS.plural, SYSTEM, key.secret_name)
    if becomes == "gone":
        del kube.objects[name]
    else:
        del kube.objects[name]
        await store(kube).begin(Beginning(seed=2), UID)
    assert await store(kube).claim(key, found, "claim-1") is None


async def test_how_it_ended_is_kept_with_the_claim() -> None:
    kube = Connection()
    key, found = await begun(kube)
    claimed = await store(kube).claim(key, found, "claim-1")
    assert claimed is not None
    refused = Refused(Kind.CONSENT_WAS_DENIED, "A title", "A message.", advice="What to do.")
    await store(kube).record_outcome(claimed, refused)
    ended = await store(kube).find(key)
    assert ended is not None
    assert ended.flow == msgspec.structs.replace(
        claimed.flow,
        outcome=Outcome.NOT_STORED,
        outcome_title="A title",
        outcome_message="A message.",
        outcome_advice="What to do.",
        outcome_texts=("A title", "A message.", "What to do."),
        ended_at=NOW,
    )
    # Whoever else read the claim cannot write another end over it.
    with pytest.raises(Conflict):
        await store(kube).record_outcome(claimed, None)


@pytest.mark.parametrize(
    ("used", "cookie", "refused", "is_found"),
    [
        ("t", "cookie", None, True),
        ("another", "cookie", None, False),
        ("t", "another", None, False),
        ("t", "cookie", Refused(Kind.CONSENT_WAS_DENIED, "A title", "A message."), False),
    ],
)
async def test_done_page_is_found_again_with_the_used_link_in_the_browser_that_used_it(
    used: str, cookie: str, refused: Refused | None, is_found: bool
) -> None:
    kube, beginning = Connection(), Beginning()
    await store(kube).begin(
        lambda slot: msgspec.structs.replace(beginning(slot), cookie_hash=cookie_hash("cookie")), UID
    )
    found = await store(kube).find(beginning.keys[0])
    assert found is not None
    assert await store(kube).done_with(UID, used, cookie) is None, "while it is under way"
    claimed = await store(kube).claim(beginning.keys[0], found, "claim-1")
    assert claimed is not None
    await store(kube).record_outcome(claimed, refused)
    assert (await store(kube).done_with(UID, used, cookie) == "done") is is_found


async def test_key_of_a_flow_is_not_printed_with_its_claim() -> None:
    kube = Connection()
    key, found = await begun(kube)
    claimed = await store(kube).claim(key, found, "claim-1")
    assert key.text not in repr(claimed)


async def test_record_that_is_not_there_is_none() -> None:
    assert await store(Connection()).find_named("nothing") is None
    with pytest.raises(NotFound):
        await store(Connection()).kube.get(SECRETS, SYSTEM, "nothing", object)
