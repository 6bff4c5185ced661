"""What a Service does before replicas: spreads connections over those that accept them."""

import asyncio
import itertools
import threading
from collections.abc import Sequence
from contextlib import suppress


class Balancer:
    """Listens on a port of 127.0.0.1 in a thread of its own. Use it as a context manager."""

    def __init__(self, port: int, backends: Sequence[int]) -> None:
        self._port = port
        self._backends = itertools.cycle(backends)
        self._tries = len(backends)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="balancer", daemon=True)
        self._connections: set[asyncio.Task[None]] = set()

    def __enter__(self) -> "Balancer":
        self._thread.start()
        server = asyncio.start_server(self._accepted, "127.0.0.1", self._port)
        asyncio.run_coroutine_threadsafe(server, self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(self._tries):
            with suppress(OSError):
                backend = await asyncio.open_connection("127.0.0.1", next(self._backends))
                await asyncio.gather(_pump(reader, backend[1]), _pump(backend[0], writer))
                return
        writer.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await source.read(65_536):
            sink.write(chunk)
            await sink.drain()
    with suppress(OSError):
        sink.close()
