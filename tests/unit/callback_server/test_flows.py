"""Where a new flow is recorded, and what that costs, on an API server that counts."""

import base64
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest

from callback_server.flows import FlowStore, NoSlot
from datasource.api.names import FLOW_SLOTS, flow_secret_name, uid_digest
from datasource.records.flow import FLOW_LIFETIME, Flow, key_hash, new_flow_key
from tests.unit.callback_server.secrets_server import SecretsServer
from tests.unit.datasource.api_server import ApiServer
from tests.unit.datasource.builders import NOW, UID

SYSTEM = "datasource-system"


def made_at(moment: datetime, claim: str | None = None) -> Callable[[int], Flow]:
    def make(slot: int) -> Flow:
        return Flow(
            state_hash=key_hash(new_flow_key(UID, slot, lambda size: b"s" * size)),
            done_id="",
            code_verifier=None,
            nonce=None,
            namespace="shop",
            name="calendar",
            uid=UID,
            parameters_hash="",
            replaces="",
            cookie_hash="",
            ticket_hash="",
            redirect_uri="",
            created_at=moment,
            expires_at=moment + FLOW_LIFETIME,
            claim=claim,
        )

    return make


@asynccontextmanager
async def store(order: Iterable[int] = range(FLOW_SLOTS)) -> AsyncIterator[tuple[FlowStore, SecretsServer]]:
    held, slots = SecretsServer(), tuple(order)
    async with ApiServer(held) as server, server.kube() as kube:
        yield FlowStore(kube, SYSTEM, lambda: NOW, lambda: slots), held


async def fill(flows: FlowStore, held: SecretsServer, *makes: Callable[[int], Flow]) -> None:
    """One flow in each slot, in their order; what that cost is not counted."""
    for slot, make in enumerate(makes):
        assert await flows._create(make(slot), slot)
    held.methods.clear()


def minutes_ago(*ages: float) -> list[Callable[[int], Flow]]:
    return [made_at(NOW - timedelta(minutes=age)) for age in ages]


async def test_first_click_costs_one_request() -> None:
    async with store() as (flows, held):
        await flows.begin(made_at(NOW), UID)
    assert held.methods == {"POST": 1}


@pytest.mark.parametrize(
    ("taken", "requests"),
    [
        pytest.param([], 1, id="none"),
        pytest.param([1], 2, id="one"),
        pytest.param([1, 2, 3, 4], 5, id="four"),
        pytest.param([1, 2, 3, 4, 5, 6, 7, 8, 9, 9], 9, id="all ten"),
        pytest.param([11] * 10, 7, id="all ten by flows that are over"),
        pytest.param([1, 11, 1, 1, 1, 1, 1, 1, 1, 1], 8, id="all ten, one of them by a flow that is over"),
    ],
)
async def test_click_costs_few_requests_however_many_slots_are_taken(taken: list[float], requests: int) -> None:
    """With the first slots in the order that chance gave; the instance cost 21 where all ten were taken."""
    async with store() as (flows, held):
        await fill(flows, held, *minutes_ago(*taken))
        assert (await flows.begin(made_at(NOW), UID)).created_at == NOW
        assert held.methods.total() == requests


async def test_oldest_of_those_that_are_looked_at_gives_way() -> None:
    async with store() as (flows, held):
        await fill(flows, held, *minutes_ago(5, 7, 6, *[9.0] * 7))
        await flows.begin(made_at(NOW), UID)
        records = [await flows.find_named(flow_secret_name(uid_digest(UID), slot)) for slot in range(FLOW_SLOTS)]
    assert [slot for slot, record in enumerate(records) if record is not None and record.flow.created_at == NOW] == [1]


async def test_record_that_was_swept_meanwhile_or_that_somebody_spoilt_is_made_anew() -> None:
    async with store() as (flows, held):
        await fill(flows, held, *minutes_ago(*[1.0] * 10))
        held.secrets[flow_secret_name(uid_digest(UID), 1)]["data"] = {"flow": "?"}
        assert (await flows.begin(made_at(NOW), UID)).created_at == NOW
        assert held.methods == {"POST": 5, "GET": 2, "PATCH": 1}
        held.sweeps_before_get = flow_secret_name(uid_digest(UID), 2)
        assert (await flows.begin(made_at(NOW), UID)).created_at == NOW
        assert len(held.secrets) == FLOW_SLOTS


async def test_flow_whose_code_is_being_exchanged_gives_way_only_where_all_are_such() -> None:
    claimed = made_at(NOW - timedelta(minutes=9), claim="c")
    async with store() as (flows, held):
        await fill(flows, held, *[claimed] * 9, made_at(NOW - timedelta(minutes=1)))
        assert (await flows.begin(made_at(NOW), UID)).created_at == NOW
        assert sum(b'"claim":"c"' in _text(each) for each in held.secrets.values()) == 9


def _text(secret: dict[str, dict[str, str]]) -> bytes:
    return base64.b64decode(secret["data"]["flow"])


async def test_slot_that_somebody_else_takes_at_this_moment_is_not_taken_from_him() -> None:
    async with store() as (flows, held):
        await fill(flows, held, *minutes_ago(*range(10)))
        held.moves_on = True
        with pytest.raises(NoSlot):
            await flows.begin(made_at(NOW), UID)
        records = [await flows.find_named(name) for name in held.secrets]
    assert [record.flow.created_at for record in records if record is not None] == [
        make(0).created_at for make in minutes_ago(*range(10))
    ]


async def test_order_of_slots_is_another_each_time() -> None:
    async with ApiServer(SecretsServer()) as server, server.kube() as kube:
        flows = FlowStore(kube, SYSTEM, lambda: NOW)
        orders = {tuple(flows.slots()) for _ in range(50)}
    assert len(orders) > 25
    assert all(sorted(order) == list(range(FLOW_SLOTS)) for order in orders)
