"""Requests by annotation, each acted on once per value, and the bounded set of values already handled."""

import hashlib
import re
from collections.abc import Mapping

import msgspec

from datasource.api.names import Annotation
from datasource.outbound.json_text import read_json

HANDLED_LIMIT = 64
"""How many values of each request are remembered; the oldest are forgotten first."""

_ECHO_LENGTH = 253

_DIGEST_LENGTH = 64


class Requests(msgspec.Struct, frozen=True):
    """The values of the request annotations that are present on a Datasource; absence is no request."""

    clear_credential: str | None = None
    new_credential: str | None = None
    refresh: str | None = None


_SHORTENED = re.compile("\0sha256:([0-9a-f]{64})")
"""A long value as it is kept in memory. Nobody writes a NUL into an annotation, and who does means his own Datasource."""


def shortened(value: str) -> str:
    """A value that says the same and takes little memory: an annotation may have 256 KiB."""
    return value if len(value) <= _ECHO_LENGTH else f"\0sha256:{_digest(value)}"


def requests_in(annotations: Mapping[str, str]) -> Requests:
    """Read the requests that the annotations of a Datasource make; long values are shortened."""

    def read(name: str) -> str | None:
        value = annotations.get(name)
        return None if value is None else shortened(value)

    return Requests(
        clear_credential=read(Annotation.CLEAR_CREDENTIAL),
        new_credential=read(Annotation.NEW_CREDENTIAL),
        refresh=read(Annotation.REFRESH),
    )


class HandledSet(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """SHA-256 digests (hex) of the request values already acted on, oldest first.

    It travels with the credential: a restored or wiped status brings no request back to life.
    """

    clear_credential: tuple[str, ...] = ()
    new_credential: tuple[str, ...] = ()
    refresh: tuple[str, ...] = ()

    def with_requests(self, requests: Requests) -> "HandledSet":
        """The set after every request in `requests` was acted on."""
        return HandledSet(
            clear_credential=_with(self.clear_credential, requests.clear_credential),
            new_credential=_with(self.new_credential, requests.new_credential),
            refresh=_with(self.refresh, requests.refresh),
        )

    def with_all(self, other: "HandledSet") -> "HandledSet":
        """The set with the digests of another one, too."""
        return HandledSet(
            clear_credential=_with_digests(self.clear_credential, other.clear_credential),
            new_credential=_with_digests(self.new_credential, other.new_credential),
            refresh=_with_digests(self.refresh, other.refresh),
        )

    def pending(self, requests: Requests) -> Requests:
        """What of `requests` was not acted on yet."""
        return Requests(
            clear_credential=_unless_in(self.clear_credential, requests.clear_credential),
            new_credential=_unless_in(self.new_credential, requests.new_credential),
            refresh=_unless_in(self.refresh, requests.refresh),
        )

    def encode(self) -> str:
        """The value of the `datasource.dev/handled` annotation: JSON."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def decode(cls, text: str) -> "HandledSet":
        """Read what `encode` wrote.

        Raises:
            msgspec.ValidationError, msgspec.DecodeError: somebody altered it.
        """
        read = read_json(text, cls)
        return cls(_latest(read.clear_credential), _latest(read.new_credential), _latest(read.refresh))


def echo(value: str) -> str:
    """A request's value as `status.handled` shows it: long ones by their digest."""
    return value if len(value) <= _ECHO_LENGTH and _SHORTENED.fullmatch(value) is None else f"sha256:{_digest(value)}"


def _digest(value: str) -> str:
    digest = _SHORTENED.fullmatch(value)
    if digest is not None:
        return digest[1]
    return hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest()


def _with(digests: tuple[str, ...], value: str | None) -> tuple[str, ...]:
    return digests if value is None else _with_digests(digests, (_digest(value),))


def _latest(digests: tuple[str, ...]) -> tuple[str, ...]:
    """As many as we write, and nothing that is longer than a digest: it stays in memory."""
    return tuple(digest for digest in digests[-HANDLED_LIMIT:] if len(digest) <= _DIGEST_LENGTH)


def _with_digests(digests: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return (*digests, *(digest for digest in more if digest not in digests))[-HANDLED_LIMIT:]


def _unless_in(digests: tuple[str, ...], value: str | None) -> str | None:
    return None if value is None or _digest(value) in digests else value
