"""Requests to the revocation endpoint and its answers (RFC 7009). Pure.

A token is revoked with the client authentication of the token endpoint. To send it once more does no harm: an answer of 200
also stands for a token that the provider does not know (section 2.2).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from datasource.oauth2.error_reply import retry_after, words_of
from datasource.oauth2.errors import (
    InvalidClient,
    NotDelivered,
    OAuth2Error,
    OutcomeUnknown,
    ProviderRefused,
    RedirectRefused,
    Throttled,
)
from datasource.oauth2.strict_json import Number, json_object, text_of
from datasource.oauth2.token_request import Client, client_request
from datasource.outbound.provider_request import ProviderRequest
from datasource.outbound.redaction import said


class TokenTypeHint(StrEnum):
    """What kind of token is to be revoked (RFC 7009 section 2.1)."""

    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - a kind of token, no token
    ACCESS_TOKEN = "access_token"  # noqa: S105 - a kind of token, no token


def revocation_request(endpoint: str, client: Client, *, token: str, hint: TokenTypeHint) -> ProviderRequest:
    """Revoke a token (RFC 7009 section 2.1). With a refresh token goes the whole grant, so that is the one to send."""
    return client_request(endpoint, client, [("token", token), ("token_type_hint", hint.value)])


def token_and_hint(access_token: str, refresh_token: str | None) -> tuple[str, TokenTypeHint]:
    """Which of two tokens to revoke: with the refresh token goes the whole grant."""
    if refresh_token is None:
        return access_token, TokenTypeHint.ACCESS_TOKEN
    return refresh_token, TokenTypeHint.REFRESH_TOKEN


def check_revocation_response(
    status: int, headers: Mapping[str, str], body: bytes, *, now: datetime, sent: Sequence[str] = ()
) -> None:
    """Return where the token is dead now (RFC 7009 section 2.2); header names in lower case.

    Raises:
        OAuth2Error: one of its subclasses; `is_worth_another_try` tells whether to send the request again.
    """
    members = json_object(text_of(body)) or {}
    if 200 <= status < 300 and not _says_no(members):
        return
    if 300 <= status < 400:
        raise RedirectRefused(status, "revocation URL")
    if status in {429, 503}:
        # With 503 the token is still alive (section 2.2.1).
        raise Throttled(status, retry_after(headers.get("retry-after"), now))
    if status >= 500:
        raise OutcomeUnknown(f"The revocation endpoint answered {status}.")
    found = members.get("error")
    error = found if isinstance(found, str) and found else words_of(members, sent=sent) or f"status {status}"
    if error in _DEAD_ALREADY:
        return
    shown = said(error, sent)
    if status == 401 or error == "invalid_client":
        raise InvalidClient(shown)
    raise ProviderRefused(shown)


_DEAD_ALREADY = frozenset({"invalid_token", "invalid_grant", "token_revoked", "token_expired", "invalid_auth"})
"""Errors for a token that is dead already. RFC 7009 answers 200; Google and others answer so, the last three are Slack's."""


def _says_no(members: Mapping[str, Any]) -> bool:
    """Whether the body of a 200 takes it back, as Slack's does. By RFC 7009 it says nothing (section 2.2)."""
    error = members.get("error")
    refuses = any(members.get(name) in (False, "false", Number("0")) for name in ("ok", "success"))
    return refuses or (isinstance(error, str | dict | list) and bool(error)) or error is True


def is_worth_another_try(error: OAuth2Error) -> bool:
    """Whether the same revocation may succeed later. A rejected client may: its Secret may be about to be corrected."""
    return isinstance(error, NotDelivered | Throttled | OutcomeUnknown | InvalidClient)
