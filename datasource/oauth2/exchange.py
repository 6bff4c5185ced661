"""I/O: a request sent, its reply parsed."""

from collections.abc import Callable
from datetime import datetime, timedelta

from datasource.oauth2.pushed_authorization import parse_pushed_authorization
from datasource.oauth2.token_request import TokenRequest
from datasource.oauth2.token_response import ReplyOptions, TokenResponse, parse_token_response
from datasource.oauth2.transport import Transport

DEADLINE = timedelta(seconds=20)


async def request_token(
    transport: Transport,
    request: TokenRequest,
    *,
    now: Callable[[], datetime],
    deadline: timedelta = DEADLINE,
    options: ReplyOptions | None = None,
    ca_bundle: str | None = None,
) -> TokenResponse:
    """Send a token request; the authorities of `ca_bundle` are trusted beside the system's.

    Raises:
        OAuth2Error: one of its subclasses; its class tells whether the request may have been processed.
    """
    sent_at = now()
    reply = await transport.send(request, deadline=deadline, ca_bundle=ca_bundle)
    # The lifetime counts from before the request: a slow reply never makes a token look younger than it is.
    return parse_token_response(
        reply.status, reply.headers, reply.body, received_at=sent_at, options=options or ReplyOptions()
    )


async def push_authorization(
    transport: Transport,
    request: TokenRequest,
    *,
    now: Callable[[], datetime],
    deadline: timedelta = DEADLINE,
    ca_bundle: str | None = None,
) -> str:
    """Push an authorization request (RFC 9126); returns the request_uri.

    Raises:
        OAuth2Error: one of its subclasses; nothing is lost by any of them, a person begins again.
    """
    reply = await transport.send(request, deadline=deadline, ca_bundle=ca_bundle)
    return parse_pushed_authorization(reply.status, reply.headers, reply.body, received_at=now())
