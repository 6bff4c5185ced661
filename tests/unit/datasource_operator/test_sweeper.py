"""Expired flow records go, and nothing else; over HTTP, against as much of an API server as a sweep needs."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from datasource.api.names import Annotation, SecretType, flow_secret_name, uid_digest
from datasource.records.flow import Flow, manifest
from datasource_operator.sweeper import FlowSweeper
from tests.support.builders import NAME, NAMESPACE, NOW, UID
from tests.unit.datasource.api_server import ApiServer, Reply, fails

SYSTEM = "datasource-system"
SECRETS_PATH = f"/api/v1/namespaces/{SYSTEM}/secrets"
PAST = NOW - timedelta(seconds=1)
FUTURE = NOW + timedelta(seconds=1)

Meanwhile = Callable[[], None]


def flow_record(expires_at: datetime, *, slot: int = 0) -> dict[str, Any]:
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
    return manifest(flow, system_namespace=SYSTEM, slot=slot)


def slot_name(slot: int) -> str:
    """The name of the record in a slot."""
    return flow_secret_name(uid_digest(UID), slot)


@dataclass
class Secrets:
    """The Secrets of one namespace, with LIST by field selector and DELETE with preconditions."""

    there: dict[str, dict[str, Any]] = field(default_factory=dict)
    before_delete: Meanwhile = lambda: None
    """What others do between the LIST and the first DELETE."""
    _versions: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def put(self, secret: dict[str, Any]) -> None:
        """Create or replace a Secret."""
        name, version = secret["metadata"]["name"], str(next(self._versions))
        described = {**secret["metadata"], "resourceVersion": version, "uid": f"uid-of-{name}"}
        self.there[name] = {**secret, "metadata": described}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Serve one request."""
        if request.method == "GET" and request.path == SECRETS_PATH:
            return self._list(request.query["fieldSelector"])
        if request.method == "DELETE" and request.path.startswith(SECRETS_PATH + "/"):
            meanwhile, self.before_delete = self.before_delete, lambda: None
            meanwhile()
            body = await request.json()
            return await self._delete(request.path.removeprefix(SECRETS_PATH + "/"), body["preconditions"])(request)
        return web.Response(status=405)

    def _list(self, selector: str) -> web.Response:
        key, _, wanted = selector.partition("=")
        items = [{"metadata": secret["metadata"]} for secret in self.there.values() if secret[key] == wanted]
        return web.json_response({"metadata": {"resourceVersion": "9"}, "items": items or None})

    def _delete(self, name: str, preconditions: dict[str, str]) -> Reply:
        secret = self.there.get(name)
        if secret is None:
            return fails(404, "NotFound")
        if any(secret["metadata"][key] != value for key, value in preconditions.items()):
            return fails(409, "Conflict")
        del self.there[name]
        return _succeeds


async def _succeeds(_: web.Request) -> web.StreamResponse:
    return web.json_response({"kind": "Status", "status": "Success"})


@asynccontextmanager
async def sweeping(*replies: Reply) -> AsyncIterator[FlowSweeper]:
    """A sweeper whose API server answers so, and that would sweep again at once."""
    async with ApiServer(*replies) as server, server.kube() as kube:
        yield FlowSweeper(kube, SYSTEM, lambda: NOW, interval=timedelta(0))


async def swept(secrets: Secrets) -> int:
    """How many records one sweep deleted, as it says."""
    async with sweeping(secrets.answer) as sweeper:
        return await sweeper.sweep()


async def test_an_empty_namespace_has_nothing_to_sweep() -> None:
    assert await swept(Secrets()) == 0


async def test_expired_records_go_and_others_stay() -> None:
    secrets = Secrets()
    for slot, expires_at in enumerate((PAST, FUTURE, NOW)):
        secrets.put(flow_record(expires_at, slot=slot))
    assert await swept(secrets) == 2
    assert list(secrets.there) == [slot_name(1)]


@pytest.mark.parametrize("says", [None, "", "soon", "2026-07-01T14:00:00"])
async def test_a_record_that_does_not_say_when_it_expires_goes(says: str | None) -> None:
    record = flow_record(FUTURE)
    annotations = record["metadata"]["annotations"]
    annotations.pop(Annotation.EXPIRES_AT)
    if says is not None:
        annotations[Annotation.EXPIRES_AT] = says
    secrets = Secrets()
    secrets.put(record)
    assert await swept(secrets) == 1


@pytest.mark.parametrize("type_", [SecretType.CREDENTIAL, SecretType.TOKEN, "Opaque"])
async def test_secrets_of_other_types_stay_whatever_they_say(type_: str) -> None:
    secrets = Secrets()
    secrets.put({**flow_record(PAST), "type": type_})
    assert await swept(secrets) == 0
    assert len(secrets.there) == 1


async def test_a_slot_that_somebody_took_meanwhile_stays() -> None:
    """The callback server writes a new flow over an expired one."""
    secrets = Secrets()
    secrets.put(flow_record(PAST, slot=0))
    secrets.put(flow_record(PAST, slot=1))
    secrets.before_delete = lambda: secrets.put(flow_record(FUTURE, slot=0))
    assert await swept(secrets) == 1
    assert list(secrets.there) == [slot_name(0)]


async def test_a_record_that_another_sweeper_took_is_not_counted() -> None:
    secrets = Secrets()
    secrets.put(flow_record(PAST, slot=0))
    secrets.put(flow_record(PAST, slot=1))
    secrets.before_delete = lambda: secrets.there.__delitem__(slot_name(0))
    assert await swept(secrets) == 1
    assert secrets.there == {}


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
    async with sweeping(secrets.answer) as sweeper, in_background(sweeper.run()):
        for _ in range(2):
            secrets.put(flow_record(PAST))
            await until(lambda: not secrets.there)


@pytest.mark.parametrize("failure", [fails(403, "Forbidden"), fails(500, "InternalError")])
async def test_a_sweep_that_fails_is_logged_and_tried_again(failure: Reply) -> None:
    secrets = Secrets()
    secrets.put(flow_record(PAST))
    with capture_logs() as logs:
        async with sweeping(failure, secrets.answer) as sweeper, in_background(sweeper.run()) as task:
            await until(lambda: not secrets.there)
            assert not task.done()
    assert [(entry["event"], entry["log_level"], entry["namespace"]) for entry in logs] == [
        ("could not sweep flow records", "warning", SYSTEM)
    ]


async def test_an_api_server_that_is_gone_is_logged_and_tried_again() -> None:
    async with ApiServer() as server, server.kube() as kube:
        await server.stop()
        with capture_logs() as logs:
            async with in_background(FlowSweeper(kube, SYSTEM, lambda: NOW, interval=timedelta(0)).run()) as task:
                await until(lambda: len(logs) > 1)
                assert not task.done()
    assert {entry["event"] for entry in logs} == {"could not sweep flow records"}
