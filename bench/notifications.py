"""`python -m bench.notifications`: 10,000 Datasources need a person at once; the receiver is well, down, slow, or worse.

The operator's own notifier, its cache and its transport, and a receiver on loopback that verifies every signature. What it got
is counted by the ids in it; docs/notifications.md has the table. With a number as argument the crowd has that many.
"""

import asyncio
import base64
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from standardwebhooks.webhooks import Webhook

from datasource.api.objects import Condition, Datasource, Metadata, Status
from datasource.api.states import Reason, State
from datasource.outbound.proxies import Proxies
from datasource.process.clock import utc_now
from datasource.process.settings import Notify
from datasource_operator.cache import Cache
from datasource_operator.notifier import Notifier, transport_to

CROWD = 10_000
PER_NAMESPACE = 100
KEY = f"whsec_{base64.b64encode(b'k' * 32).decode()}"
TICKET = "a-ticket-that-nobody-is-told"
MOST_ROUNDS = 60
SLOW = 0.1
"""Seconds before an answer."""

Mood = Callable[[int], str]
"""What the receiver does with its request of that number, from 0: takes, refuses, or forgets to say that it took it."""


@dataclass
class Receiver:
    """A receiver on loopback; `mood` may change while it listens."""

    mood: Mood
    pause: float = 0.0
    """Seconds before it answers."""
    got: list[dict[str, Any]] = field(default_factory=list)
    """Events that it took."""
    requests: int = 0
    leaks: int = 0
    """Requests in which something secret stood."""
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = [line.partition(":") for line in head.split("\r\n")[1:] if line]
            headers = {name.lower(): value.strip() for name, _, value in lines}
            body = await reader.readexactly(int(headers["content-length"]))
            await asyncio.sleep(self.pause)
            status = self._answer(headers, body)
            if status is not None:
                writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
        finally:
            writer.close()

    def _answer(self, headers: dict[str, str], body: bytes) -> int | None:
        mood, self.requests = self.mood(self.requests), self.requests + 1
        self.leaks += any(secret in body.decode() for secret in (TICKET, KEY.removeprefix("whsec_"), "authorize/"))
        if mood == "refuses":
            return 503
        self.got.append(Webhook(KEY).verify(body, headers))
        return 204 if mood == "takes" else None


@dataclass
class World:
    """One receiver, the cache that both leaders see, and how they are made."""

    receiver: Receiver
    cache: Cache
    notify: Notify
    crowd: int
    per_namespace: int = PER_NAMESPACE
    rounds: int = 0
    versions: int = 0

    def leader(self) -> Notifier:
        """A process that begins to lead remembers nothing."""
        return Notifier(self.notify, Proxies(), self.cache, "https://connect.example.com", "", utc_now, lambda: 0.5)

    def everybody(self, *, is_known: bool = True) -> None:
        """All need a person; or their statuses are wiped."""
        for number in range(self.crowd):
            self.versions += 1
            namespace = f"team-{number // self.per_namespace:04}"
            self.cache.store_datasource(_datasource(namespace, number, self.versions, is_known=is_known))

    async def rounds_of(self, *leaders: Notifier, count: int | None = None) -> None:
        """Rounds one after another, of all leaders at once, until nobody waits, or so many."""
        async with transport_to(self.notify, Proxies()) as transport:
            for _ in range(count or MOST_ROUNDS):
                before = self.receiver.requests
                self.rounds += 1
                async with asyncio.TaskGroup() as together:
                    for each in leaders:
                        together.create_task(each.tell(transport))
                if count is None and self.receiver.requests == before and self.receiver.port:
                    return


def _datasource(namespace: str, number: int, version: int, *, is_known: bool) -> Datasource:
    name = f"source-{number:05}"
    metadata = Metadata(
        name=name, namespace=namespace, uid=f"uid-{number}", generation=1, resource_version=str(version)
    )
    if not is_known:
        return Datasource(metadata)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ready = Condition("Ready", "False", Reason.GRANT_REVOKED, "The provider ended the grant.", now)
    link = f"https://connect.example.com/authorize/{namespace}/{name}?ticket={TICKET}-{version}"
    return Datasource(metadata, {}, Status(State.NOT_AUTHORIZED, authorization_link=link, conditions=(ready,)))


async def well(world: World) -> None:
    """Nothing goes wrong."""
    await world.rounds_of(world.leader())


async def down(world: World) -> None:
    """Nobody listens for five rounds."""
    leader, there = world.leader(), world.notify
    leader.notify = Notify("http://127.0.0.1:1/", there.secret_file)
    await world.rounds_of(leader, count=5)
    leader.notify = there
    await world.rounds_of(leader)


async def slow(world: World) -> None:
    """Every answer takes its time."""
    world.receiver.pause = SLOW
    await world.rounds_of(world.leader())


async def refusing(world: World) -> None:
    """It answers 503 to two of three."""
    world.receiver.mood = lambda number: "takes" if number % 3 == 2 else "refuses"
    await world.rounds_of(world.leader())


async def forgetful(world: World) -> None:
    """It takes each fifth message, and the connection breaks before it says so."""
    world.receiver.mood = lambda number: "forgets" if number % 5 == 4 else "takes"
    await world.rounds_of(world.leader())


async def two_leaders(world: World) -> None:
    """Two processes tell at the same time, as after a pause of one that led."""
    await world.rounds_of(world.leader(), world.leader())


async def wiped(world: World) -> None:
    """Somebody wipes all statuses after they were told, and the operator writes them anew, with other times and links."""
    leader = world.leader()
    await world.rounds_of(leader)
    world.everybody(is_known=False)
    await world.rounds_of(leader, count=1)
    world.everybody()
    await world.rounds_of(leader)


async def restarted(world: World) -> None:
    """The process is gone after each round while the receiver refuses much."""
    world.receiver.mood = lambda number: "refuses" if number % 7 == 3 else "takes"
    for _ in range(3):
        await world.rounds_of(world.leader(), count=1)
    await world.rounds_of(world.leader())


SCENARIOS: dict[str, Callable[[World], Awaitable[None]]] = {
    "well": well,
    "down for five rounds": down,
    f"slow ({SLOW} s)": slow,
    "refuses two of three": refusing,
    "each fifth answer is lost": forgetful,
    "two leaders at once": two_leaders,
    "all statuses wiped": wiped,
    "the leader restarts each round": restarted,
}


@dataclass(frozen=True, slots=True)
class Row:
    """What a receiver got."""

    scenario: str
    requests: int
    taken: int
    """Messages."""
    ids: int
    """Different ones among them."""
    told: int
    """Datasources that the different messages count."""
    twice: int
    """Datasources that two different messages count."""
    rounds: int
    leaks: int


def row(name: str, world: World) -> Row:
    """Count what came."""
    receiver = world.receiver
    by_id = {event["id"]: event for event in receiver.got}
    counted = sum(event["data"]["count"] for event in by_id.values())
    namespaces = {event["subject"]: event["data"]["count"] for event in by_id.values()}
    told = sum(namespaces.values())
    return Row(
        name, receiver.requests, len(receiver.got), len(by_id), told, counted - told, world.rounds, receiver.leaks
    )


@asynccontextmanager
async def arranged(crowd: int, per_namespace: int, folder: Path) -> AsyncIterator[World]:
    """A crowd that needs people, and a receiver that is well."""
    key = folder / "key"
    key.write_text(KEY)
    receiver = Receiver(lambda _: "takes")
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    world = World(receiver, Cache(), Notify(f"http://127.0.0.1:{receiver.port}/hook", key), crowd, per_namespace)
    world.everybody()
    async with server:
        yield world


async def run(crowd: int, per_namespace: int = PER_NAMESPACE) -> list[Row]:
    """Every scenario, one after another."""
    rows = []
    for name, scenario in SCENARIOS.items():
        with tempfile.TemporaryDirectory() as folder:
            async with arranged(crowd, per_namespace, Path(folder)) as world:
                await scenario(world)
                rows.append(row(name, world))
    return rows


def table(rows: list[Row]) -> str:
    """As it stands in docs/notifications.md."""
    lines = ["| receiver | requests | messages | different ids | Datasources | in two ids | rounds |"]
    lines.append("|---|---|---|---|---|---|---|")
    for each in rows:
        counts = (each.requests, each.taken, each.ids, each.told, each.twice, each.rounds)
        lines.append(f"| {each.scenario} | {' | '.join(f'{count:,}' for count in counts)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table; 1 where a Datasource was not told, or something secret was."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    crowd = int(sys.argv[1]) if len(sys.argv) > 1 else CROWD
    rows = asyncio.run(run(crowd))
    print(table(rows))
    print(json.dumps({"datasources": crowd, "secrets": sum(each.leaks for each in rows)}))
    sys.exit(any(each.told != crowd or each.leaks for each in rows))


if __name__ == "__main__":
    main()
