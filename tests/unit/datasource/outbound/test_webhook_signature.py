"""Signatures of webhooks, as the reference library of Standard Webhooks verifies them."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from datasource.outbound.webhook_signature import InvalidKeys, WebhookKeys

OLD = f"whsec_{base64.b64encode(b'o' * 32).decode()}"
NEW = f"whsec_{base64.b64encode(b'n' * 24).decode()}"
BODY = '{"name": "Ünïcode", "id": 1}'.encode()


def signed(text: str, body: bytes = BODY, at: datetime | None = None) -> dict[str, str]:
    return WebhookKeys.read(text).headers("msg-1", body, at or datetime.now(UTC))


def test_reference_library_takes_what_we_sign() -> None:
    assert Webhook(OLD).verify(BODY, signed(OLD)) == {"name": "Ünïcode", "id": 1}


@pytest.mark.parametrize("known", [OLD, NEW], ids=["who has the old key", "who has the new one"])
def test_while_a_key_is_rotated_receivers_with_either_are_content(known: str) -> None:
    Webhook(known).verify(BODY, signed(f"{NEW}\n{OLD}\n"))


def test_nobody_else_is() -> None:
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(NEW).verify(BODY, signed(OLD))


@pytest.mark.parametrize(
    ("body", "change"),
    [(BODY + b" ", {}), (BODY, {"webhook-id": "msg-2"})],
    ids=["another body", "another id"],
)
def test_what_was_altered_is_refused(body: bytes, change: dict[str, str]) -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(body, signed(OLD) | change)


def test_what_is_replayed_later_is_refused() -> None:
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(OLD).verify(BODY, signed(OLD, at=datetime.now(UTC) - timedelta(minutes=10)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it holds 0"),
        (" \n\n", "it holds 0"),
        (f"{OLD}\n{NEW}\n{OLD}", "it holds 3"),
        ("hunter2", "openssl rand"),
        (OLD.removeprefix("whsec_"), "openssl rand"),
        ("whsec_" + base64.b64encode(b"short").decode(), "24 to 64 random bytes"),
        ("whsec_" + base64.b64encode(b"x" * 65).decode(), "24 to 64 random bytes"),
        ("whsec_äöü", "openssl rand"),
        ("whsec_" + "*" * 44, "openssl rand"),
        (f"{OLD} {NEW}", "openssl rand"),
    ],
)
def test_what_is_no_key_is_told_without_showing_it(text: str, said: str) -> None:
    with pytest.raises(InvalidKeys, match=said) as told:
        WebhookKeys.read(text)
    assert text.strip() == "" or text.strip() not in str(told.value)


def test_keys_are_in_no_text() -> None:
    keys = WebhookKeys.read(OLD)
    assert keys.secrets() == [OLD.removeprefix("whsec_")]
    assert "ooo" not in repr(keys)
