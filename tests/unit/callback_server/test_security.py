"""What binds a request to a page, and what no host name may do to a header."""

import hashlib
from base64 import b64encode

import pytest

from callback_server.security import (
    form_token,
    form_token_fits,
    is_form_token,
    is_from_our_page,
    origin,
    page_headers,
    style_source,
)
from callback_server.situation import Situation
from datasource.api.objects import Status
from datasource.api.requests import Requests
from datasource.api.spec import OAuth2, Spec

EXTERNAL_URL = "https://connect.example.com/prefix"


@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-origin", "origin": "https://connect.example.com"}, True),
        ({"origin": "https://connect.example.com"}, True),
        ({}, True),  # an old browser: the form token decides
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"origin": "null"}, False),
        ({"origin": "https://connect.example.com.evil.com"}, False),
        ({"origin": "http://connect.example.com"}, False),
        ({"sec-fetch-site": "same-origin", "origin": "https://evil.com"}, False),
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, True),
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}, False),
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, False),
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "no-cors"}, False),
    ],
)
def test_post_must_come_from_a_page_of_ours(headers: dict[str, str], is_ours: bool) -> None:
    assert is_from_our_page(headers, EXTERNAL_URL) is is_ours


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Login.Example.com/authorize?x=1", "https://login.example.com"),
        ("https://login.example.com:443/a", "https://login.example.com"),
        ("http://127.0.0.1:80/a", "http://127.0.0.1"),
        ("http://127.0.0.1:8080/a", "http://127.0.0.1:8080"),
        ("https://[2001:db8::1]:8443/a", "https://[2001:db8::1]:8443"),
        ("https://[2001:db8::1]/a", "https://[2001:db8::1]"),
        ("https://evil.com;script-src/*", None),
        ("https://evil.com'unsafe-inline'/", None),
        ("https://a,b/", None),
        ("https://a:b/", None),
        ("ftp://a/", None),
        ("", None),
    ],
)
def test_origin_is_what_a_browser_would_write_or_nothing(url: str, expected: str | None) -> None:
    assert origin(url) == expected


def test_form_may_lead_to_us_only() -> None:
    assert "form-action 'self';" in page_headers("'sha256-x'")["Content-Security-Policy"]


def test_style_is_allowed_by_its_hash() -> None:
    assert style_source("a{}") == "'sha256-" + b64encode(hashlib.sha256(b"a{}").digest()).decode() + "'"


def situation() -> Situation:
    parameters = OAuth2(client_id="my-app", issuer="https://login.example.com")
    return Situation(
        namespace="shop",
        name="calendar",
        uid="uid",
        spec=Spec(url="https://api.example.com", oauth2=parameters),
        oauth2=parameters,
        status=Status(),
        requests=Requests(),
        credential=None,
    )


def test_form_token_is_bound_to_endpoints_that_the_provider_told() -> None:
    shown = ("https://login.example.com/authorize", "https://login.example.com/token")
    token = form_token("cookie", situation(), "ticket", *shown)

    assert form_token_fits(token, "cookie", situation(), "ticket", *shown)
    assert not form_token_fits(token, "cookie", situation(), "ticket", shown[0], "https://evil.example.com/token")
    assert not form_token_fits(token, "other", situation(), "ticket", *shown)
    assert is_form_token(token)
