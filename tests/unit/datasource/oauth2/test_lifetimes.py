"""How long tokens last, by what a reply tells, and by what a token says of itself."""

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.oauth2.lifetimes import (
    LONGEST_HINT,
    LONGEST_LIFETIME,
    SHORTEST_HINT,
    expiry_hint,
    told_grant_lifetime,
    told_lifetime_in,
)
from datasource.oauth2.strict_json import Number

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def jwt(claims: Any) -> str:
    payload = urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


@pytest.mark.parametrize("name", ["refresh_token_expires_in", "refresh_expires_in", "x_refresh_token_expires_in"])
def test_lifetime_of_the_refresh_token_has_three_names(name: str) -> None:
    assert told_grant_lifetime({name: Number("1800")}, NOW) == timedelta(minutes=30)


def test_refresh_token_that_ends_in_0_seconds_is_not_told() -> None:
    assert told_grant_lifetime({"refresh_expires_in": Number("0")}, NOW) is None
    both = {"refresh_token_expires_in": Number("0"), "refresh_expires_in": Number("60")}
    assert told_grant_lifetime(both, NOW) == timedelta(minutes=1)


SECONDS = int(NOW.timestamp())
ENDS = [
    ("expires_at", "2026-07-01T13:00:00Z", timedelta(hours=1)),
    ("expires_at", " 2026-07-01T13:00:00.250+00:00 ", timedelta(seconds=3600.25)),
    ("expires_at", "2026-07-01T15:00:00+02:00", timedelta(hours=1)),
    ("expires_at", "2026-07-01 13:00:00", timedelta(hours=1)),
    ("expires_at", Number(str(SECONDS + 60)), timedelta(minutes=1)),
    ("expires_on", str(SECONDS + 60), timedelta(minutes=1)),
    ("expires_at", Number(f"{SECONDS + 60}000"), timedelta(minutes=1)),
    ("expires_in", "2026-07-01T13:00:00Z", timedelta(hours=1)),
    ("expires_at", "2026-07-01T11:00:00Z", None),
    ("expires_at", "2926-07-01T13:00:00Z", None),
    ("expires_at", "0001-01-01T00:00:00+23:59", None),
    ("expires_at", "9999-12-31T23:59:59-23:59", None),
    ("expires_at", "Wed, 01 Jul 2026 13:00:00 GMT", None),
    ("expires_at", Number("3600"), None),
    ("expires_at", "0", None),
    ("expires_at", Number("NaN"), None),
    ("expires_at", Number("1e400"), None),
    ("expires_at", True, None),
    ("expires_at", ["2026-07-01T13:00:00Z"], None),
    ("expires_at", "2" * 5000, None),
    ("expires", Number("3600"), None),
]


@pytest.mark.parametrize(("name", "value", "lifetime"), ENDS, ids=lambda each: str(each)[:40])
def test_moment_of_the_end_is_read_where_no_lifetime_is_told(
    name: str, value: object, lifetime: timedelta | None
) -> None:
    """Square tells nothing else."""
    assert told_lifetime_in({name: value}, NOW) == lifetime
    assert told_lifetime_in({"expires_in": Number("0")} | {name: value}, NOW) == lifetime


def test_lifetime_is_believed_over_the_moment_of_the_end() -> None:
    both = {"expires_in": Number("600"), "expires_at": Number(str(SECONDS + 60))}
    assert told_lifetime_in(both, NOW) == timedelta(minutes=10)


@pytest.mark.parametrize("name", ["refresh_token_expires_at", "refresh_expires_at"])
def test_moment_of_the_end_of_a_refresh_token_is_read(name: str) -> None:
    assert told_grant_lifetime({name: "2026-07-03T12:00:00Z"}, NOW) == timedelta(days=2)
    assert told_grant_lifetime({name: "soon"}, NOW) is None


@given(st.text(max_size=40) | st.floats().map(str) | st.datetimes().map(str) | st.datetimes().map(datetime.isoformat))
def test_any_end_is_ahead_or_not_told(text: str) -> None:
    found = told_lifetime_in({"expires_at": text}, NOW)
    assert found is None or timedelta(0) < found <= LONGEST_LIFETIME


@given(st.floats() | st.integers())
def test_any_number_is_an_end_ahead_or_not_told(number: float) -> None:
    found = told_lifetime_in({"expires_at": Number(json.dumps(number))}, NOW)
    assert found is None or timedelta(0) < found <= LONGEST_LIFETIME


@pytest.mark.parametrize(
    ("left", "hint"),
    [
        (timedelta(hours=1), timedelta(hours=1)),
        (timedelta(0), SHORTEST_HINT),
        (timedelta(days=-9), SHORTEST_HINT),
        (timedelta(days=9), LONGEST_HINT),
    ],
)
def test_hint_stays_within_bounds(left: timedelta, hint: timedelta) -> None:
    assert expiry_hint(jwt({"exp": (NOW + left).timestamp()}), NOW) == NOW + hint


@pytest.mark.parametrize(
    "token", ["opaque", jwt({}), jwt([]), jwt({"exp": True}), jwt({"exp": "1"}), jwt({"exp": float("nan")})]
)
def test_token_that_says_nothing_of_its_end_gives_no_hint(token: str) -> None:
    assert expiry_hint(token, NOW) is None


@given(st.floats() | st.integers())
def test_whatever_number_a_token_has_ends_within_the_bounds(expires: float) -> None:
    hint = expiry_hint(jwt({"exp": expires}), NOW)
    assert hint is None or SHORTEST_HINT <= hint - NOW <= LONGEST_HINT
