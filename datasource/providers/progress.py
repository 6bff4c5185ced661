"""How far a request has come, and what it means that it goes no further: above all, whether it may have been processed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import httpcore

from datasource.oauth2.errors import NotDelivered, OutcomeUnknown, ReplyTooLarge
from datasource.outbound.content_coding import TooLarge, decoded
from datasource.outbound.provider_request import Reply, UnusableReply
from datasource.outbound.reach import Hindrance, Stage, hindrance

_NEVER_SENT = (
    httpcore.ConnectError,
    httpcore.ConnectTimeout,
    httpcore.PoolTimeout,
    httpcore.UnsupportedProtocol,
    httpcore.ProxyError,
)
_NO_WHOLE_ANSWER = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    OSError,  # ssl.SSLError comes through where TLS fails after the handshake.
)
FAILURES = (*_NEVER_SENT, *_NO_WHOLE_ANSWER, UnicodeError, ReplyTooLarge, UnusableReply)
"""What `failure` tells the meaning of."""


Record = Callable[[Reply, bool], None]
"""Writes a reply down that may grant something; told whether it is whole."""


@dataclass(slots=True)
class Progress:
    """On whose behalf a request is sent, how large its reply may be, and how far it has come."""

    tenant: str
    largest_reply: int
    is_written: bool = False
    """Whether a byte of it may have been sent; through a proxy, whether that was asked for a tunnel."""
    reply: Reply | None = None
    """Once it is whole it counts, whatever goes wrong while the connection is put away."""
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    body: bytearray = field(default_factory=bytearray, repr=False)
    """What came of it so far."""
    record: Record | None = None
    is_proxied: bool = False

    def write(self) -> None:
        self.is_written = True

    def hand_out(self, reply: Reply, *, is_whole: bool) -> None:
        """Have a reply written down, where it may grant something: an error rotates nothing."""
        if self.record is not None and reply.is_success and reply.body:
            self.record(reply, is_whole)

    def received(self) -> Reply:
        """What came, whole or not, as it reads without content coding.

        Raises:
            UnusableReply: it is coded in a way that is not read.
            ReplyTooLarge: more comes out than may; what comes first stands in it.
        """
        status, headers = self.status or 0, self.headers
        coding = headers.get("content-encoding", "")
        try:
            return Reply(status, headers, decoded(bytes(self.body), coding, largest=self.largest_reply))
        except TooLarge as error:
            too_large = ReplyTooLarge(f"The reply is larger than {self.largest_reply // 1024} KiB.")
            too_large.received = Reply(status, headers, error.read)
            raise too_large from None

    def readable(self) -> Reply | None:
        """What can be read of a reply that is not whole, or may not be read as a whole."""
        try:
            return None if self.status is None else self.received()
        except UnusableReply:
            return Reply(self.status or 0, self.headers, b"")
        except ReplyTooLarge as error:
            return error.received


class Connected(Exception):
    """Whom a request would go to is connected to, and not a byte of it was sent."""


@dataclass(slots=True)
class OnlyConnecting(Progress):
    """Ends a request before its first byte is sent."""

    is_secure: bool = True
    """Whether it goes to an https URL: a proxy is asked for a tunnel then."""

    def write(self) -> None:
        """Let the proxy be asked for a tunnel, and nothing else.

        Raises:
            Connected: the request would be sent now.
        """
        if self.is_written or not (self.is_proxied and self.is_secure):
            raise Connected
        self.is_written = True


def failure(error: Exception, host: str, progress: Progress, deadline: timedelta) -> Exception:
    """What it means that a request has failed: above all, whether it may have been processed."""
    within = f"within {deadline.total_seconds():g} s"
    match error:
        case UnicodeError():
            # Names that a resolver cannot even be asked for.
            return NotDelivered(f"{host} is no host that can be reached.")
        case UnusableReply():
            return _with(progress, UnusableReply(str(error)))
        case ReplyTooLarge():
            return _with(progress, ReplyTooLarge(str(error)))
        case TimeoutError() if not progress.is_written:
            return NotDelivered(f"{host} could not be reached {within}.")
        case TimeoutError():
            return _with(progress, OutcomeUnknown(f"{host} gave no whole answer {within}."))
        case httpcore.PoolTimeout():
            return NotDelivered(f"{host} could not be reached: too many requests to it are under way.")
        case _ if isinstance(error, _NEVER_SENT) or not progress.is_written:
            return NotDelivered(f"{host} could not be reached: {hindrance_of(error, progress).problem}.")
        case _:
            return _with(progress, OutcomeUnknown(f"{host} gave no whole answer ({type(error).__name__})."))


def hindrance_of(error: Exception, progress: Progress) -> Hindrance:
    """Why a host was not reached, for a request of which no byte was sent to it."""
    stage: Stage = getattr(error, "stage", Stage.CONNECTION)
    if progress.is_proxied and (stage is Stage.CONNECTION or not progress.is_written):
        stage = Stage.PROXY
    return hindrance(error, stage, is_timeout=isinstance(error, httpcore.TimeoutException | TimeoutError))


E = TypeVar("E", OutcomeUnknown, ReplyTooLarge, UnusableReply)


def _with(progress: Progress, error: E) -> E:
    """The same, with what can be read: perhaps all that matters."""
    error.received = progress.readable()
    return error
