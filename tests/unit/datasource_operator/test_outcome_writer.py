"""What follows from an answer is written over what was sent, and over nothing else."""

from base64 import b64decode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from datasource.api.names import credential_secret_name, default_token_secret_name
from datasource.api.requests import Requests
from datasource.api.states import Reason
from datasource.cluster.api_errors import ApiError, Forbidden, Unavailable
from datasource.cluster.resources import SECRETS
from datasource.oauth2.token_response import TokenResponse
from datasource.providers.transport import Transport
from datasource.records.credential import read_data
from datasource.records.intent import Intent
from datasource.records.turn import Turn
from datasource_operator.decisions.refresh_outcome import Store, TakeBack, Verdict
from datasource_operator.decisions.setbacks import stopped_before_it_was_sent
from datasource_operator.outcome_writer import OutcomeWriter, has_moved_on, words_of
from tests.support.builders import NOW, facts
from tests.support.hostile_provider import ON_LOOPBACK, HostileProvider, replies
from tests.support.kube_in_memory import Answer, Call
from tests.unit.datasource_operator.journal_world import KEY, OperatorProcess, World, journal_world
from tests.unit.datasource_operator.test_reconciler import reconciler
from tests.unit.datasource_operator.test_refresher import ANSWER, ApiServer, Bench
from tests.unit.datasource_operator.test_replayer import writes

OURS = Intent(id="0a", process="p", pod="q", at=NOW)
ANOTHER = Intent(id="0b", process="p-2", pod="q-2", at=NOW)


def begun(world: World) -> Turn:
    """Our intent stands there."""
    writes(world, intent=OURS)
    assert world.secret is not None
    version = world.secret.metadata.resource_version
    return Turn(*KEY, world.facts, OURS, version, Requests(), read_data(world.secret))


def writer_of(process: OperatorProcess) -> OutcomeWriter:
    return process.refresher.outcomes


def dead(turn: Turn) -> Verdict:
    return Verdict(turn, Reason.REFRESH_INTERRUPTED, words="The provider refused: invalid_grant.", at=NOW)


@pytest.mark.parametrize(
    ("meanwhile", "verdict"),
    [
        pytest.param({}, Reason.REFRESH_INTERRUPTED, id="nothing happened"),
        pytest.param({"intent": ANOTHER}, None, id="another process took over"),
        pytest.param({"intent": None}, None, id="somebody took the intent away"),
        pytest.param({"intent": None, "revision": 2, "stored_by": "0a"}, None, id="a replay stored the reply"),
        pytest.param({"credential_id": "new"}, None, id="a person authorized anew"),
    ],
)
async def test_verdict_is_written_only_while_the_intent_is_the_one_that_was_judged(
    tmp_path: Path, meanwhile: dict[str, Any], verdict: Reason | None
) -> None:
    async with journal_world(tmp_path) as world:
        turn = begun(world)
        writes(world, **meanwhile) if meanwhile else None
        stands = await writer_of(world.starts()).write(KEY, turn.facts, turn.resource_version, dead(turn))
        assert (world.facts.verdict, stands) == (verdict, verdict is not None)


async def test_verdict_is_void_where_somebody_takes_over_between_the_look_and_the_write(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        turn, process = begun(world), world.starts()
        looked: list[str] = []

        def takes_over(call: Any) -> None:
            looked.append(call.verb)
            if len(looked) == 1:
                writes(world, intent=ANOTHER)

        process.kube.written = takes_over
        assert not await writer_of(process).write(KEY, turn.facts, turn.resource_version, dead(turn))
        assert (world.facts.verdict, world.facts.intent) == (None, ANOTHER)


async def test_intent_is_taken_back_where_it_is_ours(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        turn = begun(world)
        outcome = TakeBack(turn.intent, stopped_before_it_was_sent())
        assert await writer_of(world.starts()).write(KEY, turn.facts, turn.resource_version, outcome)
        assert world.facts.intent is None


async def test_store_that_another_has_overtaken_is_dropped(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        turn = begun(world)
        writes(world, revision=2, intent=None, stored_by="0b")
        store = Store(turn, TokenResponse("at-2", "Bearer", refresh_token="rt-2"), NOW)
        assert not await writer_of(world.starts()).write(KEY, turn.facts, turn.resource_version, store)
        assert world.facts.stored_by == "0b"


@dataclass
class QuickWatch(ApiServer):
    """A watch shows a write to a credential Secret before the write is answered: `seen` is what comes of that."""

    seen: Callable[[], Awaitable[None]] = field(init=False)

    async def requested(self, call: Call, answer: Answer) -> Any:
        answered = await super().requested(call, answer)
        if call.verb == "merge_patch" and call.name == credential_secret_name(KEY.name):
            await self.seen()
        return answered


async def test_token_secret_is_written_without_a_read_where_a_watch_is_quicker_than_the_answer() -> None:
    kube = QuickWatch()
    async with HostileProvider(replies(200, ANSWER)) as provider, Transport(ON_LOOPBACK) as transport:
        refreshing = Bench(provider, transport, kube=kube)
        steps = refreshing.refresher.steps
        reconciling = reconciler(kube, steps.cache)
        reconciling.steps = steps

        async def seen() -> None:
            steps.cache.store_secret(refreshing.secret.metadata)
            await reconciling.reconcile(KEY)

        kube.seen = seen
        await refreshing.refresher.refresh(KEY)
        written = kube.object(SECRETS, KEY.namespace, default_token_secret_name(KEY.name))
        assert b64decode(written["data"]["access_token"]) == b"at-2"
        asked = [(call.verb, call.name) for call in kube.calls if call.resource is SECRETS]
        stored = ("merge_patch", credential_secret_name(KEY.name))
        assert asked[-2:] == [stored, ("apply", default_token_secret_name(KEY.name))]
        await reconciling.reconcile(KEY)
        assert "at-2" not in str((steps.token_secrets._in_hand, steps.token_secrets._on_its_way))


async def test_no_token_of_a_store_that_came_to_nothing_is_kept(tmp_path: Path) -> None:
    async with journal_world(tmp_path) as world:
        turn, process = begun(world), world.starts()
        process.kube.refuses = lambda _: Unavailable("no answer")
        store = Store(turn, TokenResponse("at-2", "Bearer", refresh_token="rt-2"), NOW)
        writer = writer_of(process)
        with pytest.raises(Unavailable):
            await writer.write(KEY, turn.facts, turn.resource_version, store, gives_up=lambda _: True)
        assert writer.steps.token_secrets._on_its_way == {}


def test_what_has_moved_on_is_another_credential_or_another_revision() -> None:
    sent = msgspec.structs.replace(facts(), revision=4)
    assert not has_moved_on(sent, sent)
    assert has_moved_on(msgspec.structs.replace(sent, revision=5), sent)
    assert has_moved_on(msgspec.structs.replace(sent, credential_id="new"), sent)


def test_words_are_the_api_servers_own() -> None:
    errors: list[ApiError | Unavailable] = [Forbidden(403, "Forbidden", "exceeded quota"), Unavailable("no answer")]
    assert [words_of(error) for error in errors] == ["exceeded quota", "no answer"]
