"""Requests to the revocation endpoint and its answers (RFC 7009). Pure.

A token is revoked with the client authentication of the token endpoint. To send it once more does no harm: an answer of 200
also stands for a token that the provider does not know (section 2.2).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from datasource.oauth2.errors import (
    InvalidClient,
    NotDelivered,
    OAuth2Error,
    OutcomeUnknown,
    ProviderRefused,
    RedirectRefused,
    Throttled,
)
from datasource.oauth2.strict_json import json_object, utf8
from datasource.oauth2.token_request import Client, client_request
from datasource.oauth2.token_response import retry_after
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
    if 200 <= status < 300:
        # The content of the body says nothing (section 2.2).
        return
    if 300 <= status < 400:
        raise RedirectRefused(status)
    if status in {429, 503}:
        # With 503 the token is still alive (section 2.2.1).
        raise Throttled(status, retry_after(headers.get("retry-after"), now))
    if status >= 500:
        raise OutcomeUnknown(f"The revocation endpoint answered {status}.")
    text = utf8(body)
    found = (json_object(text) or {}).get("error") if text is not None else None
    error = found if isinstance(found, str) and found else f"status {status}"
    if error in {"invalid_token", "invalid_grant"}:
        # Not in RFC 7009, which answers 200; Google and others answer so for a token that is dead already.
        return
    shown = said(error, sent)
    if status == 401 or error == "invalid_client":
        raise InvalidClient(shown)
    raise ProviderRefused(shown)


def is_worth_another_try(error: OAuth2Error) -> bool:
    """Whether the same revocation may succeed later. A rejected client may: its Secret may be about to be corrected."""
    return isinstance(error, NotDelivered | Throttled | OutcomeUnknown | InvalidClient)
