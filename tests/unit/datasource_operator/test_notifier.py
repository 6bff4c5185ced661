"""What a receiver on loopback gets, and what becomes of what it does not take."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY
from standardwebhooks.webhooks import Webhook
from structlog.testing import capture_logs

from datasource.api.clock import rfc3339
from datasource.api.objects import Condition, Datasource, Status
from datasource.api.states import Reason
from datasource.outbound.proxies import Proxies
from datasource.process.clock import utc_now
from datasource.process.settings import Notify, Settings
from datasource.process.sign_in import SignIn
from datasource.providers.transport import Transport
from datasource_operator.cache import Cache, Key
from datasource_operator.decisions.notices import Kind
from datasource_operator.notifier import Notifier, notifier_for
from tests.support.builders import NOW, datasource
from tests.support.hostile_provider import (
    ON_LOOPBACK,
    Behaviour,
    HostileProvider,
    closed_port,
    cuts_after_the_request,
    cuts_in_the_body,
    endless_body,
    gzip_bomb,
    redirects,
    replies,
    self_signed,
    speaks_no_http,
    writes,
)

KEY = f"whsec_{base64.b64encode(b'k' * 32).decode()}"
TAKES = replies(204, b"")
FAILS = replies(503, b"")


def waiting(namespace: str, name: str, version: int, reason: Reason = Reason.GRANT_REVOKED) -> Datasource:
    """One that waits for a person."""
    ready = Condition("Ready", "False", reason, "A person is needed.", rfc3339(NOW))
    link = f"https://connect.example.com/authorize/{namespace}/{name}?ticket=secret-ticket"
    made = datasource()
    metadata = msgspec.structs.replace(
        made.metadata, namespace=namespace, name=name, uid=f"{namespace}-{name}", resource_version=str(version)
    )
    status = Status(state="NOT AUTHORIZED", authorization_link=link, conditions=(ready,))
    return msgspec.structs.replace(made, metadata=metadata, status=status)


@dataclass
class Bench:
    """A notifier and its receiver."""

    receiver: HostileProvider
    secret_file: Path
    cache: Cache = field(default_factory=Cache)
    clock: float = 0.0
    _versions: int = 0

    def notifier(self) -> Notifier:
        """A process begins with nothing in memory."""
        notify = Notify(self.receiver.url, self.secret_file)
        return Notifier(
            notify, Proxies(), self.cache, "https://connect.example.com", "", utc_now, lambda: 0.5, lambda: self.clock
        )

    def wait(self, namespace: str, *names: str, reason: Reason = Reason.GRANT_REVOKED) -> None:
        """They wait for a person from now on."""
        for name in names:
            self._versions += 1
            self.cache.store_datasource(waiting(namespace, name, self._versions, reason))

    def heard(self) -> list[tuple[str, list[str]]]:
        """By message: its namespace, and whom it names."""
        events = [json.loads(request.body) for request in self.receiver.requests]
        return [(event["subject"], [each["name"] for each in event["data"]["datasources"]]) for event in events]


Tell = Callable[[Notifier], Any]


@asynccontextmanager
async def bench(
    tmp_path: Path, *behaviours: Behaviour, key: str = KEY, tls: SSLContext | None = None
) -> AsyncIterator[tuple[Bench, Transport]]:
    secret_file = tmp_path / "key"
    secret_file.write_text(key)
    async with HostileProvider(*behaviours, tls=tls) as receiver, Transport(ON_LOOPBACK) as transport:
        yield Bench(receiver, secret_file), transport


def errors(logs: list[Any]) -> list[str]:
    """Why notifications were not delivered."""
    return [each["error"] for each in logs if each["event"] == "a notification was not delivered"]


async def test_a_receiver_with_the_key_verifies_what_it_gets(tmp_path: Path) -> None:
    async with bench(tmp_path, TAKES) as (here, transport):
        here.wait("shop", "calendar")
        await here.notifier().tell(transport)
    (request,) = here.receiver.requests
    event = Webhook(KEY).verify(request.body, request.headers)
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert request.headers["webhook-id"] == event["id"]
    assert here.heard() == [("shop", ["calendar"])]


async def test_whoever_is_told_gets_the_page_where_people_sign_in_and_never_a_ticket(tmp_path: Path) -> None:
    async with bench(tmp_path, TAKES) as (here, transport):
        notifier = here.notifier()
        here.wait("shop", "calendar")
        await notifier.tell(transport)
        notifier.people_sign_in = True
        here.wait("shop", "drive")
        await notifier.tell(transport)
    without, with_page = (json.loads(request.body)["data"]["datasources"] for request in here.receiver.requests)
    assert "page" not in without[0]
    assert with_page[0]["page"] == "https://connect.example.com/datasources/shop/drive"
    assert all(b"ticket" not in request.body for request in here.receiver.requests)


async def test_what_was_told_is_not_told_again_while_it_holds(tmp_path: Path) -> None:
    async with bench(tmp_path, TAKES) as (here, transport):
        notifier = here.notifier()
        here.wait("shop", "calendar")
        await notifier.tell(transport)
        here.wait("shop", "drive")
        await notifier.tell(transport)
        await notifier.tell(transport)
    assert here.heard() == [("shop", ["calendar"]), ("shop", ["drive"])]


async def test_what_ended_and_came_back_is_told_again(tmp_path: Path) -> None:
    async with bench(tmp_path, TAKES) as (here, transport):
        notifier = here.notifier()
        for _ in range(2):
            here.wait("shop", "calendar")
            await notifier.tell(transport)
            here.cache.drop_datasource(Key("shop", "calendar"))
            await notifier.tell(transport)
    assert here.heard() == [("shop", ["calendar"])] * 2


async def test_the_next_leader_tells_it_with_the_same_ids(tmp_path: Path) -> None:
    async with bench(tmp_path, TAKES) as (here, transport):
        here.wait("shop", "calendar", "drive")
        await here.notifier().tell(transport)
        await here.notifier().tell(transport)
    one, other = (request.headers["webhook-id"] for request in here.receiver.requests)
    assert one == other


@pytest.mark.parametrize(
    "trouble",
    [FAILS, replies(500), replies(400, b"no"), replies(410), redirects("http://127.0.0.1:1/"), replies(429)],
    ids=["503", "500", "400", "410", "a redirect", "429"],
)
async def test_what_was_not_taken_is_told_at_the_next_round(tmp_path: Path, trouble: Behaviour) -> None:
    async with bench(tmp_path, trouble, TAKES) as (here, transport):
        notifier = here.notifier()
        here.wait("shop", "calendar")
        await notifier.tell(transport)
        await notifier.tell(transport)
        await notifier.tell(transport)
    assert here.heard() == [("shop", ["calendar"])] * 2


async def test_a_receiver_that_is_away_is_not_tried_for_each_namespace(tmp_path: Path) -> None:
    async with bench(tmp_path, FAILS) as (here, transport):
        notifier = here.notifier()
        for number in range(100):
            here.wait(f"team-{number}", "calendar")
        await notifier.tell(transport)
        first = len(here.receiver.requests)
        await notifier.tell(transport)
        second = len(here.receiver.requests) - first
    assert first < 20
    assert second == 1


async def test_after_failures_those_go_first_that_were_not_tried(tmp_path: Path) -> None:
    async with bench(tmp_path, FAILS, FAILS, FAILS, TAKES) as (here, transport):
        notifier = here.notifier()
        for number in range(3):
            here.wait(f"team-{number}", "calendar")
        await notifier.tell(transport)
        here.clock += 60
        here.wait("newcomer", "calendar")
        await notifier.tell(transport)
    assert here.heard()[3][0] == "newcomer"
    assert {namespace for namespace, _ in here.heard()[3:]} == {"newcomer", "team-0", "team-1", "team-2"}


async def test_ten_thousand_at_once_are_one_message_a_namespace(tmp_path: Path) -> None:
    async with bench(tmp_path, TAKES) as (here, transport):
        for namespace in ("one", "two"):
            here.wait(namespace, *(f"ds-{number}" for number in range(5_000)))
        await here.notifier().tell(transport)
    counts = [json.loads(request.body)["data"]["count"] for request in here.receiver.requests]
    assert counts == [5_000, 5_000]


async def test_however_large_specs_are_others_may_work_in_between(tmp_path: Path) -> None:
    """Each look at a large one takes a millisecond: 500 of them in a row would hold up everybody's refreshes."""
    async with bench(tmp_path, TAKES) as (here, _):
        here.wait("shop", *(f"ds-{number}" for number in range(200)))
        notifier, turns = here.notifier(), 0

        def a_millisecond_later() -> float:
            here.clock += 0.001
            return here.clock

        async def another() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        notifier.monotonic = a_millisecond_later
        task = asyncio.create_task(another())
        assert len(await notifier._waiting()) == 1
        task.cancel()
        assert turns >= 10


async def test_a_receiver_nobody_listens_at_costs_nothing_but_the_round(tmp_path: Path) -> None:
    async with bench(tmp_path, TAKES) as (here, transport):
        here.wait("shop", "calendar")
        notifier = here.notifier()
        with closed_port() as port, capture_logs() as logs:
            notifier.notify = Notify(f"http://127.0.0.1:{port}/", here.secret_file)
            await notifier.tell(transport)
    assert here.receiver.requests == []
    assert errors(logs) == [
        "the receiver cannot be reached: 127.0.0.1 could not be reached: it refuses the connection."
    ]
    assert not notifier._sent


@pytest.mark.parametrize("expired", [False, True])
async def test_a_receiver_with_a_certificate_of_nobody_gets_nothing(tmp_path: Path, expired: bool) -> None:
    certificate = self_signed(expired=expired)
    async with bench(tmp_path, TAKES, tls=certificate.server_context()) as (here, transport):
        here.wait("shop", "calendar")
        notifier = here.notifier()
        with capture_logs() as logs:
            await notifier.tell(transport)
    assert here.receiver.requests == []
    (why,) = errors(logs)
    assert "the receiver cannot be reached" in why
    assert "certificate" in why


@pytest.mark.parametrize(
    "taken",
    [
        pytest.param(replies(200, b"x" * 2_000_000), id="a long body"),
        pytest.param(endless_body(), id="a body without an end"),
        pytest.param(gzip_bomb(), id="a gzip bomb"),
        pytest.param(cuts_in_the_body(), id="a body that is cut"),
        pytest.param(writes(b"HTTP/1.1 202 A\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), id="a broken chunk"),
        pytest.param(replies(201, b"\x8b\x00\x80", headers=("Content-Encoding: br",)), id="a coding that is not read"),
        pytest.param(writes(b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 204 N\r\n\r\n"), id="after early hints"),
    ],
)
async def test_what_was_taken_is_not_told_again_whatever_the_body_of_the_answer_is_like(
    tmp_path: Path, taken: Behaviour
) -> None:
    async with bench(tmp_path, taken) as (here, transport):
        notifier = here.notifier()
        here.wait("shop", "calendar")
        await notifier.tell(transport)
        await notifier.tell(transport)
    assert here.heard() == [("shop", ["calendar"])]


@pytest.mark.parametrize(
    "lost",
    [
        pytest.param(cuts_after_the_request(), id="no answer"),
        pytest.param(speaks_no_http(), id="no HTTP"),
        pytest.param(writes(b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), id="another protocol"),
        pytest.param(endless_body(status=500), id="an error without an end"),
        pytest.param(writes(b"HTTP/1.1 100 Continue\r\n\r\n"), id="only that it may go on"),
    ],
)
async def test_what_was_perhaps_not_taken_is_told_again(tmp_path: Path, lost: Behaviour) -> None:
    async with bench(tmp_path, lost, TAKES) as (here, transport):
        notifier = here.notifier()
        here.wait("shop", "calendar")
        for _ in range(3):
            await notifier.tell(transport)
    assert here.heard() == [("shop", ["calendar"])] * 2


@pytest.mark.parametrize("key", ["", "hunter2", "whsec_x"])
async def test_a_key_that_is_none_sends_nothing_and_is_not_shown(tmp_path: Path, key: str) -> None:
    with capture_logs() as logs:
        async with bench(tmp_path, TAKES, key=key) as (here, transport):
            here.wait("shop", "calendar")
            await here.notifier().tell(transport)
    assert here.receiver.requests == []
    said = str(logs)
    assert "DATASOURCE_NOTIFY_SECRET_FILE" in said
    assert not key or key not in said


async def test_a_key_that_is_swapped_is_used_from_the_next_round_on(tmp_path: Path) -> None:
    other = f"whsec_{base64.b64encode(b'n' * 32).decode()}"
    async with bench(tmp_path, TAKES, key="") as (here, transport):
        notifier = here.notifier()
        here.wait("shop", "calendar")
        await notifier.tell(transport)
        here.secret_file.write_text(f"{other}\n{KEY}\n")
        await notifier.tell(transport)
    (request,) = here.receiver.requests
    Webhook(KEY).verify(request.body, request.headers)
    Webhook(other).verify(request.body, request.headers)


async def test_no_link_and_no_key_is_sent_or_logged(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with bench(tmp_path, FAILS, TAKES) as (here, transport):
            notifier = here.notifier()
            here.wait("shop", "calendar")
            await notifier.tell(transport)
            await notifier.tell(transport)
    assert {each["event"] for each in logs} >= {"a notification was not delivered", "notified"}
    seen = str(logs) + "".join(request.body.decode() for request in here.receiver.requests)
    assert "secret-ticket" not in seen
    assert KEY.removeprefix("whsec_") not in seen


async def test_how_many_wait_is_a_metric(tmp_path: Path) -> None:
    async with bench(tmp_path, FAILS, TAKES) as (here, transport):
        notifier = here.notifier()
        here.wait("shop", "calendar", "drive")
        await notifier.tell(transport)
        assert REGISTRY.get_sample_value("datasource_notifications_waiting") == 2
        await notifier.tell(transport)
        assert REGISTRY.get_sample_value("datasource_notifications_waiting") == 0
    for result in ("sent", "failed"):
        labels = {"kind": str(Kind.PERSON_NEEDED), "result": result}
        assert (REGISTRY.get_sample_value("datasource_notifications_total", labels) or 0) >= 1


def test_without_a_receiver_there_is_no_notifier() -> None:
    settings = Settings("https://connect.example.com", "datasource-system")
    assert notifier_for(settings, Cache(), utc_now, lambda: 0.5) is None


def test_an_installation_tells_of_itself(tmp_path: Path) -> None:
    settings = Settings(
        "https://connect.example.com",
        "datasource-system",
        notify=Notify("https://alerts.example.com/", tmp_path / "key"),
    )
    made = notifier_for(settings, Cache(), utc_now, lambda: 0.5)
    assert made is not None
    assert (made.installation, made.notify.host) == ("https://connect.example.com", "alerts.example.com")
    assert not made.people_sign_in
    signing_in = msgspec.structs.replace(settings, sign_in=SignIn("https://login.example.com", "c", tmp_path / "key"))
    made = notifier_for(signing_in, Cache(), utc_now, lambda: 0.5)
    assert made is not None
    assert made.people_sign_in
