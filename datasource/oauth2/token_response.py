"""The token endpoint's reply, parsed strictly where it matters and leniently where a spent code would be lost.

Pure: any status, headers and bytes in, a TokenResponse or an OAuth2Error out, nothing else. What is strict: the status, the
error member, access_token and token_type. What is lenient: expires_in, scope, refresh_token of a strange type: the grant has
been made by then, and refusing it would lose it. A refresh token that can be read is never lost: where the reply is refused
for something else, the error carries it (docs/decisions.md#readable-refresh-tokens).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from datasource.oauth2.error_reply import ErrorCode, ErrorRule, is_page, raise_for_reply, retry_after, words_of
from datasource.oauth2.errors import MalformedTokenResponse, OAuth2Error, OutcomeUnknown, ProviderRefused
from datasource.oauth2.lifetimes import LONGEST_LIFETIME, expiry_hint, told_grant_lifetime, told_lifetime_in
from datasource.oauth2.reply_members import (
    LONGEST_TOKEN,
    error_members_of,
    members_of,
    readable_refresh_token,
    refresh_token_of,
    token_objects,
)
from datasource.oauth2.strict_json import Number, text_of
from datasource.outbound.printable import printable
from datasource.outbound.provider_request import Reply
from datasource.outbound.redaction import said

LONGEST_CAPTURED = 2048
"""Characters of a captured field."""

_VISIBLE = re.compile(r"[\x21-\x7e]+")  # What an Authorization header can carry; RFC 6750 section 2.1 allows even less.
_SCOPE = re.compile(r"[\x21-\x7e]+")
_LONGEST_SCOPES = 16_384


@dataclass(frozen=True, slots=True)
class ReplyOptions:
    """Where a provider's replies differ from the standard."""

    token_path: tuple[str, ...] = ()
    """The members that lead to the object with the token; empty: the reply itself is it."""
    token_path_may_be_missing: bool = False
    """Whether the reply itself will do where there is none: a refresh is often answered without the detour."""
    default_lifetime: timedelta | None = None
    """Where the provider tells none, and never told one for these tokens."""
    last_lifetime: timedelta | None = None
    """What it told for these tokens before."""
    longest_lifetime: timedelta = LONGEST_LIFETIME
    """A longer expires_in is taken as this."""
    missing_token_type_allowed: bool = False
    bearer_token_types: frozenset[str] = frozenset({"bearer"})
    """In lower case."""
    error_codes: Mapping[str, ErrorCode] = field(default_factory=dict)
    """The provider's own names for errors of the standard."""
    error_rules: tuple[ErrorRule, ...] = ()
    """How its other errors are known, and what they mean."""
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
    told_lifetime: timedelta | None = None
    """What the provider told, now or before; None where `expires_at` is a guess of ours, or there is none."""
    expiry_hint: datetime | None = None
    """Where nothing tells a lifetime: when to refresh at the latest, by what the access token says of itself."""
    grant_expires_at: datetime | None = None
    """When the refresh token runs out; None where the provider did not tell."""


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
    return _parsed(Reply(status, headers, body), received_at, options, sent, is_whole=True)


def parse_what_came(
    reply: Reply, error: OutcomeUnknown, *, received_at: datetime, options: ReplyOptions, sent: Sequence[str] = ()
) -> TokenResponse:
    """The tokens in a reply that broke off behind them: a connection that nobody closes, or closes too early.

    Raises:
        OAuth2Error: the tokens did not come whole; it is `error`, with a refresh token that came nevertheless.
    """
    try:
        return _parsed(reply, received_at, options, sent, is_whole=False)
    except OAuth2Error as refused:
        error.refresh_token = refused.refresh_token
    raise error


def _parsed(
    reply: Reply, received_at: datetime, options: ReplyOptions, sent: Sequence[str], *, is_whole: bool
) -> TokenResponse:
    text, content_type = text_of(reply.body), reply.headers.get("content-type", "")
    read = members_of if reply.is_success else error_members_of
    members = read(text, content_type) if is_whole or text.startswith("{") else None
    try:
        raise_for_reply(
            reply.status,
            members,
            reply.headers,
            received_at=received_at,
            error_codes=options.error_codes,
            # Rules are for errors: one that is too wide must not cost tokens.
            rules=() if reply.is_success and _has_token(members, options) else options.error_rules,
            text="" if reply.is_success or members is not None else text,
            sent=sent,
        )
        if members is None:
            page = " Is this the token URL?" if is_page(text) else ""
            raise MalformedTokenResponse(f"The reply is neither a JSON object nor a form.{page}")
        return _token_response(members, received_at, options, sent)
    except OAuth2Error as error:
        if not reply.is_success or isinstance(error, ProviderRefused):
            error.retry_after = retry_after(reply.headers.get("retry-after"), received_at)
        if reply.is_success:
            error.refresh_token = readable_refresh_token(
                text, members, options.token_path, is_whole=is_whole, sent=sent
            )
        raise


def successor(refresh_token: str | None, response: TokenResponse) -> str | None:
    """Which refresh token holds from now on: a reply without one keeps the old one (RFC 6749 section 6)."""
    return response.refresh_token or refresh_token


def _token_response(
    reply: dict[str, Any], received_at: datetime, options: ReplyOptions, sent: Sequence[str]
) -> TokenResponse:
    members = _at_token_path(reply, options)
    response = TokenResponse(
        access_token=_access_token(members, reply, sent),
        token_type=_token_type(members, options, sent),
        refresh_token=refresh_token_of(members.get("refresh_token")),
        id_token=_token_or_none(members.get("id_token")),
        # Bitbucket has another name for them.
        scopes=scopes_in(members.get("scope") or members.get("scopes"), options.scope_separator),
        captured=_captured(reply, options.captured),
    )
    return _with_lifetimes(response, members, received_at, options)


def _with_lifetimes(
    response: TokenResponse, members: Mapping[str, Any], received_at: datetime, options: ReplyOptions
) -> TokenResponse:
    """What is told holds, then what was told before, then what the spec says."""
    told = told_lifetime_in(members, received_at) or options.last_lifetime
    lifetime = told or options.default_lifetime
    grant = told_grant_lifetime(members, received_at)
    return replace(
        response,
        told_lifetime=told,
        expires_at=None if lifetime is None else received_at + min(lifetime, options.longest_lifetime),
        expiry_hint=expiry_hint(response.access_token, received_at) if lifetime is None else None,
        grant_expires_at=None if grant is None else received_at + grant,
    )


def _has_token(members: Mapping[str, Any] | None, options: ReplyOptions) -> bool:
    found = _at(members, options.token_path)
    places = (found, members) if options.token_path_may_be_missing else (found,)
    return any(isinstance(place, dict) and _token_or_none(place.get("access_token")) is not None for place in places)


def _at_token_path(reply: dict[str, Any], options: ReplyOptions) -> dict[str, Any]:
    found = _at(reply, options.token_path)
    if isinstance(found, dict) and not (options.token_path_may_be_missing and _holds_nothing(found)):
        return found
    if options.token_path_may_be_missing:
        return reply
    _raise_for_token_elsewhere(reply, ())
    raise MalformedTokenResponse(
        f"The reply has no object {printable('.'.join(options.token_path))}, where spec.oauth2.tokenPath looks for the token."
    )


def _holds_nothing(members: Mapping[str, Any]) -> bool:
    """Whether there is no token in an object: it may only say whose the token is that stands elsewhere (Slack)."""
    return (
        _token_or_none(members.get("access_token")) is None and refresh_token_of(members.get("refresh_token")) is None
    )


def _raise_for_token_elsewhere(reply: dict[str, Any], sent: Sequence[str]) -> None:
    """Name the field that says where the token stands, where it stands somewhere.

    Raises:
        MalformedTokenResponse: it does.
    """
    for path, place in token_objects(reply):
        written = ".".join(path)
        # Only what spec.oauth2.tokenPath can say.
        if _at(reply, written.split(".")) is place and _token_or_none(place.get("access_token")) is not None:
            shown = said(written, sent)
            raise MalformedTokenResponse(
                f"The token is in the object {shown} of the reply: set spec.oauth2.tokenPath to {shown}."
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


def _access_token(members: dict[str, Any], reply: dict[str, Any], sent: Sequence[str]) -> str:
    token = _token_or_none(members.get("access_token"))
    if token is None:
        _raise_for_token_elsewhere(reply, sent)
        words = words_of(members, sent=sent)
        says = f" The provider says: {words.rstrip('.')}." if words else ""
        raise MalformedTokenResponse(f"The reply has no access_token that can be used.{says}")
    return token


def _token_type(members: dict[str, Any], options: ReplyOptions, sent: Sequence[str]) -> str:
    token_type = members.get("token_type")
    if token_type is None or token_type == "":
        if options.missing_token_type_allowed:
            return "Bearer"
        raise MalformedTokenResponse(
            "The reply has no token_type, which RFC 6749 section 5.1 requires. Where the service's documentation says that "
            "its tokens are Bearer tokens, set spec.oauth2.missingTokenTypeAllowed to true."
        )
    named = token_type.strip() if isinstance(token_type, str) else "no text"
    if named.lower() not in options.bearer_token_types:
        raise MalformedTokenResponse(
            f"The reply's token_type is {said(named, sent)}, and only Bearer tokens can be used. Where the service's "
            "documentation says that these are, add the name to spec.oauth2.bearerTokenTypes."
        )
    return "Bearer"


def _token_or_none(value: object) -> str | None:
    """A token; None for null, "", and what is none: the access token beside it is worth keeping."""
    if not isinstance(value, str):
        return None
    return value if len(value) <= LONGEST_TOKEN and _VISIBLE.fullmatch(value) else None


def scopes_in(value: object, separator: str) -> tuple[str, ...] | None:
    """Scopes that an annotation can hold; None where there are none, or more than anybody means."""
    texts = [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
    if sum(map(len, texts)) > 4 * _LONGEST_SCOPES:
        return None  # looked at before each is, or a reply of nothing else would keep everybody waiting
    scopes = tuple(scope for text in texts for scope in text.replace(separator, " ").split() if _SCOPE.fullmatch(scope))
    return scopes if scopes and len(" ".join(scopes)) <= _LONGEST_SCOPES else None
