"""The token endpoint's reply: every quirk that providers have, and that nothing escapes but an OAuth2Error."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from datasource.oauth2.error_reply import ErrorCode, ErrorMeaning, ErrorRule, retry_after
from datasource.oauth2.errors import (
    InvalidClient,
    InvalidGrant,
    MalformedTokenResponse,
    OAuth2Error,
    OutcomeUnknown,
    Processed,
    ProviderRefused,
    RedirectRefused,
    Throttled,
    Unauthorized,
    UnexpectedStatus,
)
from datasource.oauth2.lifetimes import LONGEST_LIFETIME
from datasource.oauth2.strict_json import DEEPEST_JSON
from datasource.oauth2.token_response import (
    ReplyOptions,
    TokenResponse,
    parse_token_response,
    parse_what_came,
    successor,
)
from datasource.outbound.provider_request import Reply

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
HTML = b"<!doctype html><title>Sign in</title><a href='/?a=b'>Sign in</a>"


def reply(**changes: object) -> bytes:
    """A good JSON reply; a member that is None is null."""
    return json.dumps({"access_token": "at-1", "token_type": "Bearer"} | changes).encode()


def reply_with(member: str, literal: str) -> bytes:
    """A good JSON reply with one more member, written as it stands."""
    return reply()[:-1] + f', "{member}": {literal}}}'.encode()


def parse(
    body: bytes, status: int = 200, *, content_type: str = JSON, headers: Mapping[str, str] | None = None
) -> TokenResponse:
    return parse_token_response(status, {"content-type": content_type, **(headers or {})}, body, received_at=NOW)


def lifetime(response: TokenResponse) -> timedelta | None:
    return None if response.expires_at is None else response.expires_at - NOW


# What a reply says.


def test_full_reply_is_read() -> None:
    body = reply(expires_in=3600, refresh_token="rt-2", id_token="a.b.c", scope="read write", unknown={"x": [1]})
    assert parse(body) == TokenResponse(
        access_token="at-1",
        token_type="Bearer",
        expires_at=NOW + timedelta(hours=1),
        refresh_token="rt-2",
        id_token="a.b.c",
        scopes=("read", "write"),
        told_lifetime=timedelta(hours=1),
    )


def test_least_reply_leaves_the_rest_unknown() -> None:
    assert parse(reply()) == TokenResponse(access_token="at-1", token_type="Bearer")


def test_tokens_do_not_print() -> None:
    body = reply(access_token="sentinel-1", refresh_token="sentinel-2", id_token="sentinel-3")
    assert "sentinel" not in repr(parse(body))


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        pytest.param("3600", timedelta(hours=1), id="a whole number"),
        pytest.param('"3600"', timedelta(hours=1), id="a number as text"),
        pytest.param("3599.5", timedelta(seconds=3599.5), id="a fraction"),
        pytest.param('"3599.5"', timedelta(seconds=3599.5), id="a fraction as text"),
        pytest.param("3.6e3", timedelta(hours=1), id="a number with an exponent"),
        pytest.param("0", None, id="zero, as some say of a token that lasts for ever"),
        pytest.param("-0.0", None, id="less than nothing by a sign"),
        pytest.param("-5", None, id="a negative number"),
        pytest.param("-1e400", None, id="a negative number beyond all floats"),
        pytest.param("1e400", LONGEST_LIFETIME, id="a number beyond all floats"),
        pytest.param("9" * 5000, LONGEST_LIFETIME, id="a number of 5000 digits"),
        pytest.param("Infinity", LONGEST_LIFETIME, id="Infinity"),
        pytest.param('"99999999999"', LONGEST_LIFETIME, id="more than ten years as text"),
        pytest.param("315360001", LONGEST_LIFETIME, id="a second more than ten years"),
        pytest.param(f"{NOW.timestamp() + 3600:.0f}", timedelta(hours=1), id="the moment of the end"),
        pytest.param(f'"{NOW.timestamp() + 3600:.1f}"', timedelta(hours=1), id="the moment of the end as text"),
        pytest.param(f"{1000 * (NOW.timestamp() + 3600):.0f}", timedelta(hours=1), id="the same in milliseconds"),
        pytest.param(f"{NOW.timestamp() - 1:.0f}", LONGEST_LIFETIME, id="a moment that is over"),
        pytest.param("2147483647", LONGEST_LIFETIME, id="the largest number of 32 bits, for ever"),
        pytest.param("9999999999", LONGEST_LIFETIME, id="ten nines, for ever"),
        pytest.param("NaN", None, id="NaN"),
        pytest.param('"NaN"', None, id="NaN as text"),
        pytest.param('" 3600 "', timedelta(hours=1), id="blanks around it"),
        pytest.param('"+3600"', timedelta(hours=1), id="a sign before it"),
        pytest.param('"0"', None, id="zero as text"),
        pytest.param('"soon"', None, id="a word"),
        pytest.param('"-5"', None, id="a negative number as text"),
        pytest.param('"3600 s"', None, id="a number with a unit"),
        pytest.param('"\\t3600\\r\\n"', timedelta(hours=1), id="white space around it"),
        pytest.param('"3600.123456789"', timedelta(seconds=3600.123457), id="a fraction of nanoseconds as text"),
        pytest.param('"3600."', timedelta(hours=1), id="a point without a fraction"),
        pytest.param('"\\uff13\\uff16"', None, id="digits of another script"),
        pytest.param('""', None, id="empty text"),
        pytest.param("[1]", None, id="a list"),
        pytest.param('{"seconds": 1}', None, id="an object"),
        pytest.param("true", None, id="true"),
        pytest.param("false", None, id="false"),
        pytest.param("null", None, id="null"),
    ],
)
def test_token_is_kept_whatever_expires_in_says(literal: str, expected: timedelta | None) -> None:
    response = parse(reply_with("expires_in", literal))
    assert response.access_token == "at-1"
    assert lifetime(response) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3600", timedelta(hours=1)),
        ("3599.5", timedelta(seconds=3599.5)),
        ("0", None),
        ("soon", None),
        ("1e400", None),
        ("", None),
    ],
)
def test_expires_in_of_a_form_is_read_like_text(value: str, expected: timedelta | None) -> None:
    response = parse(f"access_token=at-1&token_type=bearer&expires_in={value}".encode(), content_type=FORM)
    assert lifetime(response) == expected


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        pytest.param('"read write"', ("read", "write"), id="scopes in one text"),
        pytest.param('"  read\\twrite "', ("read", "write"), id="any white space between them"),
        pytest.param('["read", "write"]', ("read", "write"), id="a list"),
        pytest.param('["read", 5, null]', ("read",), id="a list with strangers in it"),
        pytest.param('""', None, id="empty text"),
        pytest.param("[]", None, id="an empty list"),
        pytest.param("[5]", None, id="a list of strangers"),
        pytest.param("5", None, id="a number"),
        pytest.param("null", None, id="null"),
        pytest.param("true", None, id="true"),
        pytest.param('{"read": true}', None, id="an object"),
    ],
)
def test_scope_is_read_leniently(literal: str, expected: tuple[str, ...] | None) -> None:
    assert parse(reply_with("scope", literal)).scopes == expected


@pytest.mark.parametrize("literal", ['"read \\ud800"', '["read", "\\ud800"]'])
def test_scopes_can_be_stored_even_if_the_provider_sent_half_a_character(literal: str) -> None:
    # They go into an annotation: an exception there would lose the credential whose code is spent.
    scopes = parse(reply_with("scope", literal)).scopes
    assert scopes is not None
    assert scopes[0] == "read"
    " ".join(scopes).encode()


@pytest.mark.parametrize("scope", ["x" * 300_000, "x " * 150_000])
def test_scopes_fit_into_an_annotation(scope: str) -> None:
    # All annotations of an object may take 256 KiB: a larger one would be refused and the credential lost.
    scopes = parse(reply(scope=scope)).scopes
    assert len(" ".join(scopes or ())) < 200_000


@pytest.mark.parametrize(
    "literal",
    [
        pytest.param("null", id="null"),
        pytest.param('""', id="empty"),
        pytest.param("false", id="false"),
        pytest.param("1e3", id="no whole number"),
        pytest.param('["rt-2"]', id="a list"),
        pytest.param('"rt\\n2"', id="with a line break"),
        pytest.param('"  "', id="blanks"),
        pytest.param('"rt\\ud800"', id="half a character"),
        pytest.param('"rt\\ufffd"', id="not decoded"),
        pytest.param('"' + "r" * 65_537 + '"', id="longer than 64 KiB"),
    ],
)
def test_refresh_token_that_is_none_keeps_the_old_one(literal: str) -> None:
    response = parse(reply_with("refresh_token", literal))
    assert response.refresh_token is None
    assert successor("rt-1", response) == "rt-1"


def test_reply_without_refresh_token_keeps_the_old_one() -> None:
    assert successor("rt-1", parse(reply())) == "rt-1"
    assert successor(None, parse(reply())) is None


def test_new_refresh_token_takes_the_place_of_the_old_one() -> None:
    assert successor("rt-1", parse(reply(refresh_token="rt-2"))) == "rt-2"


@pytest.mark.parametrize("token_type", ["Bearer", "bearer", "BEARER"])
def test_token_type_is_bearer_in_any_letters(token_type: str) -> None:
    assert parse(reply(token_type=token_type)).token_type == "Bearer"


@pytest.mark.parametrize("again", ["null", '""'])
def test_refresh_token_that_stands_twice_is_the_one_that_says_something(again: str) -> None:
    body = b'{"refresh_token": "rt-2", ' + reply()[1:-1] + f', "refresh_token": {again}}}'.encode()
    assert parse(body).refresh_token == "rt-2"


@pytest.mark.parametrize("lifetime_of_a_jwt", ["1" + "0" * 400, "-1" + "0" * 400, "9" * 5000, "1e999", "-1e999", "NaN"])
def test_token_is_kept_whatever_a_jwt_says_of_its_end(lifetime_of_a_jwt: str) -> None:
    """The instance: an integer beyond all floats, and the reply to a code that was spent ended in an OverflowError."""
    payload = urlsafe_b64encode(f'{{"exp": {lifetime_of_a_jwt}}}'.encode()).decode().rstrip("=")
    token = f"e30.{payload}.c2ln"
    assert parse(reply(access_token=token)).access_token == token


# Where a token stands elsewhere.

ELSEWHERE = {"access_token": "at-1", "token_type": "Bearer", "refresh_token": "rt-2"}


@pytest.mark.parametrize(
    ("body", "options", "place"),
    [
        pytest.param({"code": 0, "data": ELSEWHERE}, ReplyOptions(), "data", id="in an object"),
        pytest.param({"a": {"b": {"c": ELSEWHERE}}}, ReplyOptions(), "a.b.c", id="deep"),
        pytest.param({"result": ELSEWHERE}, ReplyOptions(token_path=("data",)), "result", id="in another one"),
    ],
)
def test_token_that_stands_in_another_object_is_told_by_the_field_that_says_where(
    body: dict[str, Any], options: ReplyOptions, place: str
) -> None:
    with pytest.raises(MalformedTokenResponse, match=rf"set spec\.oauth2\.tokenPath to {place}\.$") as caught:
        parse_token_response(200, {}, json.dumps(body).encode(), received_at=NOW, options=options)
    assert caught.value.refresh_token == "rt-2"


@pytest.mark.parametrize(
    "body",
    [{"tokens": [ELSEWHERE]}, {"a.b": ELSEWHERE}, {"data": ELSEWHERE | {"access_token": "at 1"}}],
    ids=["in a list", "below a name with a dot", "no token that can be used"],
)
def test_token_where_no_field_leads_to_is_only_kept(body: dict[str, Any]) -> None:
    with pytest.raises(MalformedTokenResponse, match="has no access_token") as caught:
        parse(json.dumps(body).encode())
    assert caught.value.refresh_token == "rt-2"


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"refresh_token": "rt-of-somebody-else"}},
        {"bot": ELSEWHERE, "person": ELSEWHERE | {"refresh_token": "rt-3"}},
    ],
    ids=["not beside an access token", "two, of which one is meant"],
)
def test_refresh_token_of_which_nobody_knows_whose_it_is_is_not_taken(body: dict[str, Any]) -> None:
    with pytest.raises(MalformedTokenResponse) as caught:
        parse(json.dumps(body).encode())
    assert caught.value.refresh_token is None


# How a reply is written.


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(reply(), JSON, id="JSON"),
        pytest.param(reply(), "application/json; charset=utf-8", id="JSON with a charset"),
        pytest.param(reply(), "text/html", id="JSON that claims to be HTML"),
        pytest.param(reply(), FORM, id="JSON that claims to be a form"),
        pytest.param(reply(), "", id="JSON that claims nothing"),
        pytest.param(b"\xef\xbb\xbf" + reply(), JSON, id="JSON after a byte order mark"),
        pytest.param(b"\xef\xbb\xbf" * 3 + b"\n" + reply(), JSON, id="JSON after three byte order marks"),
        pytest.param(b"\n\xef\xbb\xbf" + reply() + b"\xef\xbb\xbf", JSON, id="JSON between byte order marks"),
        pytest.param(reply().decode().encode("utf-16"), JSON, id="JSON in UTF-16"),
        pytest.param(reply().decode().encode("utf-32-be"), JSON, id="JSON in UTF-32"),
        pytest.param(json.dumps(reply().decode()).encode(), JSON, id="JSON that was written as JSON once more"),
        pytest.param(b'{"access_token": "at-0", ' + reply()[1:], JSON, id="JSON with a member twice"),
        pytest.param(reply()[:-1] + b', "access_token": null}', JSON, id="JSON with a member twice, once empty"),
        pytest.param(b"access_token=at-1&token_type=bearer&access_token=", FORM, id="a form with a field twice"),
        pytest.param(b"\r\n\t" + reply() + b"\r\n", JSON, id="JSON in white space"),
        pytest.param(b"access_token=at-1&token_type=bearer", FORM, id="a form"),
        pytest.param(b"access_token=at-1&token_type=bearer", FORM.upper(), id="a form in capitals"),
        pytest.param(b"access_token=at-1&token_type=bearer", JSON, id="a form that claims to be JSON"),
        pytest.param(b"access_token=at-1&token_type=bearer", "text/plain", id="a form that claims to be text"),
        pytest.param(b"\xef\xbb\xbfaccess_token=at-1&token_type=bearer\n", FORM, id="a form after a byte order mark"),
    ],
)
def test_json_and_forms_are_read_whatever_they_claim_to_be(body: bytes, content_type: str) -> None:
    assert parse(body, content_type=content_type).access_token == "at-1"


def test_reply_without_content_type_is_read() -> None:
    assert parse_token_response(200, {}, reply(), received_at=NOW).access_token == "at-1"


def test_form_is_percent_decoded() -> None:
    response = parse(b"access_token=at%2F1&token_type=bearer&scope=read+write&refresh_token=", content_type=FORM)
    assert response.access_token == "at/1"
    assert response.scopes == ("read", "write")
    assert response.refresh_token is None


def test_json_may_nest_as_deep_as_any_provider_needs() -> None:
    depth = DEEPEST_JSON - 1
    assert parse(reply_with("x", "[" * depth + "]" * depth)).access_token == "at-1"


@pytest.mark.parametrize("text", ["[" * 32, "]" * 32, "[" * 5000, "{" * 64 + "[" * 64, '\\"' + "[" * 40])
def test_brackets_in_a_text_are_no_depth(text: str) -> None:
    """The instance: a reply with 32 of them in a text was refused after the code was spent."""
    assert parse(reply_with("x", f'"{text}"')).access_token == "at-1"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(reply_with("x", "[" * 32 + "]" * 32), id="JSON one level too deep"),
        pytest.param(b'{"a":' * 10_000, id="objects without an end"),
        pytest.param(b"[" * 10_000, id="lists without an end"),
        pytest.param(
            b'{"x": "' + b"}" * 20_000 + b'", "y": ' + b"[" * 19_000, id="depth hidden behind brackets in a text"
        ),
        pytest.param(HTML, id="an HTML page"),
        pytest.param(b"", id="nothing"),
        pytest.param(b" \n ", id="white space"),
        pytest.param(b"{}", id="an empty object"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"at-1"', id="a text"),
        pytest.param(b'[{"access_token": "at-1", "token_type": "Bearer"}]', id="a list"),
        pytest.param(reply()[:-1], id="JSON cut short"),
        pytest.param(b'{"access_token": "at\xff", "token_type": "Bearer"}', id="bytes that are not UTF-8"),
        pytest.param(b"access_token=at%ff&token_type=bearer", id="a form that is not UTF-8"),
        pytest.param(b"a=1&" * 101, id="a form with more than 100 fields"),
        pytest.param(b"OK", id="a word"),
    ],
)
@pytest.mark.parametrize("content_type", [JSON, FORM])
def test_success_that_is_no_token_response_is_malformed(body: bytes, content_type: str) -> None:
    with pytest.raises(MalformedTokenResponse):
        parse(body, content_type=content_type)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"token_type": "Bearer"}', id="no access token"),
        pytest.param(reply(access_token=""), id="an empty access token"),
        pytest.param(reply(access_token=None), id="an access token that is null"),
        pytest.param(reply(access_token=5), id="an access token that is a number"),
        pytest.param(reply(access_token=["at-1"]), id="an access token that is a list"),
        pytest.param(reply(access_token="at\n1"), id="an access token with a line break"),
        pytest.param(reply(access_token="ät"), id="an access token that is not ASCII"),
        pytest.param(reply(access_token="a" * 65_537), id="an access token longer than 64 KiB"),
        pytest.param(b'{"access_token": "at-1"}', id="no token type"),
        pytest.param(reply(token_type=""), id="an empty token type"),
        pytest.param(reply(token_type=None), id="a token type that is null"),
        pytest.param(reply(token_type=5), id="a token type that is a number"),
        pytest.param(reply(token_type=["Bearer"]), id="a token type that is a list"),
        pytest.param(reply(token_type="mac"), id="another token type"),
        pytest.param(reply(token_type="DPoP"), id="a token type that wants a proof"),
        pytest.param(reply(token_type="\ud800"), id="a token type that is half a character"),
        pytest.param(b"access_token=&token_type=bearer", id="a form with an empty access token"),
    ],
)
def test_reply_whose_token_cannot_be_used_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedTokenResponse):
        parse(body)


def test_longest_access_token_is_kept() -> None:
    assert parse(reply(access_token="a" * 65_536)).access_token == "a" * 65_536


# What went wrong.


def error(code: object, **more: object) -> bytes:
    return json.dumps({"error": code} | more).encode()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        pytest.param(400, error("invalid_grant"), InvalidGrant, id="400 invalid_grant"),
        pytest.param(200, error("invalid_grant"), InvalidGrant, id="200 invalid_grant"),
        pytest.param(401, error("invalid_grant"), InvalidGrant, id="401 invalid_grant"),
        pytest.param(400, b"error=invalid_grant", InvalidGrant, id="a form with invalid_grant"),
        pytest.param(400, error("invalid_client"), InvalidClient, id="400 invalid_client"),
        pytest.param(401, error("invalid_client"), InvalidClient, id="401 invalid_client"),
        pytest.param(200, error("invalid_client"), InvalidClient, id="200 invalid_client"),
        pytest.param(401, error("unauthorized"), ProviderRefused, id="401 with an error of its own"),
        pytest.param(401, HTML, Unauthorized, id="401 with a page"),
        pytest.param(401, reply(), Unauthorized, id="401 with a token"),
        pytest.param(400, error("invalid_scope"), ProviderRefused, id="400 invalid_scope"),
        pytest.param(403, error("access_denied"), ProviderRefused, id="403 with an error"),
        pytest.param(200, error("bad_verification_code"), ProviderRefused, id="200 with an error, as GitHub does"),
        pytest.param(200, error("fatal_error", ok=False), ProviderRefused, id="200 with an error, as Slack does"),
        pytest.param(200, b"error=bad_verification_code", ProviderRefused, id="200 with an error in a form"),
        pytest.param(200, reply(error="x"), ProviderRefused, id="200 with a token beside the error"),
        pytest.param(400, reply(), UnexpectedStatus, id="400 with a token"),
        pytest.param(404, HTML, UnexpectedStatus, id="404 with a page"),
        pytest.param(500, HTML, UnexpectedStatus, id="500 with a page"),
        pytest.param(500, reply(), UnexpectedStatus, id="500 with a token"),
        pytest.param(500, error("server_error"), UnexpectedStatus, id="500 with an error"),
        pytest.param(500, error("invalid_grant"), InvalidGrant, id="500 invalid_grant"),
        pytest.param(100, reply(), UnexpectedStatus, id="100 with a token"),
        pytest.param(400, error("temporarily_unavailable"), Throttled, id="temporarily_unavailable"),
        pytest.param(429, reply(), Throttled, id="429 with a token"),
        pytest.param(503, HTML, Throttled, id="503 with a page"),
        pytest.param(400, error("INVALID_GRANT"), InvalidGrant, id="400 invalid_grant in capitals"),
        pytest.param(400, error(" invalid_grant\n"), InvalidGrant, id="400 invalid_grant in white space"),
        pytest.param(400, error("Temporarily_Unavailable"), Throttled, id="temporarily_unavailable in capitals"),
        pytest.param(400, b"[" + error("invalid_grant") + b"]", InvalidGrant, id="an error in a list"),
        pytest.param(400, b"\xef\xbb\xbf" * 2 + error("invalid_grant"), InvalidGrant, id="after byte order marks"),
        pytest.param(200, b"[" + reply() + b"]", MalformedTokenResponse, id="200 with a token in a list"),
        pytest.param(503, error("invalid_grant"), Throttled, id="503 invalid_grant"),
        pytest.param(502, HTML, OutcomeUnknown, id="502"),
        pytest.param(504, reply(), OutcomeUnknown, id="504 with a token"),
        pytest.param(301, reply(), RedirectRefused, id="301 with a token"),
        pytest.param(307, b"", RedirectRefused, id="307"),
        pytest.param(399, error("invalid_grant"), RedirectRefused, id="399 invalid_grant"),
    ],
)
def test_reply_is_told_by_status_and_error(status: int, body: bytes, expected: type[OAuth2Error]) -> None:
    with pytest.raises(OAuth2Error) as caught:
        parse(body, status)
    assert type(caught.value) is expected


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, error("slow_down")),
        (403, error("rate_limit_exceeded")),
        (200, error("ratelimited", ok=False)),
        (500, b""),
        (502, HTML),
        (429, b""),
    ],
)
def test_pause_that_is_asked_for_is_told_with_whatever_status(status: int, body: bytes) -> None:
    with pytest.raises(OAuth2Error) as caught:
        parse(body, status, headers={"retry-after": "30"})
    assert caught.value.retry_after == timedelta(seconds=30)


def test_pause_beside_tokens_that_cannot_be_used_is_none() -> None:
    with pytest.raises(MalformedTokenResponse) as caught:
        parse(b"{}", headers={"retry-after": "30"})
    assert caught.value.retry_after is None


@pytest.mark.parametrize("literal", ["null", '""', "false", "0", "{}", "[]"])
def test_error_member_that_says_nothing_is_no_error(literal: str) -> None:
    assert parse(reply_with("error", literal)).access_token == "at-1"


def test_error_and_description_are_shown_in_one_line() -> None:
    with pytest.raises(ProviderRefused, match=r"^The provider refused: a  b: c d$") as caught:
        parse(error("a\r\nb", error_description="c\nd"), 400)
    assert (caught.value.error, caught.value.description) == ("a  b", "c d")


@pytest.mark.parametrize("description", [None, "", 5, ["x"]])
def test_description_that_is_none_is_left_out(description: object) -> None:
    with pytest.raises(ProviderRefused, match=r"^The provider refused: x$"):
        parse(error("x", error_description=description), 400)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(200, reply(access_token="sentinel", token_type="mac"), id="another token type"),
        pytest.param(200, reply(access_token="sentinel\n"), id="a token that cannot be used"),
        pytest.param(400, reply(access_token="sentinel"), id="400 with a token"),
        pytest.param(401, reply(access_token="sentinel"), id="401 with a token"),
        pytest.param(302, reply(access_token="sentinel"), id="a redirect with a token"),
        pytest.param(200, b"sentinel", id="no token response at all"),
        pytest.param(200, reply(access_token="sentinel", error="x"), id="an error beside the token"),
    ],
)
def test_error_carries_no_token(status: int, body: bytes) -> None:
    with pytest.raises(OAuth2Error) as caught:
        parse(body, status)
    assert "sentinel" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("status", [500, 520, 599])
def test_fault_of_the_provider_may_have_spent_what_was_sent(status: int) -> None:
    with pytest.raises(OAuth2Error) as caught:
        parse(HTML, status)
    assert caught.value.processed is Processed.PERHAPS


@pytest.mark.parametrize("status", [400, 403, 404, 405, 418])
def test_status_that_the_token_url_should_not_send_spends_nothing(status: int) -> None:
    with pytest.raises(UnexpectedStatus, match=str(status)) as caught:
        parse(HTML, status)
    assert caught.value.status == status
    assert caught.value.processed is Processed.NO


# When to come back.


@pytest.mark.parametrize("status", [429, 503])
def test_throttled_carries_how_long_to_wait(status: int) -> None:
    with pytest.raises(Throttled, match=str(status)) as caught:
        parse(b"", status, headers={"retry-after": "7"})
    assert caught.value.retry_after == timedelta(seconds=7)


def test_temporarily_unavailable_carries_how_long_to_wait_too() -> None:
    with pytest.raises(Throttled) as caught:
        parse(error("temporarily_unavailable"), 400, headers={"retry-after": "7"})
    assert caught.value.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(None, None, id="missing"),
        pytest.param("7", timedelta(seconds=7), id="seconds"),
        pytest.param(" 7 ", timedelta(seconds=7), id="seconds in spaces"),
        pytest.param("0", timedelta(0), id="at once"),
        pytest.param("Wed, 01 Jul 2026 12:01:00 GMT", timedelta(minutes=1), id="a date"),
        pytest.param("Wed, 01 Jul 2026 14:01:00 +0200", timedelta(minutes=1), id="a date with an offset"),
        pytest.param("Wed, 01 Jul 2026 12:01:00 -0000", timedelta(minutes=1), id="a date without a zone"),
        pytest.param("Wed, 01 Jul 2026 11:59:00 GMT", timedelta(0), id="a date that is over"),
        pytest.param("86401", timedelta(days=1), id="more than a day"),
        pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", timedelta(days=1), id="the end of all dates"),
        pytest.param("9999999999", None, id="more seconds than anybody means"),
        pytest.param("9" * 5000, None, id="a number of 5000 digits"),
        pytest.param("-5", None, id="a negative number"),
        pytest.param("7.5", timedelta(seconds=7.5), id="a fraction"),
        pytest.param("７", None, id="a digit of another script"),
        pytest.param("soon", None, id="a word"),
        pytest.param("", None, id="empty"),
        pytest.param("Wed, 99 Jul 2026 12:01:00 GMT", None, id="a day that is in no month"),
        pytest.param("Wed, 01 Jul 2026 12:01:00 +9999", None, id="an offset that is nowhere"),
    ],
)
def test_retry_after_is_read(value: str | None, expected: timedelta | None) -> None:
    assert retry_after(value, NOW) == expected


@given(st.text(max_size=60) | st.from_regex(r"[0-9A-Za-z,:+\- ]{0,40}", fullmatch=True))
def test_any_retry_after_is_a_wait_of_at_most_a_day_or_none(value: str) -> None:
    wait = retry_after(value, NOW)
    assert wait is None or timedelta(0) <= wait <= timedelta(days=1)


# Anything at all.

_statuses = st.sampled_from([200, 201, 204, 400, 401, 403, 429, 500, 502, 503]) | st.integers(100, 999)
_texts = st.text(alphabet=st.characters(), max_size=20)
_headers = st.fixed_dictionaries(
    {}, optional={"content-type": st.sampled_from([JSON, FORM]) | _texts, "retry-after": _texts, "x": _texts}
)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _texts | st.just("Bearer"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)
_members = st.fixed_dictionaries(
    {},
    optional={
        "access_token": st.just("at-1") | _values,
        "token_type": st.just("bearer") | _values,
        "expires_in": _values,
        "refresh_token": _values,
        "id_token": _values,
        "scope": _values,
        "error": _values,
        "error_description": _values,
    },
)


def check_fits_into_a_log_line(refused: OAuth2Error) -> None:
    assert str(refused).isprintable()
    assert len(str(refused)) < 1000


def check_anything(status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Either an OAuth2Error whose text fits into a log line, or a token that can be stored and used."""
    try:
        response = parse_token_response(status, headers, body, received_at=NOW)
    except OAuth2Error as refused:
        check_fits_into_a_log_line(refused)
        return
    assert 200 <= status < 300
    assert response.token_type == "Bearer"
    for token in (response.access_token, response.id_token):
        assert token is None or (token.isascii() and token.isprintable() and token)
    # It goes into no header: test_odd_refresh_token_is_kept_as_it_is_written.
    refresh_token = response.refresh_token
    assert refresh_token is None or (refresh_token.encode() and refresh_token.isprintable())
    wait = lifetime(response)
    assert wait is None or timedelta(0) <= wait <= LONGEST_LIFETIME
    assert response.scopes is None or " ".join(response.scopes).encode()


@given(status=_statuses, headers=_headers, body=st.binary(max_size=200))
@example(status=200, headers={}, body=b"{" * 10_000)
@example(status=200, headers={"content-type": FORM}, body=b"=&" * 1000)
def test_arbitrary_bytes_raise_nothing_but_an_oauth2_error(status: int, headers: dict[str, str], body: bytes) -> None:
    check_anything(status, headers, body)


@given(status=_statuses, headers=_headers, members=_members)
@example(status=200, headers={}, members={"access_token": "at-1", "token_type": "bearer", "refresh_token": "é"})
def test_arbitrary_json_raises_nothing_but_an_oauth2_error(
    status: int, headers: dict[str, str], members: dict[str, Any]
) -> None:
    check_anything(status, headers, json.dumps(members).encode())


@given(status=_statuses, headers=_headers, members=st.dictionaries(st.text(max_size=20), st.text(max_size=20)))
def test_arbitrary_forms_raise_nothing_but_an_oauth2_error(
    status: int, headers: dict[str, str], members: dict[str, str]
) -> None:
    check_anything(status, headers, urlencode(members).encode())


_tokens = st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=80)

_scope_tokens = st.from_regex(r"[!#-Z^-z|~]{1,20}", fullmatch=True)


@given(
    access_token=_tokens,
    refresh_token=_tokens,
    seconds=st.integers(1, 315_360_000),
    scopes=st.lists(_scope_tokens, min_size=1, max_size=4),
    as_form=st.booleans(),
)
def test_good_reply_comes_out_as_it_went_in(
    access_token: str, refresh_token: str, seconds: int, scopes: list[str], as_form: bool
) -> None:
    members = {
        "access_token": access_token,
        "token_type": "bearer",
        "expires_in": seconds,
        "refresh_token": refresh_token,
        "scope": " ".join(scopes),
    }
    body = (urlencode(members) if as_form else json.dumps(members)).encode()
    assert parse(body, content_type=FORM if as_form else JSON) == TokenResponse(
        access_token=access_token,
        token_type="Bearer",
        expires_at=NOW + timedelta(seconds=seconds),
        refresh_token=refresh_token,
        scopes=tuple(scopes),
        told_lifetime=timedelta(seconds=seconds),
    )


# Where a provider's replies differ from the standard.


def parse_with(options: ReplyOptions, body: bytes, status: int = 200) -> TokenResponse:
    return parse_token_response(status, {"content-type": JSON}, body, received_at=NOW, options=options)


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        pytest.param("60", timedelta(seconds=60), id="what is told"),
        pytest.param("7201", timedelta(hours=2), id="no longer than the longest"),
        pytest.param('"soon"', timedelta(minutes=30), id="the default for what makes no sense"),
        pytest.param("null", timedelta(minutes=30), id="the default for nothing"),
        pytest.param("NaN", timedelta(minutes=30), id="the default for NaN"),
    ],
)
def test_lifetime_has_a_default_and_an_end(literal: str, expected: timedelta) -> None:
    options = ReplyOptions(default_lifetime=timedelta(minutes=30), longest_lifetime=timedelta(hours=2))
    assert lifetime(parse_with(options, reply_with("expires_in", literal))) == expected


def test_default_lifetime_is_no_longer_than_the_longest() -> None:
    options = ReplyOptions(default_lifetime=timedelta(days=1), longest_lifetime=timedelta(hours=2))
    assert lifetime(parse_with(options, reply())) == timedelta(hours=2)


def test_missing_token_type_is_allowed_where_that_is_said_and_a_wrong_one_never() -> None:
    lenient = ReplyOptions(missing_token_type_allowed=True)
    assert parse_with(lenient, b'{"access_token": "at-1"}').token_type == "Bearer"
    assert parse_with(lenient, reply(token_type="")).token_type == "Bearer"
    assert parse_with(lenient, reply(token_type=None)).token_type == "Bearer"
    for body in (reply(token_type="mac"), reply(token_type=5)):
        with pytest.raises(MalformedTokenResponse):
            parse_with(lenient, body)


def test_further_token_types_mean_bearer_in_any_letters() -> None:
    slack = ReplyOptions(bearer_token_types=frozenset({"bearer", "bot"}))
    assert parse_with(slack, reply(token_type="Bot")).token_type == "Bearer"
    with pytest.raises(MalformedTokenResponse, match="user"):
        parse_with(slack, reply(token_type="user"))


def test_token_path_leads_into_objects() -> None:
    body = json.dumps({"data": {"token": {"access_token": "at-2", "token_type": "Bearer", "expires_in": 60}}}).encode()
    response = parse_with(ReplyOptions(token_path=("data", "token")), body)
    assert (response.access_token, lifetime(response)) == ("at-2", timedelta(seconds=60))


@pytest.mark.parametrize("members", [{}, {"user": None}, {"user": "x"}, {"user": []}, {"user": 5}])
def test_token_path_that_leads_nowhere_is_malformed_unless_it_may(members: dict[str, Any]) -> None:
    body = reply(**members)
    with pytest.raises(MalformedTokenResponse, match="no object user"):
        parse_with(ReplyOptions(token_path=("user",)), body)
    assert parse_with(ReplyOptions(token_path=("user",), token_path_may_be_missing=True), body).access_token == "at-1"


def test_names_of_errors_are_translated() -> None:
    options = ReplyOptions(error_codes={"bad": ErrorCode.INVALID_GRANT, "who": ErrorCode.INVALID_CLIENT})
    with pytest.raises(InvalidGrant, match="bad"):
        parse_with(options, error("bad"))
    with pytest.raises(InvalidClient, match="who"):
        parse_with(options, error("who"), 400)
    with pytest.raises(InvalidGrant):
        parse_with(options, error("invalid_grant"), 400)


def test_scopes_are_split_as_they_are_joined() -> None:
    commas = ReplyOptions(scope_separator=",")
    assert parse_with(commas, reply(scope="read,write ,a")).scopes == ("read", "write", "a")
    assert parse(reply(scope="read,write")).scopes == ("read,write",)


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        ('"https://shop.example.com"', "https://shop.example.com"),
        ('""', ""),
        ("4711", "4711"),
        ("1.50", "1.50"),
        ("true", "true"),
        ("false", "false"),
        ("null", None),
        ("[1]", None),
        ('{"a": 1}', None),
        ('"a\\nb"', None),
        ('"' + "x" * 2049 + '"', None),
    ],
)
def test_captured_field_is_text_or_left_out(literal: str, text: str | None) -> None:
    response = parse_with(ReplyOptions(captured=("extra", "missing", "extra.deeper")), reply_with("extra", literal))
    assert response.captured == ({} if text is None else {"extra": text})


def test_captured_field_may_lie_within_an_object() -> None:
    options = ReplyOptions(captured=("team.id",))
    assert parse_with(options, reply(team={"id": "T1"})).captured == {"team.id": "T1"}


_options = st.builds(
    ReplyOptions,
    token_path=st.lists(st.sampled_from(["a", "b"]), max_size=2).map(tuple),
    token_path_may_be_missing=st.booleans(),
    default_lifetime=st.none() | st.timedeltas(timedelta(minutes=1), timedelta(days=999_999)),
    missing_token_type_allowed=st.booleans(),
    error_codes=st.just({"a": ErrorCode.INVALID_GRANT}),
    scope_separator=st.sampled_from([" ", ","]),
    captured=st.just(("a", "a.b", "scope")),
)


@given(options=_options, members=_members, nested=st.booleans())
def test_arbitrary_json_ends_typed_whatever_the_options(
    options: ReplyOptions, members: dict[str, Any], nested: bool
) -> None:
    body = json.dumps(members | ({"a": members, "b": members} if nested else {})).encode()
    try:
        response = parse_with(options, body)
    except OAuth2Error as refused:
        check_fits_into_a_log_line(refused)
        return
    wait = lifetime(response)
    assert wait is None or timedelta(0) <= wait <= LONGEST_LIFETIME
    assert all(len(text) <= 2048 and text.isprintable() for text in response.captured.values())


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"access_token=" + b"%41" * 60_000, id="a form of nothing but escapes"),
        pytest.param(b"access_token=a&token_type=bearer&scope=" + b"%20" * 60_000, id="a form of a scope of escapes"),
    ],
)
def test_form_that_takes_long_to_read_is_none(body: bytes) -> None:
    with pytest.raises(MalformedTokenResponse):
        parse_token_response(200, {}, body, received_at=NOW)


def test_scope_of_more_than_anybody_means_is_not_looked_at() -> None:
    body = b'{"access_token": "a", "token_type": "bearer", "scope": "' + b"a " * 60_000 + b'"}'
    assert parse_token_response(200, {}, body, received_at=NOW).scopes is None


# What real providers send: nothing that can be read is lost.

AS_IT_COMES = [
    pytest.param(reply(refresh_token="rt-2") + b"<script>1</script>", id="a proxy's script behind it"),
    pytest.param(reply(refresh_token="rt-2") + reply(), id="two objects"),
    pytest.param(b")]}',\n" + reply(refresh_token="rt-2"), id="a guard against scripts before it"),
    pytest.param(b"while(1);" + reply(refresh_token="rt-2"), id="another guard"),
    pytest.param(reply(refresh_token="rt-2").decode().encode("utf-16"), id="UTF-16"),
    pytest.param(reply(refresh_token="rt-2", name="x")[:-2] + b'\xe9"}', id="a name in Latin-1"),
    pytest.param(b"access_token=at-1&token_type=bearer&refresh_token=rt-2&name=%e9", id="a form with Latin-1"),
    pytest.param(reply(refresh_token="rt-2")[:-1] + b', "x": "a\nb"}', id="a line break in a text"),
    pytest.param(reply(refresh_token="rt-2", x="[" * 40), id="40 brackets in a text"),
]


@pytest.mark.parametrize("body", AS_IT_COMES)
def test_reply_is_read_whatever_stands_around_the_tokens(body: bytes) -> None:
    response = parse(body)
    assert (response.access_token, response.refresh_token) == ("at-1", "rt-2")


@pytest.mark.parametrize(("literal", "token"), [("12345", "12345"), ('"r\\u00fct"', "rüt"), ('"a b"', "a b")])
def test_odd_refresh_token_is_kept_as_it_is_written(literal: str, token: str) -> None:
    assert parse(reply_with("refresh_token", literal)).refresh_token == token


REFUSED = [
    pytest.param(reply(refresh_token="rt-2", token_type="mac"), id="another token type"),
    pytest.param(reply(refresh_token="rt-2", token_type=5), id="a token type that is a number"),
    pytest.param(b'{"access_token": "at-1", "refresh_token": "rt-2"}', id="no token type"),
    pytest.param(b'{"token_type": "bearer", "refresh_token": "rt-2"}', id="no access token"),
    pytest.param(reply(refresh_token="rt-2", access_token="a b"), id="an access token with a blank"),
    pytest.param(reply(refresh_token="rt-2", access_token="a" * 65_537), id="an access token that is too long"),
    pytest.param(reply(refresh_token="rt-2", error="x"), id="an error beside it"),
    pytest.param(reply(refresh_token="rt-2")[:-1], id="JSON cut short"),
    pytest.param(reply(refresh_token="rt-2")[:-1] + b",}", id="a comma too many"),
    pytest.param(reply(refresh_token="rt-2")[:-1] + b', "x": ' + b"[" * 40 + b"]" * 40 + b"}", id="too deep"),
    pytest.param(reply(refresh_token="rt-2")[:-1] + b', "x": [1' + b",1" * 10_000 + b"]}", id="too many elements"),
    pytest.param(b"<b>Notice</b>: x in y.php" + reply(refresh_token="rt-2"), id="a warning of PHP before it"),
    pytest.param(b'{"refresh_token": 12, "x"', id="a number, and no end"),
    pytest.param(b"a=1&" * 101 + b"refresh_token=rt-2", id="a form with more than 100 fields"),
    pytest.param(b'{"access_token": "at-1", "refresh_token": "r\\u0074-2", ', id="an escape in it"),
]


@pytest.mark.parametrize("body", REFUSED)
def test_readable_refresh_token_is_carried_by_whatever_refuses_the_reply(body: bytes) -> None:
    with pytest.raises(OAuth2Error) as caught:
        parse(body)
    assert caught.value.refresh_token in {"rt-2", "12"}
    assert "rt-2" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(reply(refresh_token="rt-1", token_type="mac"), id="the one that was sent"),
        pytest.param(b'{"refresh_token": "a"} {"refresh_token": "b"}'[1:], id="two, and nobody knows which"),
        pytest.param(b'{"refresh_token": "rt-', id="half of one"),
        pytest.param(b'{"refresh_token": 12', id="a number, and perhaps the beginning of one"),
        pytest.param(b'{"refresh_token": "\\ud8zz", ', id="one that no JSON has"),
        pytest.param(b"token_type=bearer&refresh_token=", id="an empty one"),
        pytest.param(HTML, id="none"),
    ],
)
def test_what_is_no_new_refresh_token_is_not_carried(body: bytes) -> None:
    with pytest.raises(OAuth2Error) as caught:
        parse_token_response(200, {}, body, received_at=NOW, sent=["rt-1"])
    assert caught.value.refresh_token is None


@pytest.mark.parametrize("status", [302, 400, 401, 500, 503])
def test_reply_that_grants_nothing_tells_no_refresh_token(status: int) -> None:
    with pytest.raises(OAuth2Error) as caught:
        parse(reply(refresh_token="rt-2"), status)
    assert caught.value.refresh_token is None


def test_refresh_token_is_looked_for_where_the_token_is() -> None:
    slack = ReplyOptions(token_path=("authed_user",))
    body = b'{"refresh_token": "bot", "authed_user": {"refresh_token": "rt-2"}}'
    with pytest.raises(MalformedTokenResponse) as caught:
        parse_with(slack, body)
    assert caught.value.refresh_token == "rt-2"
    with pytest.raises(MalformedTokenResponse, match="tokenPath") as caught:
        parse_with(slack, b'{"refresh_token": "rt-2", "token_type": "bot"}')
    assert caught.value.refresh_token == "rt-2"


@pytest.mark.parametrize(
    ("body", "token"),
    [
        pytest.param(b'{"access_token": "at", "refresh_token": "rt-2", "x', "rt-2", id="JSON"),
        pytest.param(b"access_token=at-1&refresh_token=rt-2&x", "rt-2", id="a form"),
        pytest.param(b"access_token=at-1&refresh_token=rt-", None, id="a form cut within it"),
        pytest.param(b"", None, id="nothing"),
    ],
)
def test_refresh_token_of_a_reply_that_broke_off_is_carried(body: bytes, token: str | None) -> None:
    lost = OutcomeUnknown("lost")
    with pytest.raises(OutcomeUnknown, match="lost") as caught:
        parse_what_came(Reply(200, {}, body), lost, received_at=NOW, options=ReplyOptions())
    assert caught.value.refresh_token == token


def test_tokens_that_came_whole_are_taken_though_the_reply_has_no_end() -> None:
    came = Reply(200, {}, reply(refresh_token="rt-2"))
    response = parse_what_came(came, OutcomeUnknown("lost"), received_at=NOW, options=ReplyOptions())
    assert (response.access_token, response.refresh_token) == ("at-1", "rt-2")


def test_rule_for_errors_costs_no_tokens() -> None:
    wide = ReplyOptions(error_rules=(ErrorRule(ErrorMeaning.INVALID_GRANT, status=200),))
    assert parse_with(wide, reply()).access_token == "at-1"
    with pytest.raises(InvalidGrant):
        parse_with(wide, b'{"ok": false}')
    assert parse_with(replace(wide, token_path=("a",), token_path_may_be_missing=True), reply()).access_token == "at-1"


@pytest.mark.parametrize("there", [{"id": "U1"}, {"access_token": None}, {"access_token": "", "scope": "read"}, {}])
def test_object_without_a_token_in_the_place_of_the_token_is_no_detour_on_a_refresh(there: dict[str, Any]) -> None:
    """Slack tells on a refresh, too, whose token it is."""
    slack = ReplyOptions(token_path=("authed_user",), token_path_may_be_missing=True)
    body = reply(authed_user=there, refresh_token="rt-2", expires_in=60)
    response = parse_with(slack, body)
    assert (response.access_token, response.refresh_token, lifetime(response)) == ("at-1", "rt-2", timedelta(minutes=1))
    with pytest.raises(MalformedTokenResponse):
        parse_with(replace(slack, token_path_may_be_missing=False), body)


def test_token_in_its_place_is_the_one_that_is_taken_on_a_refresh() -> None:
    slack = ReplyOptions(token_path=("authed_user",), token_path_may_be_missing=True)
    theirs = {"access_token": "at-2", "token_type": "bearer"}
    assert parse_with(slack, reply(authed_user=theirs)).access_token == "at-2"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_rule_says_what_a_redirect_means_and_nothing_follows_it(status: int) -> None:
    """Some services send a client whose grant is dead to their page to sign in."""
    dead = ReplyOptions(error_rules=(ErrorRule(ErrorMeaning.INVALID_GRANT, status=status),))
    with pytest.raises(InvalidGrant, match=f"status {status}"):
        parse_with(dead, b"", status)
    with pytest.raises(RedirectRefused):
        parse_with(dead, b"", 300)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"scopes": "read write"}, ("read", "write")),
        ({"scopes": ["read", "write"]}, ("read", "write")),
        ({"scope": "read", "scopes": "write"}, ("read",)),
        ({"scope": "", "scopes": "write"}, ("write",)),
        ({"scope": None, "scopes": {"read": True}}, None),
    ],
)
def test_granted_scopes_are_read_under_the_name_that_some_services_use(
    members: dict[str, object], expected: tuple[str, ...] | None
) -> None:
    """Bitbucket says `scopes`."""
    assert parse(reply(**members)).scopes == expected


def test_remedy_is_named_where_a_token_type_is_missing_or_another() -> None:
    with pytest.raises(MalformedTokenResponse, match="missingTokenTypeAllowed"):
        parse(b'{"access_token": "at-1"}')
    with pytest.raises(MalformedTokenResponse, match=r"token_type is mac.*bearerTokenTypes"):
        parse(reply(token_type="mac"))


def test_words_of_a_success_without_a_token_are_shown() -> None:
    with pytest.raises(
        MalformedTokenResponse, match=r"no access_token that can be used\. The provider says: no such app\.$"
    ):
        parse(b'{"message": "no such app."}')


@pytest.mark.parametrize(("body", "is_asked"), [(HTML, True), (b"OK", False)])
def test_token_url_is_doubted_only_where_a_page_came(body: bytes, is_asked: bool) -> None:
    with pytest.raises(MalformedTokenResponse) as caught:
        parse(body)
    assert ("Is this the token URL?" in str(caught.value)) is is_asked


LAST = ReplyOptions(last_lifetime=timedelta(minutes=40), default_lifetime=timedelta(minutes=20))


def test_lifetime_that_is_not_told_is_the_last_one_told_then_the_one_of_the_spec() -> None:
    assert lifetime(parse_with(LAST, reply(expires_in=600))) == timedelta(minutes=10)
    untold = parse_with(LAST, reply(expires_in="1 hour"))
    assert (lifetime(untold), untold.told_lifetime) == (timedelta(minutes=40), timedelta(minutes=40))
    by_the_spec = parse_with(replace(LAST, last_lifetime=None), reply())
    assert (lifetime(by_the_spec), by_the_spec.told_lifetime) == (timedelta(minutes=20), None)


def test_token_that_says_of_itself_when_it_ends_gives_a_hint() -> None:
    payload = urlsafe_b64encode(json.dumps({"exp": NOW.timestamp() + 3600}).encode()).decode().rstrip("=")
    response = parse(reply(access_token=f"e30.{payload}.c2ln"))
    assert (response.expires_at, response.expiry_hint) == (None, NOW + timedelta(hours=1))


def test_moment_of_the_end_is_the_lifetime_of_a_reply_that_tells_no_other() -> None:
    response = parse(reply(expires_at="2026-07-31T12:00:00Z", refresh_token_expires_at="2026-09-29T12:00:00Z"))
    assert (lifetime(response), response.told_lifetime) == (timedelta(days=30), timedelta(days=30))
    assert response.grant_expires_at == NOW + timedelta(days=90)


def test_end_of_the_refresh_token_is_read() -> None:
    assert parse(reply(refresh_expires_in=1800)).grant_expires_at == NOW + timedelta(minutes=30)
    assert parse(reply()).grant_expires_at is None
