"""A name server on loopback that knows some names and keeps silent about others, as name servers of strangers do."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Mapping, Sequence

_A, _AAAA = 1, 28
_NO_SUCH_NAME = 3


class NameServer(asyncio.DatagramProtocol):
    """Answers for the names that it knows, says that there is no other, and is silent below `silent`.

    Args:
        known: addresses of each name; IPv4 and IPv6.
        silent: the ending of the names about which nothing is said.
        port: of 127.0.0.1; 0 for any that is free.
    """

    def __init__(self, known: Mapping[str, Sequence[str]], *, silent: str = ".silent.example", port: int = 0) -> None:
        self.known = known
        self.silent = silent
        self.late = 0.0
        """For how many seconds an answer is held back."""
        self._port = port
        self.asked: Counter[str] = Counter()
        """How often each name was asked for, retries included."""
        self._next = asyncio.Event()
        self._transport: asyncio.DatagramTransport

    async def __aenter__(self) -> "NameServer":
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", self._port))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()

    async def hears_of(self, names: int) -> None:
        """Wait until so many names were asked for."""
        while len(self.asked) < names:
            self._next.clear()
            await self._next.wait()

    @property
    def address(self) -> str:
        """Where it listens, as c-ares wants it written."""
        host, port = self._transport.get_extra_info("sockname")
        return f"{host}:{port}"

    def datagram_received(self, query: bytes, sender: tuple[str, int]) -> None:
        """Answer a query (RFC 1035 section 4.1)."""
        name, end = _name(query)
        (kind,) = struct.unpack_from(">H", query, end)
        self.asked[name] += 1
        self._next.set()
        if not name.endswith(self.silent):
            answer = self._answer(query, name, kind, end + 4)
            asyncio.get_running_loop().call_later(self.late, self._send, answer, sender)

    def _send(self, answer: bytes, sender: tuple[str, int]) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(answer, sender)

    def _answer(self, query: bytes, name: str, kind: int, end: int) -> bytes:
        family = {_A: socket.AF_INET, _AAAA: socket.AF_INET6}[kind]
        texts = [text for text in self.known.get(name, ()) if (":" in text) == (kind == _AAAA)]
        packed = [socket.inet_pton(family, text) for text in texts]
        records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(each)) + each for each in packed)
        code = 0 if name in self.known else _NO_SUCH_NAME
        header = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(texts), 0, 0)
        return header + query[12:end] + records


def _name(query: bytes) -> tuple[str, int]:
    """The name that is asked for, and where it ends."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    return ".".join(labels).lower(), at + 1
