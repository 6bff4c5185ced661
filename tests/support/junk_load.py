"""Junk for the public endpoints, from many clients at once, in a process of its own: `python -m tests.support.junk_load JSON`.

The argument is `Load` as JSON. Prints one line of JSON: answers by status, connections that broke, requests in all.
"""

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec
import uvloop


class Load(msgspec.Struct):
    """What to send, and how much."""

    url: str
    """The callback server; on loopback."""
    namespace: str
    name: str
    """A Datasource that somebody is authorizing at the same time."""
    clients: int = 200
    seconds: float = 30.0
    most_requests: int = 20_000
    pause: float = 0.25
    """Seconds between two requests of a client, on average."""


class Outcome(msgspec.Struct):
    """What came of it."""

    statuses: dict[str, int]
    broken: int
    requests: int


COOKIE = "__Host-datasource-browser=" + "A" * 43


def junk(load: Load, chance: random.Random) -> bytes:
    """One request that leads nowhere: malformed, or well-formed and made up; at a Datasource that exists, or at none."""
    made_up = "".join(chance.choices("abcdefghij0123456789", k=16))
    ticket = (made_up * 3)[:48]
    state = f"{chance.getrandbits(64):016x}-{chance.randrange(10)}.{(made_up * 3)[:43]}"
    dialog = f"/authorize/{load.namespace}/{load.name}"
    form = f"ticket={ticket}&token={ticket[:43]}"
    target, body = chance.choice(
        [
            (f"{dialog}?ticket={ticket}", ""),
            (f"{dialog}?ticket={made_up}", ""),
            (f"/authorize/{load.namespace}/{made_up}?ticket={ticket}", ""),
            (f"/authorize/{made_up}/{made_up}?ticket={ticket}", ""),
            (dialog, form),
            (dialog, "x" * 20_000),
            (f"/callback/{load.namespace}?code=x&state={state}", ""),
            (f"/callback/{load.namespace}?code=x&state={made_up}", ""),
            (f"/callback/{made_up}?error=x&error_description=%3Cscript%3E&state={state}", ""),
            (f"/callback/{load.namespace}?" + "a=b&" * 5000, ""),
            (f"/done/{state}", ""),
            (f"/{made_up}/%00/..%2f", ""),
        ]
    )
    head = [
        f"{'POST' if body else 'GET'} {target} HTTP/1.1",
        f"Host: {urlsplit(load.url).netloc}",
        f"Cookie: {COOKIE}",
        f"X-Forwarded-For: 203.0.113.{chance.randrange(256)}",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(body)}",
    ]
    return ("\r\n".join([*head, "", ""]) + body).encode()


Junk = Callable[[Load, random.Random], bytes]


class Client:
    """Keeps one connection open, as a browser does, and opens another where it was closed."""

    def __init__(self, load: Load, chance: random.Random, made: Junk) -> None:
        self._load = load
        self._made = made
        self._chance = chance
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> int:
        """Send one request and read the whole answer; returns the status.

        Raises:
            OSError, asyncio.IncompleteReadError: the connection broke.
        """
        place = urlsplit(self._load.url)
        if self._connection is None:
            self._connection = await asyncio.open_connection("127.0.0.1", place.port)
        reader, writer = self._connection
        writer.write(self._made(self._load, self._chance))
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = next(line for line in head.split("\r\n") if line.startswith("content-length:"))
        await reader.readexactly(int(length.partition(":")[2]))
        if "connection: close" in head:
            self.close()
        return int(head.split(" ")[1])

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None


async def run(load: Load, made: Junk = junk) -> Outcome:
    """Send it all; each request is what `made` makes."""
    outcome = Outcome(statuses={}, broken=0, requests=0)
    statuses: Counter[str] = Counter()
    deadline = time.monotonic() + load.seconds

    async def client(number: int) -> None:
        chance = random.Random(number)  # noqa: S311 - junk, the same in every run
        one = Client(load, chance, made)
        while time.monotonic() < deadline and outcome.requests < load.most_requests:
            outcome.requests += 1
            try:
                statuses[str(await one.ask())] += 1
            except (OSError, asyncio.IncompleteReadError):
                outcome.broken += 1
                one.close()
            await asyncio.sleep(chance.random() * 2 * load.pause)
        one.close()

    await asyncio.gather(*(client(number) for number in range(load.clients)))
    return msgspec.structs.replace(outcome, statuses=dict(statuses))


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(uvloop.run(run(msgspec.json.decode(sys.argv[1], type=Load)))).decode() + "\n")
