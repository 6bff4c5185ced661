"""Forms, before anything is believed of them."""

import pytest

from callback_server.dialog import parse_form

FORM = "application/x-www-form-urlencoded"


def test_form_is_read_with_its_escapes() -> None:
    assert parse_form(FORM + "; charset=utf-8", b"ticket=a%2Bb&token=c+d") == {"ticket": "a+b", "token": "c d"}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", b"ticket=a"),
        ("application/json", b'{"ticket": "a"}'),
        ("", b"ticket=a"),
        (FORM, b"\xff\xfe"),
        (FORM, b"&".join(b"a=1" for _ in range(11))),
        (FORM, b"ticket=%ff"),
    ],
)
def test_what_is_no_small_form_is_empty(content_type: str, body: bytes) -> None:
    assert parse_form(content_type, body) == {}
