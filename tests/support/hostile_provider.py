"""A token endpoint that misbehaves on purpose: a real server on loopback, with one behaviour for each request.

    async with HostileProvider(replies(200, GOOD), cuts_after_the_request()) as provider:
        await transport.send(request_to(provider.url), deadline=...)
        assert provider.requests[0].headers["content-type"] == ...

Behaviours are consumed one for each request; the last one is repeated. What a client sent is kept in `requests`.
"""

import asyncio
import socket
import ssl
import tempfile
import threading
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from datasource.outbound.egress import EgressPolicy, rules

GOOD_REPLY = b'{"access_token": "at-1", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "rt-2"}'

LOOPBACK = "127.0.0.1"
ON_LOOPBACK = EgressPolicy(allowed=rules([LOOPBACK]))
"""Lets a transport reach it; nothing on loopback is reached otherwise."""

_FOR_EVER = 3600.0
_CHUNK = b"x" * 65_536


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """What a client sent; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The body, read as a form."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True))


Behaviour = Callable[[ReceivedRequest, asyncio.StreamWriter], Awaitable[None]]


class HostileProvider:
    """Listens on a free port of 127.0.0.1 while it is entered. One at another address is another provider."""

    def __init__(
        self,
        *behaviours: Behaviour,
        tls: ssl.SSLContext | None = None,
        keeps_open: bool = False,
        address: str = LOOPBACK,
    ) -> None:
        self.behaviours = behaviours
        self.address = address
        self.keeps_open = keeps_open
        self.tls = tls
        self.requests: list[ReceivedRequest] = []
        self.connections = 0
        self.port = 0
        """Where it listens, once it was entered."""
        self._serving: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server

    @property
    def url(self) -> str:
        """The token URL."""
        return f"{'http' if self.tls is None else 'https'}://{self.address}:{self.port}/token"

    @property
    def origin(self) -> str:
        """The issuer that it can pose as."""
        return self.url.removesuffix("/token")

    async def __aenter__(self) -> "HostileProvider":
        self._server = await asyncio.start_server(self._accept, self.address, 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self.close_connections()
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def close_connections(self) -> None:
        """Close every connection that is open."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve_one(reader, writer)
            while self.keeps_open:
                await self._serve_one(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client went away, as clients of a hostile provider do
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await _read_request(reader)
        behaviour = self.behaviours[min(len(self.requests), len(self.behaviours) - 1)]
        self.requests.append(request)
        await behaviour(request, writer)
        await writer.drain()


class ProviderThatWantsAClientCertificate(HostileProvider):
    """Lets the client finish its handshake, as TLS 1.3 does, and refuses it with an alert then."""

    def __init__(self, certificate: "Certificate") -> None:
        super().__init__(stays_silent())
        self._context = certificate.server_context()
        self._context.verify_mode = ssl.CERT_REQUIRED

    @property
    def url(self) -> str:
        """The token URL."""
        return f"https://{LOOPBACK}:{self.port}/token"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._refuse(reader, writer)
        except OSError:
            pass  # the client went away
        finally:
            writer.close()

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # By hand: asyncio's own TLS resets the connection at once, and the alert would be lost with it.
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(incoming, outgoing, server_side=True)
        refused = False
        while received := await reader.read(65_536):
            incoming.write(received)
            try:
                if not refused:
                    tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                refused = True
            writer.write(outgoing.read())


@contextmanager
def served(provider: HostileProvider) -> Iterator[HostileProvider]:
    """Serve in a thread of its own: for tests that wait for other processes."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(provider.__aenter__(), loop).result()
    try:
        yield provider
    finally:
        asyncio.run_coroutine_threadsafe(provider.__aexit__(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _read_request(reader: asyncio.StreamReader) -> ReceivedRequest:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request_line, *lines = head.strip().split("\r\n")
    method, target, _ = request_line.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return ReceivedRequest(method=method, target=target, headers=headers, body=body)


# Behaviours.


def replies(
    status: int,
    body: bytes = GOOD_REPLY,
    *,
    content_type: str = "application/json",
    headers: tuple[str, ...] = (),
    keeps_open: bool = False,
) -> Behaviour:
    """Answers in full; `headers` are whole lines such as `Retry-After: 7`. May keep the connection for more requests."""

    async def behave(_: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        head = _head(status, f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *headers)
        writer.write((head.replace(CLOSE, b"") if keeps_open else head) + body)

    return behave


def consents_at_once(token_endpoint: Behaviour) -> Behaviour:
    """A whole provider: its authorize URL sends everybody back with a code; anything else is for `token_endpoint`."""

    async def behave(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        if request.method != "GET":
            await token_endpoint(request, writer)
            return
        asked = dict(parse_qsl(urlsplit(request.target).query, strict_parsing=True))
        back = urlencode({"code": "a-code", "state": asked["state"]})
        await redirects(f"{asked['redirect_uri']}?{back}", status=303)(request, writer)

    return behave


def redirects(url: str, *, status: int = 307) -> Behaviour:
    """Sends the client elsewhere; a 307 asks it to post the same body, secrets and all, there."""
    return replies(status, b"", headers=(f"Location: {url}",))


def sets_a_cookie(status: int = 200, body: bytes = GOOD_REPLY) -> Behaviour:
    """Answers in full and asks to be recognized next time."""
    return replies(status, body, headers=("Set-Cookie: tracker=1; Path=/",))


def sets_a_cookie_and_waits(headers_are_out: asyncio.Event, release: asyncio.Event) -> Behaviour:
    """Sets a cookie in the headers, says when they are out, and holds the body back until it is released."""

    async def behave(_: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(_head(200, f"Content-Length: {len(GOOD_REPLY)}", "Set-Cookie: tracker=1; Path=/"))
        await writer.drain()
        headers_are_out.set()
        await release.wait()
        writer.write(GOOD_REPLY)

    return behave


def gzip_bomb(*, size: int = 50 * 1024 * 1024, status: int = 200) -> Behaviour:
    """A small compressed body that makes `size` bytes, whether or not the client accepts compression."""
    return replies(status, _gzipped(size), headers=("Content-Encoding: gzip",))


@cache
def _gzipped(size: int) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return b"".join(compressor.compress(_CHUNK) for _ in range(size // len(_CHUNK))) + compressor.flush()


def endless_body(*, status: int = 200) -> Behaviour:
    """A chunked body that never ends."""

    async def behave(_: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(_head(status, "Transfer-Encoding: chunked"))
        while True:
            writer.write(f"{len(_CHUNK):x}\r\n".encode() + _CHUNK + b"\r\n")
            await writer.drain()

    return behave


def writes(*blocks: bytes) -> Behaviour:
    """These bytes, whatever a client makes of them."""

    async def behave(_: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        for block in blocks:
            writer.write(block)
            await writer.drain()

    return behave


def writes_without_end(head: bytes, block: bytes) -> Behaviour:
    """A beginning, and then the same again and again, for as long as the client reads."""

    async def behave(_: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(block)
            await writer.drain()

    return behave


def drips(body: bytes = GOOD_REPLY, *, pause: timedelta = timedelta(seconds=1)) -> Behaviour:
    """One byte at a time: each read of the client succeeds, and the whole never comes."""

    async def behave(_: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(_head(200, "Content-Type: application/json", f"Content-Length: {len(body)}"))
        for byte in body:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(pause.total_seconds())

    return behave


def cuts_after_the_request() -> Behaviour:
    """Reads the request, then resets the connection: nobody knows what came of it."""

    async def behave(_: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    return behave


def cuts_in_the_body(body: bytes = GOOD_REPLY) -> Behaviour:
    """Promises more than it sends."""

    async def behave(_: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(_head(200, "Content-Type: application/json", f"Content-Length: {len(body) + 1}") + body)

    return behave


def sends_headers_only() -> Behaviour:
    """Headers that promise a body, then silence."""

    async def behave(_: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(_head(200, "Content-Type: application/json", "Content-Length: 100"))
        await writer.drain()
        await asyncio.sleep(_FOR_EVER)

    return behave


def stays_silent() -> Behaviour:
    """Reads the request and never answers."""

    async def behave(_: ReceivedRequest, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(_FOR_EVER)

    return behave


def speaks_no_http() -> Behaviour:
    """Answers in some other protocol."""

    async def behave(_: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")

    return behave


CLOSE = b"Connection: close\r\n"


def _head(status: int, *lines: str) -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status} Whatever", "Connection: close", *lines, "", "")).encode("latin-1")


@contextmanager
def closed_port() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections: bound, so that nobody else takes it, and not listened on."""
    with socket.socket() as bound:
        bound.bind((LOOPBACK, 0))
        yield bound.getsockname()[1]


# Certificates.


@dataclass(frozen=True, slots=True)
class Certificate:
    """A self-signed certificate as PEM: what a server shows, and what a client would have to trust."""

    certificate: str
    key: str

    def server_context(self) -> ssl.SSLContext:
        """What a server that shows it listens with."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with tempfile.TemporaryDirectory() as folder:
            context.load_cert_chain(*self.write_into(Path(folder)))
        return context

    def trusting_context(self) -> ssl.SSLContext:
        """What a client that trusts it, and nothing else, connects with."""
        return ssl.create_default_context(cadata=self.certificate)

    def write_into(self, folder: Path) -> tuple[Path, Path]:
        """Write certificate and key into files; returns where."""
        certificate, key = folder / "certificate.pem", folder / "key.pem"
        certificate.write_text(self.certificate)
        key.write_text(self.key)
        return certificate, key


def self_signed(host: str = LOOPBACK, *, expired: bool = False, key: rsa.RSAPrivateKey | None = None) -> Certificate:
    """Make a certificate for a host, a name or an address, that nobody trusts unless told to. None: a new key on a curve."""
    return _self_signed(host, key or ec.generate_private_key(ec.SECP256R1()), expired=expired)


def _self_signed(host: str, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, *, expired: bool) -> Certificate:
    serial_number = x509.random_serial_number()
    # A name of its own: of two authorities of one name OpenSSL would try the wrong one.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"hostile provider {serial_number:x}"[:64])])
    ends = datetime.now(UTC) + timedelta(days=-1 if expired else 1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial_number)
        .not_valid_before(ends - timedelta(days=2))
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Certificate(certificate=certificate.public_bytes(pem).decode(), key=private.decode())


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
