"""A URL that requests may go to is absolute, https, and nothing but a URL."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.outbound.endpoint import endpoint_problem, split_url


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "is not an absolute http(s) URL"),
        ("/token", "is not an absolute http(s) URL"),
        ("//login.example.com/token", "is not an absolute http(s) URL"),
        ("https://", "is not an absolute http(s) URL"),
        ("ftp://login.example.com", "is not an absolute http(s) URL"),
        ("javascript:alert(1)", "is not an absolute http(s) URL"),
        ("https://login.example.com:70000/", "is not an absolute http(s) URL"),
        ("https://login.example.com:port/", "is not an absolute http(s) URL"),
        ("https://login.example.com\\@evil.example", "is not an absolute http(s) URL"),
        ("https://lögin.example.com", "is not an absolute http(s) URL"),
        ("https://login.example.com/ token", "is not an absolute http(s) URL"),
        ("https://[::1/token", "is not an absolute http(s) URL"),
        ("https://me@login.example.com", "carries a user name or password"),
        ("https://:secret@login.example.com", "carries a user name or password"),
        ("https://login.example.com/#", "carries a fragment"),
        ("http://login.example.com", "is not https"),
        ("http://localhost.example.com", "is not https"),
        ("http://0.0.0.0", "is not https"),
    ],
)
def test_url_that_cannot_be_used_has_a_problem_and_a_remedy(url: str, problem: str) -> None:
    found = endpoint_problem(url, allow_insecure_http=False)
    assert found is not None
    assert found.problem == problem
    assert found.remedy


@pytest.mark.parametrize(
    "url",
    ["https://login.example.com/a?b=c", "http://localhost:8080", "http://127.9.9.9/", "http://[::1]:80/", "HTTPS://A"],
)
def test_url_that_can_be_used_has_none(url: str) -> None:
    assert endpoint_problem(url, allow_insecure_http=False) is None


def test_plain_http_is_for_whoever_allows_it() -> None:
    assert endpoint_problem("http://login.example.com", allow_insecure_http=True) is None


@given(st.text() | st.text().map("https://".__add__))
def test_arbitrary_text_is_split_or_none_and_never_raises(url: str) -> None:
    split = split_url(url)
    assert split is None or (url.isascii() and "\\" not in url)
    endpoint_problem(url, allow_insecure_http=True)
