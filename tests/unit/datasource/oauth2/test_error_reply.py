"""What a reply that grants nothing means, and what is shown of it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.oauth2.error_reply import ErrorMeaning, ErrorRule, is_page, raise_for_reply, retry_after, words_of
from datasource.oauth2.errors import (
    InvalidClient,
    InvalidGrant,
    OAuth2Error,
    Processed,
    ProviderRefused,
    TemporarilyRefused,
    Throttled,
    Unauthorized,
    UnexpectedStatus,
)
from datasource.oauth2.strict_json import json_object

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
GRANT, CLIENT, TEMPORARY = ErrorMeaning.INVALID_GRANT, ErrorMeaning.INVALID_CLIENT, ErrorMeaning.TEMPORARY

FITBIT = {"errors": [{"errorType": "invalid_grant", "message": "Refresh token invalid"}], "success": False}
STRAVA = {
    "message": "Bad Request",
    "errors": [{"resource": "RefreshToken", "field": "refresh_token", "code": "invalid"}],
}
SALESFORCE = {
    "error": "invalid_grant",
    "error_description": "token request is already being processed",
    "details": [{"code": "x"}],
}
ATLASSIAN = {"error": "unauthorized_client", "error_description": "refresh_token is invalid"}
GOOGLE_API = {"error": {"code": 401, "message": "Request is missing required authentication", "status": "X"}}


def answered(
    status: int,
    members: Any = None,
    *rules: ErrorRule,
    text: str = "",
    sent: tuple[str, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> OAuth2Error:
    """The error that a reply is."""
    read = None if members is None else json_object(json.dumps(members))
    with pytest.raises(OAuth2Error) as caught:
        raise_for_reply(status, read, headers or {}, received_at=NOW, rules=rules, text=text, sent=sent)
    return caught.value


@pytest.mark.parametrize(
    ("rule", "status", "members", "expected"),
    [
        (ErrorRule(GRANT, path="errors.errorType", error="invalid_grant"), 400, FITBIT, InvalidGrant),
        (ErrorRule(GRANT, path="errors.0.errorType", error="invalid_grant"), 401, FITBIT, InvalidGrant),
        (ErrorRule(GRANT, path="errors.resource", error="RefreshToken"), 400, STRAVA, InvalidGrant),
        (ErrorRule(GRANT, path="errors.resource"), 400, STRAVA, InvalidGrant),
        (ErrorRule(TEMPORARY, error="invalid_grant", description="ALREADY being"), 400, SALESFORCE, TemporarilyRefused),
        (ErrorRule(GRANT, error="unauthorized_client", status=403), 403, ATLASSIAN, InvalidGrant),
        (ErrorRule(CLIENT, path="error.code", error="401"), 401, GOOGLE_API, InvalidClient),
        (ErrorRule(CLIENT, path="ok", error="false"), 200, {"ok": False}, InvalidClient),
        (ErrorRule(TEMPORARY, status=429), 429, {}, TemporarilyRefused),
        (ErrorRule(GRANT, status=410), 410, None, InvalidGrant),
    ],
)
def test_rule_says_what_an_error_means(rule: ErrorRule, status: int, members: Any, expected: type[OAuth2Error]) -> None:
    assert type(answered(status, members, rule)) is expected


@pytest.mark.parametrize(
    "rule",
    [
        ErrorRule(CLIENT, error="invalid_grant", status=403),
        ErrorRule(CLIENT, error="invalid"),
        ErrorRule(CLIENT, path="errors.errorType"),
        ErrorRule(CLIENT, path="error.0"),
        ErrorRule(CLIENT, path="details"),
        ErrorRule(CLIENT, path="error.9.x"),
        ErrorRule(CLIENT, error="invalid_grant", description="revoked"),
        ErrorRule(CLIENT, error="invalid_grant", description=" \n"),
    ],
)
def test_rule_of_which_one_part_does_not_match_says_nothing(rule: ErrorRule) -> None:
    assert type(answered(400, SALESFORCE, rule)) is InvalidGrant


TOKEN_LIKE = "aB3dE5fG7hI9jK1lM3nO5pQ7"


@pytest.mark.parametrize(
    ("members", "text", "description"),
    [
        ({"error": "x", "error_description": "y" * 290 + " this family is revoked"}, "", "family is revoked"),
        ({"error": "x", "error_description": "word " * 400 + "this family is revoked"}, "", "family is revoked"),
        ({"error": "x", "error_description": f"AADSTS50173{TOKEN_LIKE} is revoked"}, "", f"{TOKEN_LIKE} is"),
        ({"error": "x", "error_description": "the token s3cret-value-1 is revoked"}, "", "S3CRET-VALUE-1 is revoked"),
        ({"error": "x", "error_description": "two\nlines"}, "", "two lines"),
        ({"error": "x", "error_description": "two lines"}, "", "two  lines"),
        ({"errors": [{"code": number} for number in range(20)]}, "", "code: 19"),
        (None, "<!doctype html><title>This grant is revoked</title>", "grant is REVOKED"),
        (None, '["the grant is revoked"]', "grant is revoked"),
        (None, "x" * 2_000 + "the grant is revoked", "grant is revoked"),
    ],
)
def test_description_of_a_rule_is_looked_for_in_all_that_was_said(members: Any, text: str, description: str) -> None:
    """What is shown is cut; what a rule looks for may stand behind the cut, or look like a token."""
    rule = ErrorRule(GRANT, description=description)
    error = answered(400, members, rule, text=text, sent=("s3cret-value-1",))
    assert type(error) is InvalidGrant
    assert "s3cret" not in str(error).lower()
    assert len(str(error)) < 1_000


def test_first_rule_that_matches_holds() -> None:
    wide = ErrorRule(GRANT, status=400)
    assert type(answered(400, SALESFORCE, ErrorRule(TEMPORARY, description="processed"), wide)) is TemporarilyRefused
    assert type(answered(400, FITBIT, ErrorRule(TEMPORARY, description="processed"), wide)) is InvalidGrant


def test_error_that_goes_by_was_not_processed() -> None:
    assert TemporarilyRefused("x").processed is Processed.NO


@pytest.mark.parametrize(
    "error", ["invalid_grant", "invalid_token", "interaction_required", "consent_required", "login_required"]
)
@pytest.mark.parametrize("status", [200, 400, 401, 403, 500])
def test_error_that_asks_for_a_person_does_so_whatever_the_status(error: str, status: int) -> None:
    assert type(answered(status, {"error": error})) is InvalidGrant


def test_error_is_believed_over_the_status() -> None:
    assert type(answered(401, {"error": "invalid_scope"})) is ProviderRefused
    assert type(answered(400, {"error": "invalid_client"})) is InvalidClient


# What is shown.


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (FITBIT, "errorType: invalid_grant, message: Refresh token invalid, success: false"),
        (STRAVA, "message: Bad Request, resource: RefreshToken, field: refresh_token, code: invalid"),
        (GOOGLE_API, "code: 401, message: Request is missing required authentication"),
        ({"message": "no such app"}, "no such app"),
        ({"hint": "Token has been revoked"}, "Token has been revoked"),
        ({"error_hint": "log in again"}, "log in again"),
        ({"errorDescription": "gone", "debug": "x"}, "gone"),
        ({"developerMessage": "gone"}, "gone"),
        ({"error_codes": [50173], "trace_id": "x"}, "50173"),
        ({"access_token": "at", "refresh_token": "rt", "data": {"message": "x"}}, ""),
        ({"error": {"error": {"error": {"error": {"error": "deep"}}}}}, ""),
        ({"message": "", "error": None}, ""),
        ({}, ""),
    ],
)
def test_words_are_those_that_say_what_went_wrong(members: Any, words: str) -> None:
    assert words_of(json_object(json.dumps(members))) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("upstream connect error", "upstream connect error"),
        ("<html>Sign in", ""),
        (" <html>", ""),
        ('{"a": ', ""),
        ("[1]", ""),
        ("", ""),
    ],
)
def test_text_is_shown_and_pages_and_broken_json_are_not(text: str, words: str) -> None:
    assert words_of(None, text) == words


def test_what_was_sent_is_shown_nowhere() -> None:
    for members in ({"message": "bad token s3cret-value-1"}, {"errors": [{"message": "s3cret-value-1"}]}):
        assert "s3cret" not in str(answered(400, members, sent=("s3cret-value-1",)))
    assert "s3cret" not in str(answered(502 - 1, None, text="no s3cret-value-1 here", sent=("s3cret-value-1",)))
    rule = ErrorRule(GRANT, path="message")
    assert "s3cret" not in str(answered(400, {"message": "s3cret-value-1"}, rule, sent=("s3cret-value-1",)))


@pytest.mark.parametrize(
    ("status", "text", "is_asked"),
    [
        (404, "", True),
        (405, "no", True),
        (400, "<html>", True),
        (500, "<html>", True),
        (400, "no", False),
        (500, "", False),
    ],
)
def test_token_url_is_doubted_where_a_page_or_nothing_stands(status: int, text: str, is_asked: bool) -> None:
    error = answered(status, None, text=text)
    assert isinstance(error, UnexpectedStatus)
    assert ("Is this the token URL?" in str(error)) is is_asked


@pytest.mark.parametrize(
    ("status", "members", "expected"),
    [
        (400, STRAVA, "The provider answered 400. The provider says: message: Bad Request, resource: RefreshToken"),
        (
            500,
            {"error": "server_error", "error_description": "no database"},
            "answered 500. The provider says: server_error: no database.",
        ),
        (500, {"error": "server_error"}, "answered 500. The provider says: server_error."),
        (401, GOOGLE_API, "The provider answered 401, but no OAuth error that says why. The provider says: code: 401"),
        (429, {"message": "slow down"}, "The provider says: slow down."),
        (503, {"error": "temporarily_unavailable"}, "The provider says: temporarily_unavailable."),
        (403, {}, "The provider answered 403."),
    ],
)
def test_words_of_the_provider_are_in_the_message(status: int, members: Any, expected: str) -> None:
    assert expected in str(answered(status, members))


def test_401_without_an_error_names_nobody() -> None:
    assert type(answered(401, {"detail": "who are you?"})) is Unauthorized
    assert "invalid_client" not in str(answered(401, text="<html>"))


def test_endpoint_is_called_by_its_name() -> None:
    with pytest.raises(UnexpectedStatus, match=r"Is this the pushed authorization request URL\?"):
        raise_for_reply(404, None, {}, received_at=NOW, endpoint="pushed authorization request URL")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (
            'Bearer realm="x", error="invalid_token", error_description="It has expired"',
            "invalid_token: It has expired",
        ),
        ("Bearer error=invalid_token", "invalid_token"),
        ('Basic realm="x"', ""),
        ('Basic realm="error=x"' * 5_000, None),
        ("", ""),
    ],
)
def test_what_a_challenge_says_is_shown_and_decides_nothing(header: str, words: str | None) -> None:
    found = answered(401, text="", headers={"www-authenticate": header})
    assert type(found) is Unauthorized
    assert words is None or str(found) == str(Unauthorized(words))


def test_body_is_shown_before_a_challenge() -> None:
    challenge = {"www-authenticate": 'Bearer error="of_the_gateway"'}
    assert "of_the_gateway" not in str(answered(401, {"message": "of the service"}, headers=challenge))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("30", 30), (" 30 ", 30), ("30.5", 30.5), ("30.", 30), ("5, 30", 30), ("30 , 5.5", 30), ("0", 0), ("0,0", 0)],
)
def test_seconds_to_wait_are_read_as_servers_write_them(value: str, seconds: float) -> None:
    assert retry_after(value, NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize("value", ["-1", "1e3", "\u0663", "30 s", '"30"', ",", "30,", "1" * 10, "1," * 20 + "1", "."])
def test_what_is_no_number_of_seconds_asks_for_nothing(value: str) -> None:
    assert retry_after(value, NOW) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\ufeff \n<p>", True),
        ("<", True),
        ("<!DOCTYPE HTML PUBLIC>", True),
        ('<?xml version="1.0"?><!DOCTYPE html>', True),
        ("<b>Warning</b>", True),
        ("{<", False),
        ("", False),
        ("<error>invalid_grant</error>", False),
        ('<?xml version="1.0"?><fault><body/></fault>', True),
        ('<?xml version="1.0"?><fault>expired</fault>', False),
        ("<heading>", False),
    ],
)
def test_page_begins_like_one(text: str, expected: bool) -> None:
    assert is_page(text) is expected


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "errors", "message", "code", "0", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    members=st.dictionaries(st.sampled_from(["error", "errors", "message", "ok"]), _json),
    status=st.integers(100, 599),
    path=st.sampled_from([None, "error", "errors.0", "errors.x", "message.code", "error.error.error"]),
    means=st.sampled_from(ErrorMeaning),
)
def test_whatever_stands_in_a_reply_ends_in_a_typed_error_or_none(
    members: dict[str, Any], status: int, path: str | None, means: ErrorMeaning
) -> None:
    rule = ErrorRule(means, path=path, status=400)
    found: OAuth2Error | None = None
    try:
        raise_for_reply(status, json_object(json.dumps(members)), {}, received_at=NOW, rules=[rule])
    except OAuth2Error as error:
        found = error
    assert found is not None or 200 <= status < 300
    assert len(str(found)) < 2_000
    assert "\n" not in str(found)


@given(
    st.text(max_size=60) | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} [-+A-Z0-9]{3,9}")
)
def test_any_retry_after_is_a_wait_of_at_most_a_day_or_none(value: str) -> None:
    wait = retry_after(value, NOW)
    assert wait is None or timedelta(0) <= wait <= timedelta(days=1)


def test_throttled_waits_as_long_as_it_is_told() -> None:
    with pytest.raises(Throttled) as caught:
        raise_for_reply(429, None, {"retry-after": "7"}, received_at=NOW)
    assert caught.value.retry_after == timedelta(seconds=7)
