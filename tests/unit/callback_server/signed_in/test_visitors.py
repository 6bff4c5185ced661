"""Who stands before a page, and what the forms of a page are good for."""

from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from callback_server.cookie import BROWSER
from callback_server.refusals import Refused
from callback_server.security import token_for
from callback_server.signed_in.destinations import HOME
from callback_server.signed_in.visitors import SignInNeeded, Visitor, cookie_of, require_token


def request(*cookies: bytes) -> Request:
    scope: dict[str, Any] = {"type": "http", "headers": [(b"cookie", each) for each in cookies]}
    return Request(scope)


def test_cookie_is_read_from_the_bytes_that_came() -> None:
    value = b"A" * 43
    assert cookie_of(request(BROWSER.name.encode() + b"=" + value), BROWSER) == value.decode()
    assert cookie_of(request(b"x=y"), BROWSER) is None
    with pytest.raises(Refused):
        cookie_of(request(b"\xa0" + BROWSER.name.encode() + b"=" + value), BROWSER)


def test_nobody_is_sent_to_sign_in() -> None:
    with pytest.raises(SignInNeeded) as caught:
        Visitor("b", is_new=False, signed_in=None).require(HOME, was_lost=True)
    assert (caught.value.destination, caught.value.was_lost) == (HOME, True)


@pytest.mark.parametrize("is_new", [True, False])
def test_new_browser_gets_its_cookie(is_new: bool) -> None:
    response = Visitor("B" * 43, is_new=is_new, signed_in=None).take_along(Response())
    assert ("set-cookie" in response.headers) is is_new


def test_form_is_good_for_what_it_said_alone() -> None:
    token = token_for("secret", "clear", "shop")
    require_token(token, "secret", "clear", "shop")
    for presented, secret, said in [
        (token, "other", ("clear", "shop")),
        (token, "secret", ("refresh", "shop")),
        ("", "secret", ("clear", "shop")),
        ("A" * 43, "secret", ("clear", "shop")),
    ]:
        with pytest.raises(Refused):
            require_token(presented, secret, *said)
