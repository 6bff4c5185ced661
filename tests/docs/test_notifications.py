"""The relay of docs/notifications.md takes what the operator sends, and nothing else."""

import base64
import json
from datetime import UTC, datetime

import pytest

from datasource.outbound.webhook_signature import WebhookKeys
from datasource_operator.decisions.notices import Kind, Message, Notice, cloud_event
from tests.support.loopback import Loopback, QuietHandler
from tests.support.relay import KEY, relay, send

OTHER_KEY = f"whsec_{base64.b64encode(b'o' * 32).decode()}"


class Chat(Loopback):
    """An incoming webhook of a chat; on loopback while it is entered."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.status = 200
        chat = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if chat.status == 200:
                    chat.texts.append(json.loads(body)["text"])
                self.send_response(chat.status)
                self.end_headers()

        super().__init__(Handler)
        self.url = f"{self.origin}/"


def notification(count: int = 1, page: str = "") -> tuple[bytes, str]:
    """What the operator sends, and its id."""
    notices = tuple(
        Notice(
            f"id-{each}",
            f"ds-{each:02}",
            f"uid-{each}",
            "GrantRevoked",
            "",
            "2026-01-01T00:00:00Z",
            contact="team a",
            page=page,
        )
        for each in range(count)
    )
    message = Message(Kind.PERSON_NEEDED, "shop", notices)
    return cloud_event(message, source="https://connect.example.com", cluster="", now=datetime.now(UTC)), message.id


def signed(body: bytes, message_id: str, key: str = KEY) -> dict[str, str]:
    """With the headers that the operator sends."""
    return WebhookKeys.read(key).headers(message_id, body, datetime.now(UTC))


@pytest.mark.parametrize(
    ("count", "line"),
    [
        (1, "A person has to authorize again in shop: ds-00 (team a)"),
        (
            21,
            f"A person has to authorize again in shop: {', '.join(f'ds-{n:02} (team a)' for n in range(20))} and 1 more",
        ),
    ],
)
def test_chat_gets_one_line_though_the_message_comes_twice(count: int, line: str) -> None:
    body, message_id = notification(count)
    with Chat() as chat, relay(chat.url) as url:
        assert [send(url, body, signed(body, message_id)) for _ in range(2)] == [204, 204]
    assert chat.texts == [line]


def test_line_has_the_page_where_people_sign_in() -> None:
    body, message_id = notification(page="https://connect.example.com/datasources/shop/ds-00")
    with Chat() as chat, relay(chat.url) as url:
        assert send(url, body, signed(body, message_id)) == 204
    (line,) = chat.texts
    assert line.endswith("in shop: ds-00 (team a) https://connect.example.com/datasources/shop/ds-00")


def test_what_somebody_else_signed_is_refused() -> None:
    body, message_id = notification()
    with Chat() as chat, relay(chat.url) as url:
        assert send(url, body, signed(body, message_id, OTHER_KEY)) == 401
    assert chat.texts == []


def test_what_the_chat_does_not_take_is_not_taken() -> None:
    body, message_id = notification()
    with Chat() as chat, relay(chat.url) as url:
        chat.status = 500
        assert send(url, body, signed(body, message_id)) == 0
        chat.status = 200
        assert send(url, body, signed(body, message_id)) == 204
    assert len(chat.texts) == 1
