"""Which headers a gateway may be given, and what stands in them: whatever somebody writes, a request stays one request."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.oauth2.extra_headers import LONGEST_VALUE, ExtraHeader, name_problem, value_problem

NAMES = ["X-Api-Key", "Ocp-Apim-Subscription-Key", "User-Agent", "accept", "x_key", "X-Forwarded-For", "2fa"]
OURS = [
    "Authorization",
    "authorization",
    "Host",
    "Cookie",
    "Content-Type",
    "content-length",
    "Content-Anything",
    "Transfer-Encoding",
    "Connection",
    "Proxy-Authorization",
    "PROXY-CONNECTION",
    "TE",
    "Upgrade",
    "Expect",
    "Accept-Encoding",
    "DPoP",
]


@pytest.mark.parametrize("name", NAMES)
def test_header_of_a_gateway_may_be_set(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize("name", OURS)
def test_header_that_frames_the_request_or_says_who_asks_may_not(name: str) -> None:
    assert "the request itself" in (name_problem(name) or "")


@pytest.mark.parametrize("name", ["", "-x", "X Key", "X:Key", "X\r\nHost", "ключ", "x" * 65, "x\n"])
def test_what_is_no_name_may_not(name: str) -> None:
    assert "no name of a header" in (name_problem(name) or "")


@pytest.mark.parametrize("value", ["x", "a b", "~!", "k" * LONGEST_VALUE])
def test_value_in_printable_ascii_is_taken(value: str) -> None:
    assert value_problem(value) is None


@pytest.mark.parametrize(
    "value", ["", " a", "a ", "a\n", "a\r\nHost: b", "a\tb", "a\0", "schlüssel", "\x7f", "k" * (LONGEST_VALUE + 1)]
)
def test_other_values_are_refused_without_a_word_of_them(value: str) -> None:
    problem = value_problem(value)
    assert problem is not None
    assert value.strip() == "" or value.strip() not in problem or len(value.strip()) < 3


@given(st.text(max_size=80), st.text(max_size=80))
def test_whatever_is_taken_makes_one_header_line(name: str, value: str) -> None:
    if name_problem(name) is None and value_problem(value) is None:
        request = httpx.Request("POST", "https://login.example.com/token", headers={name: value})
        ((_, sent),) = [pair for pair in request.headers.raw if pair[0] == name.encode()]
        assert sent == value.encode("ascii")
        assert not {b"\r", b"\n"} & {bytes([byte]) for byte in sent}


def test_value_does_not_print() -> None:
    assert "s3cret" not in repr(ExtraHeader("X-Api-Key", "s3cret"))
