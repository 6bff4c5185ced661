"""Connections are carried both ways and closed on both sides, one for one."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from deploy.local.node.forward import serve


@contextlib.asynccontextmanager
async def carried_to(port: int) -> AsyncIterator[int]:
    """A port from which connections are carried to another one of loopback."""
    listening = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(serve(listening, "127.0.0.1", port))
    try:
        yield int(listening.getsockname()[1])
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """A server that answers with what it got once that is whole."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


async def test_more_than_a_buffer_goes_through_with_its_end() -> None:
    sent = b"x" * 1_000_000
    async with echo() as port, carried_to(port) as entrance:
        reader, writer = await asyncio.open_connection("127.0.0.1", entrance)
        writer.write(sent)
        writer.write_eof()
        assert await reader.read() == sent.upper()
        writer.close()


async def test_connection_to_nobody_is_cut() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = free.getsockname()[1]
    async with carried_to(nobody) as entrance:
        reader, writer = await asyncio.open_connection("127.0.0.1", entrance)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
