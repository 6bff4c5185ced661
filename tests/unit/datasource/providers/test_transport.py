"""Was the request delivered? The transport against a provider on loopback that does its worst."""

import asyncio
import base64
import contextlib
import gzip
import hashlib
import secrets
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from datasource.oauth2.errors import EgressDenied, NotDelivered, OAuth2Error, OutcomeUnknown, ReplyTooLarge
from datasource.outbound.egress import EgressPolicy
from datasource.outbound.provider_request import SHORT_REPLY, Reply, UnusableReply
from datasource.outbound.proxies import proxies_in
from datasource.outbound.reach import Hindrance, Obstacle
from datasource.providers import connections as connections_module
from datasource.providers import transport as transport_module
from datasource.providers.connections import Connection, ProviderConnections
from datasource.providers.progress import Progress
from datasource.providers.resolver import Resolve
from datasource.providers.transport import TRUST_PER_NAMESPACE, Transport
from tests.support.connect_proxy import ConnectProxy
from tests.support.hostile_provider import (
    GOOD_REPLY,
    LOOPBACK,
    ON_LOOPBACK,
    Behaviour,
    Certificate,
    HostileProvider,
    ProviderThatWantsAClientCertificate,
    ReceivedRequest,
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
from tests.unit.datasource.providers.requests import PATIENT, SHORT, answering, request_to


async def send(url: str, *, deadline: timedelta = PATIENT, verify: ssl.SSLContext | bool = True) -> Reply:
    async with Transport(ON_LOOPBACK, verify=verify) as transport:
        return await transport.send(request_to(url), deadline=deadline, tenant="apps")


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
    async with HostileProvider(replies(200, b"x" * SHORT_REPLY)) as provider:
        reply = await send(provider.url)
    assert len(reply.body) == SHORT_REPLY


@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(replies(200, b"x" * (SHORT_REPLY + 1)), id="one byte over 64 KiB"),
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


async def test_deadline_that_passes_while_a_name_is_looked_up_is_not_delivered() -> None:
    async def silent(_: str, __: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    async with Transport(EgressPolicy(), resolve=silent) as transport:
        with pytest.raises(NotDelivered, match="could not be reached within"):
            await transport.send(request_to("https://login.example.com/token"), deadline=SHORT, tenant="apps")


async def test_deadline_that_passes_before_the_handshake_ends_is_not_delivered() -> None:
    """The other side accepts connections and says nothing: not a byte of the request is on its way."""

    was_let_go = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        was_let_go.set()

    async with await asyncio.start_server(accept, LOOPBACK, 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NotDelivered, match="could not be reached within"):
            await send(f"https://{LOOPBACK}:{port}/token", deadline=SHORT)
        await was_let_go.wait()


@pytest.mark.parametrize("trouble", [OSError("no such connection"), None], ids=["a failure", "a deadline"])
async def test_reply_that_was_read_counts_whatever_goes_wrong_with_its_connection(
    trouble: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def keep(_: object, connection: Connection) -> None:
        await connection.aclose()
        if trouble is not None:
            raise trouble
        await asyncio.Event().wait()

    monkeypatch.setattr(ProviderConnections, "_keep", keep)
    async with HostileProvider(replies(200)) as provider:
        assert (await send(provider.url, deadline=timedelta(seconds=2))).body == GOOD_REPLY


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_returned_and_the_other_server_gets_nothing(status: int) -> None:
    async with HostileProvider(replies(200)) as other:
        async with HostileProvider(redirects(other.url, status=status)) as provider:
            reply = await send(provider.url)
    assert reply.status == status
    assert (other.requests, other.connections) == ([], 0)


@pytest.mark.parametrize(
    "location", ["http://[::1", "http://xn--/", f"http://a{chr(0x7F)}/", "//", "https://" + "a" * 9_000]
)
async def test_redirect_to_nowhere_is_a_redirect(location: str) -> None:
    """An httpx client would read where to, and fail: then nobody would know that nothing was granted."""
    async with HostileProvider(replies(302, headers=(f"Location: {location}",))) as provider:
        assert (await send(provider.url)).status == 302


async def test_login_in_a_url_takes_no_headers_place() -> None:
    async with HostileProvider(replies(200)) as provider:
        await send(provider.url.replace("://", "://me:s3cret@"))
    assert provider.requests[0].headers["authorization"] == "Basic c2VjcmV0"


def test_no_module_is_forbidden_to_the_rest_of_the_process() -> None:
    assert [name for name, module in sys.modules.items() if module is None] == []


async def test_gzip_bomb_is_opened_no_further_than_a_reply_may_be() -> None:
    async with HostileProvider(gzip_bomb()) as provider:
        with pytest.raises(ReplyTooLarge) as caught:
            await send(provider.url)
    assert caught.value.received is not None
    assert len(caught.value.received.body) == SHORT_REPLY


async def test_reply_that_is_compressed_although_none_was_asked_for_is_read() -> None:
    coded = replies(200, gzip.compress(GOOD_REPLY), headers=("Content-Encoding: gzip",))
    async with HostileProvider(coded) as provider:
        assert (await send(provider.url)).body == GOOD_REPLY


async def test_reply_that_is_coded_in_a_way_that_is_not_read_is_unusable() -> None:
    async with HostileProvider(replies(200, b"\x8b\x02\x80", headers=("Content-Encoding: br",))) as provider:
        with pytest.raises(UnusableReply, match="compressed"):
            await send(provider.url)


async def test_refusal_counts_though_its_body_never_ends() -> None:
    async with HostileProvider(endless_body(status=400)) as provider:
        reply = await send(provider.url)
    assert reply.status == 400


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
    async with HostileProvider(sets_a_cookie(), replies(200)) as provider, Transport(ON_LOOPBACK) as transport:
        for _ in range(2):
            await transport.send(request_to(provider.url), deadline=PATIENT, tenant="apps")
    assert [request.headers.get("cookie") for request in provider.requests] == [None, None]


async def test_cookie_of_a_request_under_way_does_not_reach_another_tenants_request() -> None:
    headers_are_out, release = asyncio.Event(), asyncio.Event()
    behaviours = sets_a_cookie_and_waits(headers_are_out, release), replies(200)
    async with HostileProvider(*behaviours) as provider, Transport(ON_LOOPBACK) as transport:
        first = asyncio.create_task(transport.send(request_to(provider.url), deadline=PATIENT, tenant="apps"))
        await headers_are_out.wait()
        await send(provider.url)  # once a whole reply came to somebody else, the first one's headers were surely read
        await transport.send(request_to(provider.url), deadline=PATIENT, tenant="apps")
        release.set()
        await first
    assert [request.headers.get("cookie") for request in provider.requests] == [None, None, None]


def test_neither_reply_nor_request_prints_what_it_carries() -> None:
    reply = Reply(status=200, headers={"set-cookie": "sentinel-1"}, body=b"sentinel-2")
    shown = repr(reply) + repr(request_to("https://a.example/token", b"refresh_token=sentinel-3"))
    assert "sentinel" not in shown
    assert "c2VjcmV0" not in shown


# Where requests may go: judged by the address connected to.


async def never_asked(name: str, _: int) -> Sequence[str]:
    raise AssertionError(f"{name} was resolved")


async def test_name_that_leads_to_a_denied_address_is_not_connected_to() -> None:
    async with HostileProvider(replies(200)) as provider:
        url = f"http://login.example.com:{provider.port}/token"
        async with Transport(EgressPolicy(), resolve=answering(LOOPBACK)) as transport:
            with pytest.raises(EgressDenied, match=r"login\.example\.com leads to the machine that asks") as caught:
                await transport.send(request_to(url), deadline=PATIENT, tenant="apps")
    assert (provider.connections, provider.requests) == (0, [])
    assert "DATASOURCE_EGRESS_ALLOW" in str(caught.value)
    assert LOOPBACK not in str(caught.value)


@pytest.mark.parametrize("host", [LOOPBACK, "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "localhost"])
async def test_denied_host_is_not_connected_to_however_it_is_written(host: str) -> None:
    async with HostileProvider(replies(200)) as provider, Transport(EgressPolicy()) as transport:
        with pytest.raises(EgressDenied):
            await transport.send(request_to(f"http://{host}:{provider.port}/token"), deadline=PATIENT, tenant="apps")
    assert provider.connections == 0


@pytest.mark.parametrize("port", [443, 6443, 8443, 10250, 10255, 10257, 10259, 2379])
@pytest.mark.parametrize(
    "address", ["10.0.0.7", "192.168.1.7", "127.0.0.1", "fd00::7", "::ffff:10.0.0.7", "64:ff9b::a00:7", "fe80::7%1"]
)
async def test_name_that_leads_to_a_node_or_the_api_server_is_not_connected_to_at_any_port(
    address: str, port: int
) -> None:
    async with Transport(EgressPolicy(), resolve=answering(address)) as transport:
        with pytest.raises(EgressDenied):
            await transport.send(
                request_to(f"https://node-1.example.com:{port}/token"), deadline=PATIENT, tenant="apps"
            )


async def test_host_and_certificate_stay_those_of_the_name() -> None:
    certificate = self_signed("login.example.com")
    async with HostileProvider(replies(200), tls=certificate.server_context()) as provider:
        context = certificate.trusting_context()
        async with Transport(ON_LOOPBACK, verify=context, resolve=answering(LOOPBACK)) as transport:
            url = f"https://login.example.com:{provider.port}/token"
            await transport.send(request_to(url), deadline=PATIENT, tenant="apps")
            with pytest.raises(NotDelivered):
                await transport.send(request_to(url.replace("login", "other")), deadline=PATIENT, tenant="apps")
    (request,) = provider.requests
    assert request.headers["host"] == url.removeprefix("https://").removesuffix("/token")


async def test_name_that_is_unknown_is_not_delivered() -> None:
    async with Transport(EgressPolicy()) as transport:
        with pytest.raises(NotDelivered, match=r"login\.example\.invalid could not be reached"):
            await transport.send(request_to("https://login.example.invalid/token"), deadline=PATIENT, tenant="apps")


async def test_name_that_no_resolver_can_be_asked_for_is_not_delivered() -> None:
    async def unable(name: str, _: int) -> Sequence[str]:
        raise UnicodeError(name)

    async with Transport(EgressPolicy(), resolve=unable) as transport:
        with pytest.raises(NotDelivered, match="is no host that can be reached"):
            await transport.send(request_to("https://login.example.com/token"), deadline=PATIENT, tenant="apps")


async def test_resolver_that_does_not_answer_is_not_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "CONNECT_TIMEOUT", SHORT)

    async def silent(_: str, __: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    async with Transport(EgressPolicy(), resolve=silent) as transport:
        with pytest.raises(NotDelivered, match="no name server answered in time"):
            await transport.send(request_to("https://login.example.com/token"), deadline=PATIENT, tenant="apps")


# Through a proxy.


async def test_request_goes_through_the_proxy_that_the_environment_names() -> None:
    certificate = self_signed("login.example.com")
    async with HostileProvider(replies(200), tls=certificate.server_context()) as provider:
        async with ConnectProxy(provider.port) as proxy:
            proxies = proxies_in({"HTTPS_PROXY": proxy.url})
            context = certificate.trusting_context()
            # Strict, though the proxy is on loopback: whoever installed us named it. And the name is the proxy's to resolve.
            async with Transport(EgressPolicy(), proxies, verify=context, resolve=never_asked) as transport:
                for _ in range(2):
                    reply = await transport.send(
                        request_to("https://login.example.com/token"), deadline=PATIENT, tenant="apps"
                    )
    assert reply.body == GOOD_REPLY
    assert proxy.asked == ["login.example.com:443"] * 2
    assert provider.requests[0].headers["host"] == "login.example.com"


async def test_plain_http_goes_through_its_proxy_and_the_password_is_told_to_the_proxy_alone() -> None:
    async with HostileProvider(replies(200)) as provider, ConnectProxy(provider.port, login="me:s3cret") as proxy:
        async with Transport(EgressPolicy(), proxies_in({"HTTP_PROXY": proxy.url}), resolve=never_asked) as transport:
            reply = await transport.send(request_to("http://login.example.com/token"), deadline=PATIENT, tenant="apps")
    assert reply.status == 200
    assert proxy.asked == ["http://login.example.com/token"]
    assert "proxy-authorization" not in provider.requests[0].headers


async def test_proxy_that_wants_another_password_is_not_delivered() -> None:
    async with HostileProvider(replies(200)) as provider, ConnectProxy(provider.port, login="me:s3cret") as proxy:
        proxies = proxies_in({"HTTPS_PROXY": proxy.url.replace("s3cret", "wrong")})
        async with Transport(EgressPolicy(), proxies) as transport:
            with pytest.raises(NotDelivered) as caught:
                await transport.send(request_to("https://login.example.com/token"), deadline=PATIENT, tenant="apps")
    assert "wrong" not in str(caught.value)
    assert provider.connections == 0


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "0x7f.1", "169.254.169.254", "[fe80::1]", "idp.auth.svc", "kubernetes", "localhost"]
)
async def test_behind_a_proxy_names_and_literals_are_denied_before_the_proxy_is_asked(host: str) -> None:
    async with HostileProvider(replies(200)) as provider, ConnectProxy(provider.port) as proxy:
        proxies = proxies_in({"HTTPS_PROXY": proxy.url, "HTTP_PROXY": proxy.url})
        async with Transport(EgressPolicy(), proxies, resolve=never_asked) as transport:
            for scheme in ("http", "https"):
                with pytest.raises(EgressDenied):
                    await transport.send(request_to(f"{scheme}://{host}/token"), deadline=PATIENT, tenant="apps")
    assert proxy.asked == []


async def test_host_of_no_proxy_is_reached_directly_and_judged() -> None:
    async with HostileProvider(replies(200)) as provider, ConnectProxy(provider.port) as proxy:
        proxies = proxies_in({"HTTP_PROXY": proxy.url, "NO_PROXY": ".example.com"})
        async with Transport(EgressPolicy(), proxies, resolve=answering(LOOPBACK)) as transport:
            with pytest.raises(EgressDenied):
                await transport.send(
                    request_to(f"http://login.example.com:{provider.port}/"), deadline=PATIENT, tenant="apps"
                )
    assert proxy.asked == []
    assert provider.connections == 0


async def test_proxy_that_refuses_is_not_delivered() -> None:
    async with HostileProvider(replies(200)) as provider, ConnectProxy(provider.port, refuses=True) as proxy:
        async with Transport(EgressPolicy(), proxies_in({"HTTPS_PROXY": proxy.url})) as transport:
            with pytest.raises(NotDelivered, match="the proxy answers 407"):
                await transport.send(request_to("https://login.example.com/token"), deadline=PATIENT, tenant="apps")
    assert provider.connections == 0


def offering_a_prime_of_its_own(folder: Path) -> tuple[Certificate, ssl.SSLContext]:
    """A server of TLS 1.2 that exchanges keys over a prime which it made up."""
    certificate = self_signed(key=rsa.generate_private_key(65537, 2048))
    # DHParameter (PKCS #3): a SEQUENCE of the prime and the generator, 2.
    prime = secrets.randbits(2048) | 1 << 2047 | 1
    der = bytes.fromhex("30820108 02820101") + prime.to_bytes(257, "big") + bytes.fromhex("020102")
    made_up = folder / "prime.pem"
    text = base64.encodebytes(der).decode()
    made_up.write_text(f"-----BEGIN DH PARAMETERS-----\n{text}-----END DH PARAMETERS-----\n")
    context = certificate.server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("DHE")
    context.load_dh_params(str(made_up))
    return certificate, context


async def test_no_key_is_exchanged_over_a_prime_that_a_server_made_up(tmp_path: Path) -> None:
    """One of 10,000 bits takes a second of CPU, at each connection."""
    certificate, context = offering_a_prime_of_its_own(tmp_path)
    async with HostileProvider(replies(200), tls=context) as provider:
        async with Transport(ON_LOOPBACK, verify=certificate.trusting_context()) as transport:
            for bundle in (None, certificate.certificate):
                with pytest.raises(NotDelivered):
                    await transport.send(request_to(provider.url), deadline=PATIENT, tenant="apps", ca_bundle=bundle)
    assert provider.requests == []


async def test_servers_of_tls_1_2_with_curves_are_connected_to() -> None:
    certificate = self_signed(key=rsa.generate_private_key(65537, 2048))
    context = certificate.server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with HostileProvider(replies(200), tls=context) as provider:
        assert (await send(provider.url, verify=certificate.trusting_context())).status == 200


# Trust of one Datasource.


async def test_ca_bundle_is_trusted_for_its_own_request_only() -> None:
    certificate = self_signed()
    async with HostileProvider(replies(200), tls=certificate.server_context()) as provider:
        async with Transport(ON_LOOPBACK) as transport:
            trusting = await transport.send(
                request_to(provider.url), deadline=PATIENT, tenant="apps", ca_bundle=certificate.certificate
            )
            # A connection that was kept would let these pass.
            with pytest.raises(NotDelivered):
                await transport.send(request_to(provider.url), deadline=PATIENT, tenant="apps")
            with pytest.raises(NotDelivered):
                await transport.send(
                    request_to(provider.url), deadline=PATIENT, tenant="apps", ca_bundle=self_signed().certificate
                )
    assert trusting.status == 200
    assert len(provider.requests) == 1


async def test_ca_bundle_adds_to_the_authorities_of_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    of_the_system, of_the_datasource = self_signed(), self_signed()
    monkeypatch.setenv("SSL_CERT_FILE", str(of_the_system.write_into(tmp_path)[0]))
    async with HostileProvider(replies(200), tls=of_the_system.server_context()) as provider:
        async with Transport(ON_LOOPBACK) as transport:
            bundle = of_the_datasource.certificate
            assert (
                await transport.send(request_to(provider.url), deadline=PATIENT, tenant="apps", ca_bundle=bundle)
            ).status == 200


async def test_whoever_names_many_ca_bundles_makes_only_his_own_costly() -> None:
    """To trust a bundle anew takes 20 ms of CPU."""
    certificate = self_signed()
    async with HostileProvider(replies(200), tls=certificate.server_context()) as provider:
        async with Transport(ON_LOOPBACK) as transport:

            async def ask(bundle: str, tenant: str) -> None:
                await transport.send(request_to(provider.url), deadline=PATIENT, tenant=tenant, ca_bundle=bundle)

            await ask(certificate.certificate, "victim")
            (kept,) = [entry.value for entry in transport._trust._entries.values()]
            for number in range(8):
                await ask(f"{certificate.certificate}# {number}\n", "attacker")
            digest = hashlib.sha256(certificate.certificate.encode()).digest()
            assert transport._trust.peek(digest) is kept
            assert transport._trust.held_in("attacker") <= TRUST_PER_NAMESPACE
            assert len(transport._trust) == 1 + TRUST_PER_NAMESPACE // 2**20 - 1


async def test_hosts_that_hang_behind_a_proxy_hold_up_nobody_elses_requests() -> None:
    """The proxy is everybody's: what goes through it is counted for each provider, not for the proxy."""
    all_wait, waiting = asyncio.Event(), 0
    many = connections_module.CONNECTIONS_TO_ONE_PROVIDER + 20

    async def behave(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        nonlocal waiting
        if request.headers["host"].startswith("victim"):
            await replies(200)(request, writer)
            return
        waiting += 1
        if waiting == many:
            all_wait.set()
        await asyncio.Event().wait()

    async with HostileProvider(behave) as provider, ConnectProxy(provider.port) as proxy:
        async with Transport(EgressPolicy(), proxies_in({"HTTP_PROXY": proxy.url}), resolve=never_asked) as transport:

            async def ask(host: str, tenant: str) -> Reply:
                return await transport.send(request_to(f"http://{host}/token"), deadline=PATIENT, tenant=tenant)

            hanging = [asyncio.create_task(ask(f"evil-{n % 8}.example.com", "attacker")) for n in range(many)]
            await all_wait.wait()
            assert (await ask("victim.example.com", "victim")).status == 200
            assert not any(task.done() for task in hanging)
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)


# To connect, and to send nothing.


async def hindered(
    url: str, *, proxies: Mapping[str, str] | None = None, resolve: Resolve | None = None, **options: Any
) -> Hindrance | None:
    async with Transport(ON_LOOPBACK, proxies_in(proxies or {}), resolve=resolve) as transport:
        return await transport.connect(url, deadline=options.pop("deadline", PATIENT), tenant="apps", **options)


async def test_whoever_is_only_connected_to_receives_no_request() -> None:
    certificate = self_signed()
    async with HostileProvider(replies(200), tls=certificate.server_context()) as provider:
        assert await hindered(provider.url, ca_bundle=certificate.certificate) is None
        assert provider.connections == 1
        assert provider.requests == []


async def test_connecting_says_nothing_of_what_was_kept_for_requests() -> None:
    async with HostileProvider(replies(200)) as provider, Transport(ON_LOOPBACK) as transport:
        await transport.send(request_to(provider.url), deadline=PATIENT, tenant="apps")
        assert await transport.connect(provider.url, deadline=PATIENT, tenant="apps") is None
        await transport.send(request_to(provider.url), deadline=PATIENT, tenant="apps")
        assert len(provider.requests) == 2


async def test_through_a_proxy_the_tunnel_is_asked_for_and_nothing_goes_through_it() -> None:
    certificate = self_signed("login.example.com")
    async with HostileProvider(replies(200), tls=certificate.server_context()) as provider:
        async with ConnectProxy(provider.port) as proxy:
            proxies = {"HTTPS_PROXY": proxy.url}
            bundle = certificate.certificate
            assert await hindered("https://login.example.com/", proxies=proxies, ca_bundle=bundle) is None
            found = await hindered("https://login.example.com/", proxies=proxies)
    assert proxy.asked == ["login.example.com:443"] * 2
    assert provider.requests == []
    assert found is not None
    assert (found.obstacle, "not trusted" in found.problem) == (Obstacle.TLS_FAILED, True)


async def test_a_proxy_for_plain_http_is_connected_to_and_asked_for_nothing() -> None:
    async with HostileProvider(replies(200)) as provider, ConnectProxy(provider.port) as proxy:
        assert await hindered("http://login.example.com/", proxies={"HTTP_PROXY": proxy.url}) is None
    assert proxy.asked == []


async def answers_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


async def test_what_hinders_is_told_apart() -> None:
    untrusted, expired, other = self_signed(), self_signed(expired=True), self_signed("login.example.com")
    found: list[Hindrance | None] = []
    with closed_port() as port:
        found.append(await hindered(f"https://{LOOPBACK}:{port}/"))
        found.append(await hindered("https://login.example.com/", proxies={"HTTPS_PROXY": f"http://{LOOPBACK}:{port}"}))
    async with await asyncio.start_server(answers_plainly, LOOPBACK, 0) as server:
        found.append(await hindered(f"https://{LOOPBACK}:{server.sockets[0].getsockname()[1]}/"))
    async with HostileProvider(replies(200)) as provider:
        async with ConnectProxy(provider.port, refuses=True) as proxy:
            found.append(await hindered("https://login.example.com/", proxies={"HTTPS_PROXY": proxy.url}))
    for certificate in (untrusted, expired, other):
        async with HostileProvider(replies(200), tls=certificate.server_context()) as provider:
            bundle = None if certificate is untrusted else certificate.certificate
            found.append(await hindered(provider.url, ca_bundle=bundle))
    found.append(await hindered("https://login.example.com/", resolve=answering()))
    assert [(each.obstacle, each.problem) for each in found if each is not None] == [
        (Obstacle.NOT_CONNECTED, "it refuses the connection"),
        (Obstacle.PROXY_FAILED, "the proxy cannot be connected to"),
        (Obstacle.TLS_FAILED, "it does not speak TLS there"),
        (Obstacle.PROXY_FAILED, "the proxy answers 407"),
        (Obstacle.TLS_FAILED, "it shows a certificate of an authority that is not trusted here"),
        (Obstacle.TLS_FAILED, "it shows a certificate that has expired"),
        (Obstacle.TLS_FAILED, "it shows a certificate for another address"),
        (Obstacle.NAME_NOT_RESOLVED, "its name has no address (DNS)"),
    ]


async def test_whoever_accepts_and_says_nothing_hinders_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "CONNECT_TIMEOUT", SHORT)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(accept, LOOPBACK, 0) as server:
        found = await hindered(f"https://{LOOPBACK}:{server.sockets[0].getsockname()[1]}/")
    assert found is not None
    assert found.problem == "it accepts the connection and then says nothing (TLS)"


async def test_a_name_server_that_fails_in_time_is_one_without_an_answer() -> None:
    async def late(_: str, __: int) -> Sequence[str]:
        raise TimeoutError

    found = await hindered("https://login.example.com/", resolve=late)
    assert found is not None
    assert found.problem == "no name server answered in time (DNS)"


async def test_nobody_connects_where_no_request_may_go() -> None:
    async with (
        HostileProvider(replies(200)) as provider,
        Transport(EgressPolicy(), resolve=answering(LOOPBACK)) as transport,
    ):
        for url in (provider.url, f"http://login.example.com:{provider.port}/"):
            with pytest.raises(EgressDenied):
                await transport.connect(url, deadline=PATIENT, tenant="apps")
    assert provider.connections == 0


# What is written down.


@pytest.mark.parametrize(
    ("behave", "recorded"),
    [
        pytest.param(replies(200), [(GOOD_REPLY, True)], id="whole"),
        pytest.param(drips(pause=timedelta(0)), [(GOOD_REPLY, True)], id="in many pieces"),
        pytest.param(cuts_in_the_body(), [(None, False)], id="cut off"),
        pytest.param(replies(400), [], id="an error rotates nothing"),
        pytest.param(sends_headers_only(), [], id="nothing of a body"),
        pytest.param(replies(200, b"\x8b\x02", headers=("Content-Encoding: br",)), [], id="nothing that can be read"),
        pytest.param(
            replies(200, gzip.compress(GOOD_REPLY), headers=("Content-Encoding: gzip",)),
            [(GOOD_REPLY, True)],
            id="as it reads",
        ),
    ],
)
async def test_reply_that_may_grant_something_is_written_down_once(
    behave: Behaviour, recorded: list[tuple[bytes | None, bool]]
) -> None:
    written: list[tuple[bytes, bool]] = []
    async with HostileProvider(behave) as provider, Transport(ON_LOOPBACK) as transport:
        with contextlib.suppress(OutcomeUnknown, UnusableReply):
            await transport.send(
                request_to(provider.url),
                deadline=SHORT if behave.__qualname__.startswith("sends_headers_only") else PATIENT,
                tenant="apps",
                record=lambda reply, is_whole: written.append((reply.body, is_whole)),
            )
    assert [is_whole for _, is_whole in written] == [is_whole for _, is_whole in recorded]
    assert all(whole is None or whole == body for (body, _), (whole, _) in zip(written, recorded, strict=True))


async def test_reply_is_written_down_before_anybody_is_waited_for() -> None:
    """Whatever is run next in this loop is run after that: no deadline, no other task comes in between."""
    order: list[str] = []
    async with HostileProvider(replies(200)) as provider, Transport(ON_LOOPBACK) as transport:
        received = Progress.received

        def seen_whole(progress: Progress) -> Reply:
            order.append("the end was seen")
            asyncio.get_running_loop().call_soon(order.append, "somebody else")
            return received(progress)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Progress, "received", seen_whole)
            await transport.send(
                request_to(provider.url),
                deadline=PATIENT,
                tenant="apps",
                record=lambda *_: order.append("written down"),
            )
            await asyncio.sleep(0)
    assert order[:3] == ["the end was seen", "written down", "somebody else"]
