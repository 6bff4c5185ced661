"""How long tokens last, by what a reply tells, and by what a token says of itself."""

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.oauth2.lifetimes import LONGEST_HINT, SHORTEST_HINT, expiry_hint, told_grant_lifetime
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
