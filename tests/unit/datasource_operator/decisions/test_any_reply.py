"""Whatever a token endpoint answers: a typed result, nothing that was sent in any text, and no refresh token dropped."""

import gzip
import json
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from datasource.oauth2.error_reply import ErrorCode, ErrorMeaning, ErrorRule
from datasource.oauth2.errors import MalformedTokenResponse, OAuth2Error, OutcomeUnknown, ReplyTooLarge
from datasource.oauth2.extra_headers import ExtraHeader
from datasource.oauth2.token_request import TOKEN_REPLY, Client, ClientAuthentication, refresh_request
from datasource.oauth2.token_response import ReplyOptions, TokenResponse, parse_token_response, parse_what_came
from datasource.outbound.provider_request import UnusableReply
from datasource.providers.progress import Progress
from datasource_operator.decisions.refresh_outcome import KeepRefreshToken, Store, refresh_outcome
from tests.support.builders import NOW
from tests.unit.datasource_operator.decisions.test_refresh_outcome import turn
from tests.unit.walks import walks

GATEWAY_KEY = "k3y-of-the-gateway-00001"
CLIENT = Client(
    "my-app",
    "s3cret-of-the-client-0001",
    ClientAuthentication.CLIENT_SECRET_POST,
    headers=(ExtraHeader("X-Api-Key", GATEWAY_KEY), ExtraHeader("User-Agent", "my-app/1", is_secret=False)),
)
SENT = refresh_request("https://login.example.com/token", CLIENT, refresh_token="rt-that-was-sent-000001").secrets
"""As the transport is given it: what is cut out of whatever comes back."""

assert {"rt-that-was-sent-000001", "s3cret-of-the-client-0001", GATEWAY_KEY} <= set(SENT)

NEW = "rt-that-is-new-00000002"
EXCHANGE = ReplyOptions()
ODD = ReplyOptions(
    token_path=("data", "token"),
    default_lifetime=timedelta(hours=1),
    bearer_token_types=frozenset({"bearer", "bot"}),
    error_codes={"gone": ErrorCode.INVALID_GRANT},
    error_rules=(
        ErrorRule(ErrorMeaning.INVALID_GRANT, path="errors.0.code", error="gone"),
        ErrorRule(ErrorMeaning.TEMPORARY, description="é"),
        ErrorRule(ErrorMeaning.INVALID_CLIENT, status=403),
    ),
    captured=("scope", "data.team"),
)
"""With what a spec may say of replies beyond the standard."""

REFRESH = ReplyOptions(
    missing_token_type_allowed=True, token_path_may_be_missing=True, last_lifetime=timedelta(hours=1)
)


def jwt(claims: bytes) -> str:
    """As an access token may be one; a hint of its end is looked for there."""
    return f"e30.{urlsafe_b64encode(claims).decode().rstrip('=')}.c2ln"


_names = st.sampled_from(
    [
        "data",
        "token",
        "errors",
        "code",
        "access_token",
        "token_type",
        "expires_in",
        "refresh_token",
        "scope",
        "id_token",
        "error",
        "error_description",
    ]
)
_texts = st.text(max_size=12) | st.sampled_from([*SENT, "Bearer", "invalid_grant", "\ud800", "é"])
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names | _texts, inner, max_size=3),
    max_leaves=6,
)
_members = st.dictionaries(_names, _json, max_size=6)
_bodies = (
    st.binary(max_size=200)
    | _members.map(lambda members: json.dumps(members).encode())
    | st.dictionaries(_names, st.text(max_size=9)).map(lambda members: urlencode(members).encode())
    | st.sampled_from(SENT).map(lambda secret: f"<p>{secret}</p> {{{secret}".encode())
)
_charsets: list[Callable[[bytes], bytes]] = [
    bytes,
    lambda body: b"\xef\xbb\xbf" + body,
    lambda body: body.decode(errors="replace").encode("utf-16"),
    lambda body: body + b"\xff",
]
_codings: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": bytes,
    "identity": bytes,
    "utf-8": bytes,
    "gzip, deflate": lambda body: zlib.compress(gzip.compress(body)),
}
_headers = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(
            [
                "application/json; charset=latin-1",
                "text/html",
                "application/x-www-form-urlencoded; charset=utf-16",
                "\ud800",
            ]
        ),
        "retry-after": st.text(max_size=10) | st.sampled_from(["-1", "9" * 30, "Wed, 21 Oct 2015 07:28:00 GMT"]),
    },
)


def answered(
    status: int, headers: dict[str, str], body: bytes, options: ReplyOptions, *, is_whole: bool = True
) -> TokenResponse | OAuth2Error:
    """What `request_token` makes of a reply, from the bytes on."""
    progress = Progress("shop", TOKEN_REPLY, is_written=True, status=status, headers=headers, body=bytearray(body))
    known: dict[str, Any] = {"received_at": NOW, "options": options, "sent": SENT}
    try:
        if not is_whole:
            came = progress.readable()
            assert came is not None
            return parse_what_came(came, OutcomeUnknown("lost"), **known)
        reply = progress.received()
        return parse_token_response(reply.status, reply.headers, reply.body, **known)
    except ReplyTooLarge as error:
        return error
    except UnusableReply as error:
        return MalformedTokenResponse(str(error))
    except OAuth2Error as error:
        return error


@walks(40, 150)
@given(
    status=st.integers(100, 599) | st.sampled_from([200, 400, 401, 429, 503]),
    headers=_headers,
    body=_bodies,
    charset=st.sampled_from(_charsets),
    coding=st.sampled_from(sorted(_codings)),
    named=st.sampled_from(sorted(_codings)),
    options=st.sampled_from([EXCHANGE, REFRESH, ODD, replace(ODD, token_path_may_be_missing=True)]),
    is_whole=st.booleans(),
    sends=st.integers(1, 3),
)
def test_whatever_comes_has_a_typed_outcome_and_says_nothing_that_was_sent(
    status: int,
    headers: dict[str, str],
    body: bytes,
    charset: Callable[[bytes], bytes],
    coding: str,
    named: str,
    options: ReplyOptions,
    is_whole: bool,
    sends: int,
) -> None:
    coded = _codings[coding](charset(body))
    found = answered(status, headers | {"content-encoding": named}, coded, options, is_whole=is_whole)
    outcome = refresh_outcome(turn(sends), found, NOW)
    if isinstance(found, TokenResponse):
        assert 200 <= status < 300
        assert isinstance(outcome, Store)
    shown = f"{found} {found!r} {outcome!r}" + ("" if outcome.trouble is None else outcome.trouble.message)
    assert not [secret for secret in SENT if secret in shown]
    shown.encode()


# What may be wrong with a reply to a refresh around the new refresh token in it.
_TOKEN_TYPES: st.SearchStrategy[object] = st.sampled_from(["Bearer", "", None, "mac", 5, ["Bearer"], {}, True])
BEYOND_ALL_FLOATS = jwt(b'{"exp": 1%s}' % (b"0" * 400))
_ACCESS: st.SearchStrategy[object] = st.sampled_from(
    ["at-2", "", None, " ", 5, "é", "a b", "a" * 70_000, BEYOND_ALL_FLOATS, jwt(b"[" * 9_000)]
)
_ROUND: list[Callable[[bytes], bytes]] = [
    bytes,
    lambda body: body + b"<script>",
    lambda body: body[:-1],
    lambda body: body[:-1] + b",}",
    lambda body: b")]}',\n" + body,
    lambda body: b"<b>Warning</b>: x.php " + body,
    lambda body: body[:-1] + b', "name": "\xe9"}',
    lambda body: body[:-1] + b', "deep": ' + b"[" * 99,
    lambda body: body + b" " * 70_000,
]


@walks(40, 150)
@given(
    token_type=_TOKEN_TYPES,
    access_token=_ACCESS,
    # Where two stand in a reply that is broken off, nobody can say which is meant.
    more=_members.filter(lambda members: '"refresh_token"' not in json.dumps(members)),
    around=st.sampled_from(_ROUND),
    charset=st.sampled_from(_charsets),
    coding=st.sampled_from(["", "gzip", "deflate", "gzip, deflate", "utf-8"]),
    status=st.sampled_from([200, 201, 202, 203, 299]),
    is_whole=st.booleans(),
    sends=st.integers(1, 3),
    headers=_headers,
    # What comes of an exchange, the callback server uses at once: test_code_exchange.py.
    options=st.sampled_from([REFRESH, EXCHANGE]),
)
@example("Bearer", BEYOND_ALL_FLOATS, {}, _ROUND[0], bytes, "", 200, True, 1, {}, EXCHANGE)
@example("mac", "at-2", {"error": "invalid_grant"}, _ROUND[0], bytes, "gzip", 200, False, 2, {}, EXCHANGE)
def test_readable_refresh_token_is_never_dropped(
    token_type: object,
    access_token: object,
    more: dict[str, Any],
    around: Callable[[bytes], bytes],
    charset: Callable[[bytes], bytes],
    coding: str,
    status: int,
    is_whole: bool,
    sends: int,
    headers: dict[str, str],
    options: ReplyOptions,
) -> None:
    reply = more | {"access_token": access_token, "token_type": token_type, "refresh_token": NEW, "last": "x"}
    read = charset(around(json.dumps(reply).encode()))
    # What costs more than it may is not read.
    assume(len(read) <= TOKEN_REPLY)
    found = answered(status, headers | {"content-encoding": coding}, _codings[coding](read), options, is_whole=is_whole)
    assert (found.refresh_token if isinstance(found, TokenResponse | OAuth2Error) else None) == NEW
    outcome = refresh_outcome(turn(sends), found, NOW)
    assert isinstance(outcome, Store | KeepRefreshToken)
    written = outcome.change(turn(sends).facts)
    assert written.data is not None
    assert written.data.refresh_token == NEW
    assert written.facts.intent is None


@pytest.mark.parametrize("coding", ["br", "zstd"])
def test_reply_that_nobody_can_read_leaves_the_intent(coding: str) -> None:
    found = answered(200, {"content-encoding": coding}, b"\x8b\x02\x80?", REFRESH)
    assert isinstance(found, MalformedTokenResponse)
    assert found.refresh_token is None
