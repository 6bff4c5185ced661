"""Expired flow records go, and nothing else, on an API server in memory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from datasource.api.names import Annotation, SecretType, flow_secret_name, uid_digest
from datasource.cluster.api_errors import ApiError, Forbidden
from datasource.cluster.kube import Kube
from datasource.cluster.resources import SECRETS
from datasource.oauth2.kubernetes_user import EVERYBODY, User
from datasource.records.flow import Flow, Outcome, flow_manifest, key_hash, new_flow_key
from datasource.records.session import SESSION_LIFETIME, Session, ended_patch, session_manifest
from datasource_operator.sweeper import INTERVAL, PAUSE_FOR_WORK, FlowSweeper
from tests.support.builders import NAME, NAMESPACE, NOW, UID
from tests.support.kube_in_memory import Answer, Call, KubeInMemory
from tests.support.merge_patch import merge_patched
from tests.unit.datasource.api_server import ApiServer

SYSTEM = "datasource-system"
PAST = NOW - timedelta(seconds=1)
FUTURE = NOW + timedelta(seconds=1)

Meanwhile = Callable[[], None]


def flow_record(expires_at: datetime, *, slot: int = 0, **changes: Any) -> dict[str, Any]:
    """The Secret of an authorization under way."""
    flow = Flow(
        state_hash="h",
        done_id="d",
        code_verifier="v",
        nonce=None,
        namespace=NAMESPACE,
        name=NAME,
        uid=UID,
        parameters_hash="p",
        replaces="",
        cookie_hash="c",
        ticket_hash="t",
        redirect_uri="https://connect.example.com/callback/shop",
        created_at=expires_at - timedelta(minutes=10),
        expires_at=expires_at,
    )
    return flow_manifest(msgspec.structs.replace(flow, **changes), system_namespace=SYSTEM, slot=slot)


def slot_name(slot: int) -> str:
    """The name of the record in a slot."""
    return flow_secret_name(uid_digest(UID), slot)


@dataclass
class Secrets(KubeInMemory):
    """The Secrets of our namespace, and what happens meanwhile."""

    before_delete: Meanwhile = lambda: None
    """What others do between the LIST and the first DELETE."""
    refusals: list[ApiError] = field(default_factory=list)
    """What the next requests are answered with."""

    @property
    def there(self) -> list[str]:
        """The names of all."""
        return [each["metadata"]["name"] for each in self.stored(SECRETS)]

    def keep(self, secret: dict[str, Any]) -> None:
        """Create or replace a Secret."""
        self.put(SECRETS, SYSTEM, secret["metadata"]["name"], **secret)

    async def requested(self, call: Call, answer: Answer) -> Any:
        if call.verb == "delete":
            meanwhile, self.before_delete = self.before_delete, lambda: None
            meanwhile()
        if self.refusals:
            raise self.refusals.pop()
        return await super().requested(call, answer)


def sweeper_of(kube: Kube) -> FlowSweeper:
    """One that would sweep again at once."""
    return FlowSweeper(kube, SYSTEM, lambda: NOW, interval=timedelta(0))


async def swept(secrets: Secrets) -> int:
    """How many records one sweep deleted, as it says."""
    return await sweeper_of(secrets).sweep()


async def test_an_empty_namespace_has_nothing_to_sweep() -> None:
    assert await swept(Secrets()) == 0


async def test_expired_records_go_and_others_stay() -> None:
    secrets = Secrets()
    for slot, expires_at in enumerate((PAST, FUTURE, NOW)):
        secrets.keep(flow_record(expires_at, slot=slot))
    assert await swept(secrets) == 2
    assert secrets.there == [slot_name(1)]


@pytest.mark.parametrize("says", [None, "", "soon", "2026-07-01T14:00:00"])
async def test_a_record_that_does_not_say_when_it_expires_goes(says: str | None) -> None:
    record = flow_record(FUTURE)
    annotations = record["metadata"]["annotations"]
    annotations.pop(Annotation.EXPIRES_AT)
    if says is not None:
        annotations[Annotation.EXPIRES_AT] = says
    secrets = Secrets()
    secrets.keep(record)
    assert await swept(secrets) == 1


@pytest.mark.parametrize("type_", [SecretType.CREDENTIAL, SecretType.TOKEN, "Opaque"])
async def test_secrets_of_other_types_stay_whatever_they_say(type_: str) -> None:
    secrets = Secrets()
    secrets.keep({**flow_record(PAST), "type": type_})
    assert await swept(secrets) == 0
    assert len(secrets.there) == 1


async def test_a_slot_that_somebody_took_meanwhile_stays() -> None:
    """The callback server writes a new flow over an expired one."""
    secrets = Secrets()
    secrets.keep(flow_record(PAST, slot=0))
    secrets.keep(flow_record(PAST, slot=1))
    secrets.before_delete = lambda: secrets.keep(flow_record(FUTURE, slot=0))
    assert await swept(secrets) == 1
    assert secrets.there == [slot_name(0)]


async def test_a_record_that_another_sweeper_took_is_not_counted() -> None:
    secrets = Secrets()
    secrets.keep(flow_record(PAST, slot=0))
    secrets.keep(flow_record(PAST, slot=1))
    secrets.before_delete = lambda: secrets.remove(SECRETS, SYSTEM, slot_name(0))
    assert await swept(secrets) == 1
    assert secrets.there == []


async def test_record_that_may_not_be_deleted_stops_no_other_and_is_told() -> None:
    """A policy may be about that one alone."""
    secrets = Secrets()
    for slot in range(3):
        secrets.keep(flow_record(PAST, slot=slot))
    secrets.before_delete = lambda: secrets.refusals.append(Forbidden(403, "Forbidden", "no"))
    with capture_logs() as logs:
        assert await swept(secrets) == 2
    assert secrets.there == [slot_name(0)]
    assert [(entry["event"], entry["records"]) for entry in logs] == [("records that are over may not be deleted", 1)]


async def test_failures_are_told_whether_or_not_the_record_goes() -> None:
    secrets, heard = Secrets(), list[str]()
    failed: dict[str, Any] = {"outcome": Outcome.NOT_STORED, "outcome_title": "Denied", "ended_at": NOW}
    secrets.keep(flow_record(PAST, slot=0, outcome_message="1", **failed))
    secrets.keep(flow_record(FUTURE, slot=1, outcome_message="2", **failed))
    secrets.keep(flow_record(FUTURE, slot=2))
    await FlowSweeper(secrets, SYSTEM, lambda: NOW, lambda flow: heard.append(flow.message)).sweep()
    assert sorted(heard) == ["Denied. 1", "Denied. 2"]


async def test_failures_are_told_before_the_first_record_goes() -> None:
    """Thousands of old records of one tenant would put off what others wait for."""
    secrets, left = Secrets(), list[int]()
    failed: dict[str, Any] = {"outcome": Outcome.NOT_STORED, "outcome_title": "Denied", "ended_at": NOW}
    for slot in range(5):
        secrets.keep(flow_record(PAST, slot=slot))
    secrets.keep(flow_record(FUTURE, slot=9, outcome_message="1", **failed))
    await FlowSweeper(secrets, SYSTEM, lambda: NOW, lambda _: left.append(len(secrets.there))).sweep()
    assert left == [6]


async def test_pause_is_long_after_a_sweep_that_took_long(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = list[float]()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", sleep)
    times = iter([0.0, 0.5, 100.0, 110.0])
    sweeper = FlowSweeper(Secrets(), SYSTEM, lambda: NOW, monotonic=lambda: next(times))
    with pytest.raises(asyncio.CancelledError):
        await sweeper.run()
    assert pauses == [INTERVAL.total_seconds(), 10.0 * PAUSE_FOR_WORK]


# Sessions.


def session(expires_at: datetime, *, slot: int = 0) -> dict[str, Any]:
    """The Secret of somebody who signed in."""
    user = User("ada", (EVERYBODY,))
    key = new_flow_key(user.name, slot, lambda size: bytes(size))
    record = Session(key_hash(key), user, "d", expires_at - SESSION_LIFETIME)
    return session_manifest(record, key, system_namespace=SYSTEM)


async def test_sessions_that_are_over_go_and_others_stay() -> None:
    secrets = Secrets()
    for slot, expires_at in enumerate((PAST, FUTURE, NOW)):
        secrets.keep(session(expires_at, slot=slot))
    secrets.keep(flow_record(PAST))
    assert await swept(secrets) == 3
    assert secrets.there == [f"datasource-session-{uid_digest('ada')}-1"]


async def test_session_that_somebody_ended_goes_at_once() -> None:
    secrets = Secrets()
    ended = merge_patched(session(FUTURE), ended_patch("", NOW))
    secrets.keep(ended)
    assert await swept(secrets) == 1


@pytest.mark.parametrize(("people_sign_in", "left"), [(True, 0), (False, 1)])
async def test_where_nobody_signs_in_sessions_are_looked_for_once(people_sign_in: bool, left: int) -> None:
    secrets = Secrets()
    secrets.keep(session(PAST))
    sweeper = FlowSweeper(secrets, SYSTEM, lambda: NOW, interval=timedelta(0), people_sign_in=people_sign_in)
    async with in_background(sweeper.run()):
        await until(lambda: not secrets.there)
        secrets.keep(session(PAST))
        for _ in range(2):
            secrets.keep(flow_record(PAST))
            await until(lambda: slot_name(0) not in secrets.there)
    assert len(secrets.there) == left


async def until(is_so: Callable[[], object]) -> None:
    """Wait until something has come about; 10 s is a bound against hanging."""
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 - what a server or a log holds has no event to wait for
            await asyncio.sleep(0.001)


@asynccontextmanager
async def in_background(work: Awaitable[None]) -> AsyncIterator[asyncio.Future[None]]:
    """Something that runs for ever, until the end of the block."""
    task = asyncio.ensure_future(work)
    yield task
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_it_sweeps_again_and_again() -> None:
    secrets = Secrets()
    async with in_background(sweeper_of(secrets).run()):
        for _ in range(2):
            secrets.keep(flow_record(PAST))
            await until(lambda: not secrets.there)


@pytest.mark.parametrize("refusal", [Forbidden(403, "Forbidden", "no"), ApiError(500, "InternalError", "no")])
async def test_a_sweep_that_fails_is_logged_and_tried_again(refusal: ApiError) -> None:
    secrets = Secrets(refusals=[refusal])
    secrets.keep(flow_record(PAST))
    with capture_logs() as logs:
        async with in_background(sweeper_of(secrets).run()) as task:
            await until(lambda: not secrets.there)
            assert not task.done()
    assert [(entry["event"], entry["log_level"], entry["namespace"]) for entry in logs] == [
        ("could not sweep flow records", "warning", SYSTEM)
    ]


async def test_an_api_server_that_is_gone_is_logged_and_tried_again() -> None:
    async with ApiServer() as server, server.kube() as kube:
        await server.stop()
        with capture_logs() as logs:
            async with in_background(sweeper_of(kube).run()) as task:
                await until(lambda: len(logs) > 1)
                assert not task.done()
    assert {entry["event"] for entry in logs} == {"could not sweep flow records"}
