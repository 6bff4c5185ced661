"""`forward.py NAMESPACE in|out HOST PORT TO_HOST TO_PORT`: carry TCP connections into a network namespace, or out of it.

A socket stays in the namespace that it was made in: the one that listens is made on one side, and each connection on the other.
NAMESPACE is a file such as /proc/7/ns/net. It takes root, and it is a program of its own, as a namespace is one of a thread.
"""

import asyncio
import contextlib
import ctypes
import os
import socket
import sys

CLONE_NEWNET = 0x40000000  # <sched.h>


def enter(namespace: int) -> None:
    """Move this thread into a network namespace, which is an open file."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()


async def serve(listening: socket.socket, host: str, port: int) -> None:
    """Carry every connection on, for ever."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(host, port)
        except OSError:
            # As if nobody listened here either.
            writer.transport.abort()
            return
        await asyncio.gather(_carry(reader, far_writer), _carry(far_reader, writer))
        for each in (writer, far_writer):
            with contextlib.suppress(OSError):
                each.close()

    server = await asyncio.start_server(connected, sock=listening)
    await server.serve_forever()


def main(namespace: str, direction: str, host: str, port: str, to_host: str, to_port: str) -> None:
    """Listen on one side, and connect on the other."""
    own, other = os.open("/proc/thread-self/ns/net", os.O_RDONLY), os.open(namespace, os.O_RDONLY)
    listens_in, connects_in = (own, other) if direction == "in" else (other, own)
    enter(listens_in)
    listening = socket.create_server((host, int(port)), backlog=512)
    enter(connects_in)
    asyncio.run(serve(listening, to_host, int(to_port)))


if __name__ == "__main__":
    main(*sys.argv[1:])
