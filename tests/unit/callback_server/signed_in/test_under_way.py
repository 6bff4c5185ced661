"""A sign-in under way, in the cookie that is all there is of it."""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import timedelta

import pytest

from callback_server.cookie import is_same_browser
from callback_server.signed_in.under_way import LIFETIME, SIGN_IN, UnderWay, begun, opened, sealed
from datasource.records.link_keys import LinkKeys, Purpose
from tests.support.builders import NOW

BROWSER = "B" * 43
KEYS = LinkKeys().renewed(NOW - timedelta(days=1), lambda size: bytes(size))


def counting() -> Callable[[int], bytes]:
    numbers = iter(range(256))
    return lambda size: bytes([next(numbers)]) * size


def made() -> UnderWay:
    return begun(BROWSER, "/datasources/shop", NOW, counting())


def test_cookie_says_what_it_was_made_of() -> None:
    value = sealed(made(), KEYS, NOW)
    assert value is not None
    assert SIGN_IN.form.fullmatch(value.encode())
    assert len(value) < 1000
    assert opened(value, KEYS, NOW) == made()


def test_state_nonce_and_verifier_are_secrets_of_their_own() -> None:
    one = made()
    assert len({one.state, one.nonce, one.code_verifier}) == 3
    assert one.is_answered_by(one.state)
    assert not one.is_answered_by(one.nonce)
    assert not one.is_answered_by(None)
    assert not one.is_answered_by("")
    assert is_same_browser(BROWSER, one.browser)
    assert not is_same_browser("C" * 43, one.browser)


def test_ten_minutes_later_it_is_over() -> None:
    value = sealed(made(), KEYS, NOW)
    assert value is not None
    assert opened(value, KEYS, NOW + LIFETIME - timedelta(seconds=1)) is not None
    assert opened(value, KEYS, NOW + LIFETIME) is None


def test_without_a_key_there_is_no_cookie_and_none_is_believed() -> None:
    value = sealed(made(), KEYS, NOW)
    assert value is not None
    assert sealed(made(), LinkKeys(), NOW) is None
    assert opened(value, LinkKeys(), NOW) is None


def marked(text: str, purpose: Purpose = Purpose.SIGN_IN) -> str:
    return text + KEYS.keys[0].mark(purpose, text)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="nothing"),
        pytest.param("A" * 16, id="a mark alone"),
        pytest.param("A" * 200, id="made up"),
        pytest.param(marked("AAAA"), id="no JSON, though it is marked"),
        pytest.param(marked("A"), id="no base64, though it is marked"),
        pytest.param(marked(urlsafe_b64encode(b"{}").decode().rstrip("=")), id="nothing in it, though it is marked"),
        pytest.param(marked("AAAA", Purpose.SESSION), id="marked for a session"),
    ],
)
def test_what_we_did_not_make_is_none(value: str) -> None:
    assert opened(value, KEYS, NOW) is None


def test_it_tells_a_log_where_it_leads_and_no_secret() -> None:
    assert repr(made()) == "UnderWay(/datasources/shop)"
    assert made().state not in made().short_name
