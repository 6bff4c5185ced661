"""A proxy before the API server that counts what reaches one of our processes, byte for byte, and looks for a mark in it.

It speaks HTTP to our process, so nothing is hidden by TLS, and asks the API server for no compression.
"""

import json
import ssl
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import aiohttp
from aiohttp import web
from yarl import URL

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.cluster import Cluster

_NOT_FORWARDED = {"host", "connection", "transfer-encoding", "content-length", "keep-alive", "accept-encoding"}


@dataclass(slots=True)
class Heard:
    """What reached our process in the bodies of answers."""

    bytes: int = 0
    bytes_of_watches: int = 0
    watch_events: Counter[str] = field(default_factory=Counter)
    """How many of each type, bookmarks included."""
    bytes_marked: int = 0
    """Bytes of the lines and answers that held the mark."""

    @property
    def events(self) -> int:
        """Watch events without bookmarks, which carry no object."""
        return sum(count for type_, count in self.watch_events.items() if type_ != "BOOKMARK")


class Wiretap:
    """Listens on 127.0.0.1. Use it as an async context manager."""

    def __init__(self, upstream: str, ca_file: Path, mark: bytes) -> None:
        self.heard = Heard()
        self._upstream = upstream.rstrip("/")
        self._context = ssl.create_default_context(cafile=str(ca_file))
        self._mark = mark
        self._session: aiohttp.ClientSession
        self._runner: web.ServerRunner

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._context, limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            skip_auto_headers={"Accept-Encoding"},
        )
        self._runner = web.ServerRunner(web.Server(self._relay, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._runner.cleanup()

    def kubeconfig(self, cluster: Cluster, service_account: str) -> Path:
        """A kubeconfig that leads through here."""
        configuration = json.loads(cluster.kubeconfig_for(SYSTEM_NAMESPACE, service_account).read_text())
        configuration["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self._runner.addresses[0][1]}"}
        path = cluster.folder / f"wiretap.{service_account}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(json.dumps(configuration))
        return path

    def since(self) -> Heard:
        """What was heard since the last look."""
        heard, self.heard = self.heard, Heard()
        return heard

    async def _relay(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        url = URL(self._upstream + request.path_qs, encoded=True)
        async with self._session.request(
            request.method, url, headers=_forwarded(request.headers), data=body or None
        ) as answer:
            response = web.StreamResponse(status=answer.status, headers=_forwarded(answer.headers))
            response.enable_chunked_encoding()
            await response.prepare(request)
            is_watch = "watch=true" in request.query_string
            pending = b""
            async for chunk in answer.content.iter_any():
                self.heard.bytes += len(chunk)
                if is_watch:
                    self.heard.bytes_of_watches += len(chunk)
                    *lines, pending = (pending + chunk).split(b"\n")
                    for line in lines:
                        self._hear_event(line)
                else:
                    pending += chunk
                try:
                    await response.write(chunk)
                except ConnectionError:
                    break
            self._look_for_mark(pending)
        return response

    def _hear_event(self, line: bytes) -> None:
        self.heard.watch_events[json.loads(line)["type"]] += 1
        self._look_for_mark(line)

    def _look_for_mark(self, part: bytes) -> None:
        if self._mark in part:
            self.heard.bytes_marked += len(part)


def _forwarded(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _NOT_FORWARDED}
