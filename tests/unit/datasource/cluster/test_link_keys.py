"""The keys that mark links in the API server: made once, kept in memory, written again where somebody deleted them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web
from structlog.testing import capture_logs

from datasource.cluster.kube import Kube
from datasource.cluster.link_keys import LinkKeyStore
from datasource.process.clock import utc_now
from datasource.records.link_keys import KEY_LIFETIME, LinkKeys, link_keys_manifest
from deploy.local.processes import free_ports
from tests.unit.datasource.api_server import ApiServer
from tests.unit.datasource.builders import NOW

SYSTEM = "datasource-system"


class KeySecret:
    """As much of an API server as there must be."""

    def __init__(self, held: dict[str, Any] | None = None) -> None:
        self.held = held
        self.refuses: int | None = None
        self.writes = 0

    def hold(self, keys: LinkKeys) -> None:
        self.held = link_keys_manifest(keys, system_namespace=SYSTEM)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if self.refuses is not None and (request.method != "GET" or self.refuses == 403):
            return _status(self.refuses)
        if request.method == "GET":
            return _status(404) if self.held is None else web.json_response(self._shown())
        self.writes += 1
        body = await request.json()
        self.held = body if request.method == "POST" else {**(self.held or {}), "data": body["data"]}
        return web.json_response(self._shown())

    def _shown(self) -> dict[str, Any]:
        held = self.held or {}
        return {**held, "metadata": {**held["metadata"], "resourceVersion": str(self.writes), "uid": "u"}}


def _status(code: int) -> web.Response:
    return web.json_response({"kind": "Status", "reason": "no", "message": f"said {code}", "code": code}, status=code)


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> datetime:
        return self.at


@asynccontextmanager
async def store(secret: KeySecret, clock: Clock | None = None) -> AsyncIterator[LinkKeyStore]:
    async with ApiServer(secret) as server, server.kube() as kube:
        yield LinkKeyStore(kube, SYSTEM, clock or Clock(), lambda size: b"k" * size, interval=timedelta(milliseconds=1))


async def test_keys_are_made_once() -> None:
    secret = KeySecret()
    async with store(secret) as keys:
        assert await keys.keep()
        first = keys.current
        assert not await keys.keep()
    assert first.keys
    assert keys.current == first
    assert secret.writes == 1


async def test_replica_has_the_keys_that_another_made() -> None:
    secret = KeySecret()
    async with store(secret) as maker, store(secret) as reader:
        await maker.keep()
        await reader.read()
        assert reader.known() == maker.current


async def test_key_is_replaced_in_its_secret_when_its_time_is_over() -> None:
    secret, clock = KeySecret(), Clock()
    async with store(secret, clock) as keys:
        await keys.keep()
        before = keys.current
        clock.at += KEY_LIFETIME
        assert await keys.keep()
        assert keys.current.keys[1:] == before.keys
        await keys.read()
        assert keys.current.keys[1:] == before.keys


async def test_deleted_secret_is_written_again_with_the_same_keys() -> None:
    secret = KeySecret()
    async with store(secret) as keys:
        await keys.keep()
        before, secret.held = keys.current, None
        await keys.read()
        assert keys.current == before, "a callback server goes on with what it read"
        assert not await keys.keep()
        assert keys.current == before
    assert secret.held is not None


async def test_restarted_operator_makes_no_new_keys() -> None:
    secret = KeySecret()
    async with store(secret) as first:
        await first.keep()
    async with store(secret) as second:
        await second.keep()
    assert second.current == first.current
    assert secret.writes == 1


async def test_whoever_comes_second_leaves_the_keys_to_the_first() -> None:
    secret = KeySecret()
    secret.refuses = 409
    async with store(secret) as keys:
        with capture_logs() as lines:
            assert not await keys.keep()
        assert keys.current == LinkKeys()
    assert lines == []


async def test_missing_right_is_told_once_with_its_remedy_and_again_after_it_was_mended() -> None:
    secret = KeySecret()
    secret.refuses = 403
    async with store(secret) as keys:
        with capture_logs() as lines:
            for _ in range(3):
                await keys.keep()
                await keys.read()
            secret.refuses = None
            await keys.keep()
            secret.refuses = 403
            await keys.read()
    assert [line["remedy"] for line in lines] == [
        "give this process the rights of deploy/base/link-key-rights.yaml"
    ] * 2
    assert keys.current.keys, "what was read once is kept"


async def test_api_server_that_does_not_answer_is_no_reason_to_delete_the_keys(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
                "clusters": [{"name": "k", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
            }
        )
    )
    async with Kube(str(kubeconfig), user_agent="test") as kube:
        keys = LinkKeyStore(kube, SYSTEM, utc_now)
        with capture_logs() as lines:
            await keys.read()
    (line,) = lines
    assert line["remedy"] == "this process reads them again every 30 s; if that lasts, look at the API server"


async def test_secret_that_somebody_scribbled_over_is_left_alone_and_told() -> None:
    secret = KeySecret(
        {"metadata": {"name": "datasource-link-keys", "namespace": SYSTEM}, "type": "Opaque", "data": {}}
    )
    async with store(secret) as keys:
        with capture_logs() as lines:
            await keys.keep()
            await keys.read()
    assert secret.writes == 0
    assert "delete the Secret" in lines[0]["remedy"]
    assert len(lines) == 1


async def test_reading_goes_on() -> None:
    secret = KeySecret()
    async with store(secret) as keys:
        reading = asyncio.create_task(keys.keep_reading())
        secret.hold(LinkKeys().renewed(NOW, lambda size: b"x" * size))
        async with asyncio.timeout(10):
            while not keys.current.keys:  # noqa: ASYNC110 - nothing tells of it but the keys themselves
                await asyncio.sleep(0.001)
        reading.cancel()
