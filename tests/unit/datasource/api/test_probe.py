"""Where a probe may go: below spec.url, and nowhere else."""

from datetime import timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.probe import LONGEST, SHORTEST, Probe, path_problem, probe_problem, probe_url
from tests.unit.walks import walks

URL = "https://api.example.com/rest/v3"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "me",
        "//evil.example.com/me",
        "/a//b",
        "/..",
        "/../admin",
        "/a/../../admin",
        "/./a",
        "/a/..;/b",
        "/a/..;x=1/b",
        "/..?x=/a",
        "/%2e%2e/admin",
        "/%2E./admin",
        "/a%2fb",
        "/a%5Cb",
        "/%252e%252e",
        "/a%00b",
        "/a%0d%0aHost:x",
        "/%",
        "/%zz",
        "/a\\b",
        "\\\\evil.example.com",
        "/a\r\nHost: evil",
        "/a b",
        "/ä",
        "/me#top",
        "@evil.example.com/",
        "https://evil.example.com/",
        "/a\u2025/b",
        "/\t",
    ],
)
def test_a_path_that_could_lead_elsewhere_is_refused(path: str) -> None:
    found = probe_problem(URL, path, allow_insecure_http=False)
    assert found is not None
    assert found.remedy


@pytest.mark.parametrize(
    "path", ["/", "/me", "/v1/users/@me", "/a/", "/...", "/a..b", "/me?fields=id,name&x=/..", "/a;v=1", "/%41"]
)
def test_a_path_below_the_url_is_taken(path: str) -> None:
    assert probe_problem(URL, path, allow_insecure_http=False) is None
    assert probe_url(URL, path) == f"{URL}{path}"
    assert probe_url(f"{URL}/", path) == f"{URL}{path}"


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com",
        "https://user:word@api.example.com",
        "https://api.example.com/?a=b",
        "https://api.example.com/a/../b",
        "https://api.example.com/a#b",
        "https://api.example.com//a",
        "https://api.example.com\\@evil.example.com",
        "https://",
        "ftp://api.example.com",
    ],
)
def test_a_token_goes_below_no_odd_url(url: str) -> None:
    assert probe_problem(url, "/me", allow_insecure_http=False) is not None


def test_plain_http_is_for_loopback_or_wants_the_flag() -> None:
    assert probe_problem("http://127.0.0.1:8080", "/me", allow_insecure_http=False) is None
    assert probe_problem("http://api.example.com", "/me", allow_insecure_http=True) is None


@given(st.text(st.characters(codec="ascii") | st.sampled_from("/.%;?@\\"), max_size=12))
@walks(20, 400)
def test_whatever_is_taken_stays_on_the_host_and_below_the_path(path: str) -> None:
    if probe_problem(URL, path, allow_insecure_http=False) is not None:
        return
    sent = httpx.URL(probe_url(URL, path))
    assert (sent.scheme, sent.host, sent.userinfo, sent.fragment) == ("https", "api.example.com", b"", "")
    assert sent.raw_path.startswith(b"/rest/v3/")
    assert ".." not in sent.path.split("/")


@pytest.mark.parametrize(
    ("interval", "pause"),
    [
        ("10m", timedelta(minutes=10)),
        ("1s", SHORTEST),
        ("0s", timedelta(minutes=10)),
        ("999h", LONGEST),
        ("never", timedelta(minutes=10)),
        ("", timedelta(minutes=10)),
    ],
)
def test_a_probe_comes_at_most_once_a_minute(interval: str, pause: timedelta) -> None:
    assert Probe(interval=interval).pause == pause


def test_what_is_wrong_with_a_path_is_said_with_what_to_write() -> None:
    found = path_problem("/../x")
    assert found is not None
    assert (found.problem, found.remedy) == ("has . or .. in it", "Write where that leads.")
