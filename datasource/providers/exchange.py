"""I/O: a request sent, its reply parsed."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial

import structlog

from datasource.concurrency.backoff import Backoff, no_jitter
from datasource.oauth2.errors import MalformedTokenResponse, OAuth2Error, OutcomeUnknown
from datasource.oauth2.pushed_authorization import parse_pushed_authorization
from datasource.oauth2.revocation import check_revocation_response, is_worth_another_try
from datasource.oauth2.token_response import ReplyOptions, TokenResponse, parse_token_response, parse_what_came
from datasource.outbound.provider_request import ProviderRequest, Reply, UnusableReply
from datasource.providers.deadline import NO_EXTENSION, Extension
from datasource.providers.progress import Record
from datasource.providers.transport import Transport
from datasource.records.journal_entry import RecordedReply

logger = structlog.get_logger(__name__)

Recorder = Callable[[RecordedReply], None]
"""Writes a reply down that may grant something."""

DEADLINE = timedelta(seconds=20)

REVOCATION_DEADLINE = timedelta(seconds=10)
"""How long one revocation request may take in all."""

_REVOCATION_BACKOFF = Backoff(timedelta(seconds=1), timedelta(seconds=6), no_jitter, growth=3)

REVOCATION_PAUSES = tuple(_REVOCATION_BACKOFF.pause(failures) for failures in range(3))
"""Between the tries to revoke what is kept nowhere: together they end within the grace that a pod has for its end."""


async def request_token(
    transport: Transport,
    request: ProviderRequest,
    *,
    tenant: str,
    now: Callable[[], datetime],
    deadline: timedelta = DEADLINE,
    options: ReplyOptions | None = None,
    ca_bundle: str | None = None,
    record: Recorder | None = None,
    extension: Extension = NO_EXTENSION,
) -> TokenResponse:
    """Send a token request for a tenant (its namespace); the authorities of `ca_bundle` are trusted beside the system's.

    A reply that may grant something is given to `record` before anything else is done with it. The `extension` of the deadline
    is for the reply alone.

    Raises:
        OAuth2Error: one of its subclasses; its class tells whether the request may have been processed.
    """
    sent_at, options = now(), options or ReplyOptions()
    # The lifetime counts from before the request: a slow reply never makes a token look younger than it is.
    recorded = None if record is None else partial(_record, record, sent_at, now)
    try:
        reply = await _reply(
            transport,
            request,
            deadline=deadline,
            tenant=tenant,
            ca_bundle=ca_bundle,
            record=recorded,
            extension=extension,
        )
    except OutcomeUnknown as error:
        if error.received is None:
            raise
        return parse_what_came(error.received, error, received_at=sent_at, options=options, sent=request.secrets)
    return parse_token_response(
        reply.status,
        reply.headers,
        reply.body,
        received_at=sent_at,
        options=options,
        sent=request.secrets,
    )


async def push_authorization(
    transport: Transport,
    request: ProviderRequest,
    *,
    tenant: str,
    now: Callable[[], datetime],
    deadline: timedelta = DEADLINE,
    ca_bundle: str | None = None,
) -> str:
    """Push an authorization request (RFC 9126); returns the request_uri.

    Raises:
        OAuth2Error: one of its subclasses; nothing is lost by any of them, a person begins again.
    """
    reply = await _reply(transport, request, deadline=deadline, tenant=tenant, ca_bundle=ca_bundle)
    return parse_pushed_authorization(reply.status, reply.headers, reply.body, received_at=now(), sent=request.secrets)


async def revoke_token(
    transport: Transport,
    request: ProviderRequest,
    *,
    tenant: str,
    now: Callable[[], datetime],
    ca_bundle: str | None = None,
) -> None:
    """Send a revocation request once; returns where the token is dead.

    Raises:
        OAuth2Error: one of its subclasses; `is_worth_another_try` tells whether to send the request again.
    """
    reply = await _reply(transport, request, deadline=REVOCATION_DEADLINE, tenant=tenant, ca_bundle=ca_bundle)
    check_revocation_response(reply.status, reply.headers, reply.body, now=now(), sent=request.secrets)


async def revoke_token_patiently(
    transport: Transport,
    request: ProviderRequest,
    *,
    tenant: str,
    now: Callable[[], datetime],
    ca_bundle: str | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Revoke a token that is kept nowhere: a few tries, then never again.

    Raises:
        OAuth2Error: the token may still be alive.
    """
    for pause in REVOCATION_PAUSES:
        try:
            await revoke_token(transport, request, tenant=tenant, now=now, ca_bundle=ca_bundle)
        except OAuth2Error as error:
            if not is_worth_another_try(error):
                raise
            await sleep(pause.total_seconds())
        else:
            return
    await revoke_token(transport, request, tenant=tenant, now=now, ca_bundle=ca_bundle)


def _record(record: Recorder, sent_at: datetime, now: Callable[[], datetime], reply: Reply, is_whole: bool) -> None:
    """Have a reply written down. Where that fails for a reason that nobody thought of, the reply itself must not be lost."""
    try:
        record(RecordedReply.of(reply, is_whole=is_whole, sent_at=sent_at, received_at=now()))
    except Exception:
        logger.exception("a reply could not be written down")


async def _reply(
    transport: Transport,
    request: ProviderRequest,
    *,
    deadline: timedelta,
    tenant: str,
    ca_bundle: str | None,
    record: Record | None = None,
    extension: Extension = NO_EXTENSION,
) -> Reply:
    """Send a request that the provider acts on; a reply that cannot be opened says that it did."""
    try:
        return await transport.send(
            request, deadline=deadline, tenant=tenant, ca_bundle=ca_bundle, record=record, extension=extension
        )
    except UnusableReply as error:
        raise MalformedTokenResponse(str(error)) from None
