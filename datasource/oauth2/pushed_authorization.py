"""Pushed authorization requests (RFC 9126): the parameters go to the provider directly, the browser carries a reference."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from datasource.oauth2.error_reply import raise_for_reply
from datasource.oauth2.errors import MalformedTokenResponse
from datasource.oauth2.strict_json import leading_json_object, text_of
from datasource.oauth2.token_request import Client, client_request
from datasource.outbound.provider_request import ProviderRequest

_LONGEST_REFERENCE = 2048


def pushed_authorization_request(url: str, client: Client, parameters: Sequence[tuple[str, str]]) -> ProviderRequest:
    """Push the parameters of an authorization request; the client authenticates as at the token endpoint (section 2.1)."""
    return client_request(url, client, parameters)


def parse_pushed_authorization(
    status: int, headers: Mapping[str, str], body: bytes, *, received_at: datetime, sent: Sequence[str] = ()
) -> str:
    """The `request_uri` of a reply (section 2.2); what was `sent` and must not be shown stands in no error.

    Raises:
        OAuth2Error: one of its subclasses, for everything that is none.
    """
    text = text_of(body)
    members = leading_json_object(text)
    raise_for_reply(
        status,
        members,
        headers,
        received_at=received_at,
        text="" if members is not None else text,
        sent=sent,
        endpoint="pushed authorization request URL",
    )
    reference = None if members is None else members.get("request_uri")
    if not isinstance(reference, str) or not 0 < len(reference) <= _LONGEST_REFERENCE or not reference.isprintable():
        wrong_place = " Is this the pushed authorization request URL?" if members is None else ""
        raise MalformedTokenResponse(f"The reply has no request_uri.{wrong_place}")
    return reference
