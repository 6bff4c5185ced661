"""Was the request delivered? The transport against a provider on loopback that does its worst."""

import asyncio
import ssl
from collections.abc import Callable
from datetime import timedelta

import pytest

from datasource.oauth2 import (
    MalformedTokenResponse,
    NotDelivered,
    OAuth2Error,
    OutcomeUnknown,
    TokenRequest,
)
from datasource.oauth2.transport import LARGEST_BODY, Reply, Transport
from tests.support.hostile_provider import (
    GOOD_REPLY,
    Behaviour,
    Certificate,
    HostileProvider,
    ProviderThatWantsAClientCertificate,
    closed_port,
    cuts_after_the_request,
    cuts_in_the_body,
    drips,
    endless_body,
    gzip_bomb,
    redirects,
    replies,
    self_signed,
    sends_headers_only,
    sets_a_cookie,
    sets_a_cookie_and_waits,
    speaks_no_http,
    stays_silent,
)

PATIENT = timedelta(seconds=10)
"""A deadline that passes only if a test is broken."""
SHORT = timedelta(milliseconds=300)


def request_to(url: str, body: bytes = b"grant_type=refresh_token&refresh_token=rt-1") -> TokenRequest:
    headers = {"Authorization": "Basic c2VjcmV0", "Content-Type": "application/x-www-form-urlencoded"}
    return TokenRequest(url=url, headers=headers, body=body)


async def send(url: str, *, deadline: timedelta = PATIENT, verify: ssl.SSLContext | bool = True) -> Reply:
    async with Transport(verify=verify) as transport:
        return await transport.send(request_to(url), deadline=deadline)


async def test_request_arrives_as_it_was_built() -> None:
    async with HostileProvider(replies(200)) as provider:
        await send(provider.url)
    (request,) = provider.requests
    assert (request.method, request.target) == ("POST", "/token")
    assert request.body == b"grant_type=refresh_token&refresh_token=rt-1"
    assert request.headers["authorization"] == "Basic c2VjcmV0"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"


async def test_whole_reply_comes_back_with_header_names_in_lower_case() -> None:
    async with HostileProvider(replies(418, b"short and stout", headers=("X-RateLimit-LEFT: 3",))) as provider:
        reply = await send(provider.url)
    assert (reply.status, reply.body) == (418, b"short and stout")
    assert reply.headers["x-ratelimit-left"] == "3"


async def test_reply_of_exactly_the_largest_size_is_read() -> None:
    async with HostileProvider(replies(200, b"x" * LARGEST_BODY)) as provider:
        reply = await send(provider.url)
    assert len(reply.body) == LARGEST_BODY


@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(replies(200, b"x" * (LARGEST_BODY + 1)), id="one byte over 1 MiB"),
        pytest.param(endless_body(), id="a chunked body without an end"),
        pytest.param(cuts_after_the_request(), id="the connection is reset after the request was read"),
        pytest.param(cuts_in_the_body(), id="the connection is closed within the body"),
        pytest.param(speaks_no_http(), id="the server speaks no HTTP"),
    ],
)
async def test_without_a_whole_usable_answer_the_outcome_is_unknown(behave: Behaviour) -> None:
    async with HostileProvider(behave) as provider:
        with pytest.raises(OutcomeUnknown):
            await send(provider.url)
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(drips(pause=timedelta(milliseconds=50)), id="the body drips"),
        pytest.param(sends_headers_only(), id="headers only"),
        pytest.param(stays_silent(), id="no answer at all"),
    ],
)
async def test_deadline_over_all_makes_the_outcome_unknown(behave: Behaviour) -> None:
    async with HostileProvider(behave) as provider:
        with pytest.raises(OutcomeUnknown, match="no whole answer within"):
            await send(provider.url, deadline=SHORT)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_returned_and_the_other_server_gets_nothing(status: int) -> None:
    async with HostileProvider(replies(200)) as other:
        async with HostileProvider(redirects(other.url, status=status)) as provider:
            reply = await send(provider.url)
    assert reply.status == status
    assert (other.requests, other.connections) == ([], 0)


async def test_gzip_bomb_is_refused_unopened() -> None:
    async with HostileProvider(gzip_bomb()) as provider:
        with pytest.raises(MalformedTokenResponse, match="compressed"):
            await send(provider.url)


async def test_identity_is_no_compression() -> None:
    async with HostileProvider(replies(200, headers=("Content-Encoding: Identity",))) as provider:
        assert (await send(provider.url)).body == GOOD_REPLY


async def test_refused_connection_is_not_delivered() -> None:
    with closed_port() as port, pytest.raises(NotDelivered, match=r"127\.0\.0\.1 could not be reached"):
        await send(f"http://127.0.0.1:{port}/token")


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://999.1.1.1/token", id="an address with a number over 255"),
        pytest.param("https://[v1.a]/token", id="an address of a version to come"),
        pytest.param("https://xn--/token", id="a punycode label with nothing in it"),
        pytest.param("https://xn--a/token", id="a punycode label that says nothing"),
        pytest.param("ftp://127.0.0.1/token", id="another scheme"),
    ],
)
async def test_url_that_no_request_can_go_to_is_an_oauth2_error(url: str) -> None:
    with pytest.raises(OAuth2Error):
        await send(url)


@pytest.mark.parametrize(
    ("certificate", "verify"),
    [
        pytest.param(self_signed(), lambda _: True, id="signed by itself"),
        pytest.param(self_signed("login.example.com"), lambda c: c.trusting_context(), id="of another host"),
        pytest.param(self_signed(expired=True), lambda c: c.trusting_context(), id="expired"),
    ],
)
async def test_wrong_certificate_is_not_delivered_and_no_byte_is_sent(
    certificate: Certificate, verify: Callable[..., ssl.SSLContext | bool]
) -> None:
    async with HostileProvider(replies(200), tls=certificate.server_context()) as provider:
        with pytest.raises(NotDelivered):
            await send(provider.url, verify=verify(certificate))
    assert provider.requests == []


async def test_trusted_certificate_of_the_host_is_enough() -> None:
    certificate = self_signed()
    async with HostileProvider(replies(200), tls=certificate.server_context()) as provider:
        assert (await send(provider.url, verify=certificate.trusting_context())).status == 200


async def test_provider_that_wants_a_client_certificate_is_an_oauth2_error() -> None:
    # With TLS 1.3 the refusal comes as an alert after the handshake, when the request is on its way (RFC 8446 section 4.4.2.4).
    certificate = self_signed()
    async with ProviderThatWantsAClientCertificate(certificate) as provider:
        with pytest.raises(OAuth2Error):
            await send(provider.url, verify=certificate.trusting_context())


async def test_cookie_that_a_provider_set_does_not_come_back() -> None:
    async with HostileProvider(sets_a_cookie(), replies(200)) as provider, Transport() as transport:
        for _ in range(2):
            await transport.send(request_to(provider.url), deadline=PATIENT)
    assert [request.headers.get("cookie") for request in provider.requests] == [None, None]


async def test_cookie_of_a_request_under_way_does_not_reach_another_tenants_request() -> None:
    headers_are_out, release = asyncio.Event(), asyncio.Event()
    behaviours = sets_a_cookie_and_waits(headers_are_out, release), replies(200)
    async with HostileProvider(*behaviours) as provider, Transport() as transport:
        first = asyncio.create_task(transport.send(request_to(provider.url), deadline=PATIENT))
        await headers_are_out.wait()
        await send(provider.url)  # once a whole reply came to somebody else, the first one's headers were surely read
        await transport.send(request_to(provider.url), deadline=PATIENT)
        release.set()
        await first
    assert [request.headers.get("cookie") for request in provider.requests] == [None, None, None]


def test_neither_reply_nor_request_prints_what_it_carries() -> None:
    reply = Reply(status=200, headers={"set-cookie": "sentinel-1"}, body=b"sentinel-2")
    shown = repr(reply) + repr(request_to("https://a.example/token", b"refresh_token=sentinel-3"))
    assert "sentinel" not in shown
    assert "c2VjcmV0" not in shown
