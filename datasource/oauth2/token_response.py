"""The token endpoint's reply, parsed strictly where it matters and leniently where a spent code would be lost.

Pure: any status, headers and bytes in, a TokenResponse or an OAuth2Error out, nothing else. What is strict: the status, the
error member, access_token and token_type. What is lenient: expires_in, scope, refresh_token of a strange type: the grant has
been made by then, and refusing it would lose it.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl

from datasource.oauth2.errors import (
    InvalidClient,
    InvalidGrant,
    MalformedTokenResponse,
    OAuth2Error,
    OutcomeUnknown,
    ProviderRefused,
    RedirectRefused,
    Throttled,
    UnexpectedStatus,
)
from datasource.oauth2.strict_json import Number, json_object, utf8
from datasource.outbound.printable import printable
from datasource.outbound.redaction import said

LONGEST_LIFETIME = timedelta(days=3650)
"""A longer expires_in is taken as this: ten years."""

LONGEST_CAPTURED = 2048
"""Characters of a captured field."""

_LONGEST_TOKEN = 65_536
_VISIBLE = re.compile(r"[\x20-\x7e]+")  # VSCHAR of RFC 6749 appendix A.12: what an Authorization header can carry
_SCOPE = re.compile(r"[\x21-\x7e]+")
_LONGEST_SCOPES = 16_384
_MOST_ESCAPES = 20_000  # Of a form; three tokens of 64 KiB need fewer.
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")


class ErrorCode(StrEnum):
    """The errors of RFC 6749 section 5.2 that decide what comes next; some providers have names of their own for them."""

    INVALID_GRANT = "invalid_grant"
    INVALID_CLIENT = "invalid_client"


@dataclass(frozen=True, slots=True)
class ReplyOptions:
    """Where a provider's replies differ from the standard."""

    token_path: tuple[str, ...] = ()
    """The members that lead to the object with the token; empty: the reply itself is it."""
    token_path_may_be_missing: bool = False
    """Whether the reply itself will do where there is none: a refresh is often answered without the detour."""
    default_lifetime: timedelta | None = None
    """Where the provider tells none."""
    longest_lifetime: timedelta = LONGEST_LIFETIME
    """A longer expires_in is taken as this."""
    missing_token_type_allowed: bool = False
    bearer_token_types: frozenset[str] = frozenset({"bearer"})
    """In lower case."""
    error_codes: Mapping[str, ErrorCode] = field(default_factory=dict)
    """The provider's own names for errors of the standard."""
    scope_separator: str = " "
    """What stands between scopes, besides white space."""
    captured: tuple[str, ...] = ()
    """Members to keep; a dot leads into an object."""


_STANDARD = ReplyOptions()


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """A successful reply (RFC 6749 section 5.1). `expires_at` is None where the provider told no lifetime."""

    access_token: str = field(repr=False)
    token_type: str
    expires_at: datetime | None = None
    refresh_token: str | None = field(default=None, repr=False)
    id_token: str | None = field(default=None, repr=False)
    scopes: tuple[str, ...] | None = None
    """None: those that were asked for."""
    captured: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The members asked for that were there, as texts."""


def parse_token_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    received_at: datetime,
    options: ReplyOptions = _STANDARD,
    sent: Sequence[str] = (),
) -> TokenResponse:
    """Parse a reply; header names in lower case; `expires_in` is in seconds from `received_at`.

    What was `sent` and must not be shown stands in no error.

    Raises:
        OAuth2Error: one of its subclasses, for everything that is not a token response.
    """
    members = _members(headers.get("content-type", ""), body)
    raise_for_reply(status, members, headers, received_at=received_at, error_codes=options.error_codes, sent=sent)
    if members is None:
        raise MalformedTokenResponse("The reply is neither a JSON object nor a form. Is this the token URL?")
    return _token_response(members, received_at, options, sent)


def raise_for_reply(
    status: int,
    members: Mapping[str, Any] | None,
    headers: Mapping[str, str],
    *,
    received_at: datetime,
    error_codes: Mapping[str, ErrorCode] = _STANDARD.error_codes,
    sent: Sequence[str] = (),
) -> None:
    """Tell by status and error member whether a reply is an answer to build on.

    Raises:
        OAuth2Error: one of its subclasses, where it is not.
    """
    if 300 <= status < 400:
        raise RedirectRefused(status)
    if status in {429, 503}:
        raise Throttled(status, retry_after(headers.get("retry-after"), received_at))
    if status in {502, 504}:
        raise OutcomeUnknown(f"A gateway answered {status}: whether the provider acted on the request is unknown.")
    if (
        members is not None
        and (error := _oauth_error(status, members, headers, received_at, error_codes, sent)) is not None
    ):
        raise error
    if status == 401:
        raise InvalidClient("invalid_client", "status 401")
    if not 200 <= status < 300:
        raise UnexpectedStatus(status)


def successor(refresh_token: str | None, response: TokenResponse) -> str | None:
    """Which refresh token holds from now on: a reply without one keeps the old one (RFC 6749 section 6)."""
    return response.refresh_token or refresh_token


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Read Retry-After (RFC 9110 section 10.2.3): seconds or a date; at most a day, None where it makes no sense."""
    if value is None:
        return None
    wait = _seconds_of(value.strip(), now)
    return None if wait is None else min(max(wait, timedelta(0)), timedelta(days=1))


def _seconds_of(value: str, now: datetime) -> timedelta | None:
    if value.isascii() and value.isdecimal() and len(value) <= 9:
        return timedelta(seconds=int(value))
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - now


def _members(content_type: str, body: bytes) -> dict[str, Any] | None:
    """The reply's members: a JSON object or a form, whatever the content type claims (GitHub sends forms)."""
    text = utf8(body)
    if text is None:
        return None
    if "x-www-form-urlencoded" in content_type.lower():
        return _form(text) or json_object(text)
    return json_object(text) or _form(text)


def _form(text: str) -> dict[str, Any] | None:
    if "=" not in text or text.startswith(("{", "[", "<")) or text.count("%") > _MOST_ESCAPES:
        return None
    try:
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=100))
    except ValueError:
        return None


def _oauth_error(
    status: int,
    members: Mapping[str, Any],
    headers: Mapping[str, str],
    received_at: datetime,
    error_codes: Mapping[str, ErrorCode],
    sent: Sequence[str],
) -> OAuth2Error | None:
    """An error reply, also with status 200 (GitHub, Slack)."""
    error = members.get("error")
    if not isinstance(error, str) or not error:
        return None
    code = said(error, sent)
    description = members.get("error_description")
    shown = said(description, sent) if isinstance(description, str) and description else None
    meant = error_codes.get(error, error)
    if meant == ErrorCode.INVALID_GRANT:
        return InvalidGrant(code, shown)
    if meant == ErrorCode.INVALID_CLIENT or status == 401:
        return InvalidClient(code, shown)
    if error == "temporarily_unavailable":
        return Throttled(status, retry_after(headers.get("retry-after"), received_at))
    if status >= 500:
        return UnexpectedStatus(status)
    return ProviderRefused(code, shown)


def _token_response(
    reply: dict[str, Any], received_at: datetime, options: ReplyOptions, sent: Sequence[str]
) -> TokenResponse:
    members = _at_token_path(reply, options)
    return TokenResponse(
        access_token=_access_token(members),
        token_type=_token_type(members, options, sent),
        expires_at=_expires_at(members.get("expires_in"), received_at, options),
        refresh_token=_token_or_none(members.get("refresh_token")),
        id_token=_token_or_none(members.get("id_token")),
        scopes=_scopes(members.get("scope"), options.scope_separator),
        captured=_captured(reply, options.captured),
    )


def _at_token_path(reply: dict[str, Any], options: ReplyOptions) -> dict[str, Any]:
    found = _at(reply, options.token_path)
    if isinstance(found, dict):
        return found
    if options.token_path_may_be_missing:
        return reply
    raise MalformedTokenResponse(
        f"The reply has no object {printable('.'.join(options.token_path))}, where spec.oauth2.tokenPath looks for the token."
    )


def _at(members: object, path: Sequence[str]) -> object:
    for name in path:
        members = members.get(name) if isinstance(members, dict) else None
    return members


def _captured(reply: dict[str, Any], names: Sequence[str]) -> dict[str, str]:
    found = {name: captured_text(_at(reply, name.split("."))) for name in names}
    return {name: text for name, text in found.items() if text is not None}


def captured_text(value: object) -> str | None:
    """A captured field as text; None for what is none, or is longer or stranger than anything to be captured."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = value.text if isinstance(value, Number) else value
    return text if isinstance(text, str) and len(text) <= LONGEST_CAPTURED and text.isprintable() else None


def _access_token(members: dict[str, Any]) -> str:
    token = _token_or_none(members.get("access_token"))
    if token is None:
        raise MalformedTokenResponse("The reply has no access_token that can be used. Is this the token URL?")
    return token


def _token_type(members: dict[str, Any], options: ReplyOptions, sent: Sequence[str]) -> str:
    token_type = members.get("token_type")
    if token_type is None and options.missing_token_type_allowed:
        return "Bearer"
    if not isinstance(token_type, str) or not token_type:
        raise MalformedTokenResponse("The reply has no token_type, which RFC 6749 section 5.1 requires.")
    if token_type.lower() not in options.bearer_token_types:
        raise MalformedTokenResponse(
            f"The reply's token_type is {said(token_type, sent)}; only Bearer tokens can be used."
        )
    return "Bearer"


def _token_or_none(value: object) -> str | None:
    """A token; None for null, "", and what is none: the access token beside it is worth keeping."""
    if not isinstance(value, str):
        return None
    return value if len(value) <= _LONGEST_TOKEN and _VISIBLE.fullmatch(value) else None


def _expires_at(value: object, received_at: datetime, options: ReplyOptions) -> datetime | None:
    """When the token runs out; None where nobody tells. Never an exception: the code is spent."""
    told = _lifetime(value)
    lifetime = options.default_lifetime if told is None else told
    return None if lifetime is None else received_at + min(lifetime, options.longest_lifetime)


def _lifetime(value: object) -> timedelta | None:
    """What expires_in says; None where it is missing or makes no sense."""
    if isinstance(value, Number):
        seconds = float(value.text)
    elif isinstance(value, str) and _NUMBER.fullmatch(value):
        seconds = float(value)
    else:
        return None
    if math.isnan(seconds):
        return None
    return timedelta(seconds=min(max(seconds, 0.0), LONGEST_LIFETIME.total_seconds()))


def _scopes(value: object, separator: str) -> tuple[str, ...] | None:
    """Scopes that an annotation can hold; None where there are none, or more than anybody means."""
    texts = [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
    if sum(map(len, texts)) > 4 * _LONGEST_SCOPES:
        return None  # looked at before each is, or a reply of nothing else would keep everybody waiting
    scopes = tuple(scope for text in texts for scope in text.replace(separator, " ").split() if _SCOPE.fullmatch(scope))
    return scopes if scopes and len(" ".join(scopes)) <= _LONGEST_SCOPES else None
