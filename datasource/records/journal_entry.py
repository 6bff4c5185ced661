"""Entries of the journal: a provider's reply with all that it is judged by and stored with, beside what stands in the cluster.

A record: what one process wrote down, the next one of its pod reads. It holds the tokens of the reply. It never holds what a
client proves itself with, nor the refresh token that was sent: of that it keeps a hash, and the token is read from the
credential Secret again, where it must stand unchanged.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from datasource.api.clock import Moment
from datasource.api.spec import OAuth2
from datasource.oauth2.errors import OutcomeUnknown
from datasource.oauth2.token_response import ReplyOptions, TokenResponse, parse_token_response, parse_what_came
from datasource.outbound.provider_request import Reply
from datasource.records.credential import CredentialData
from datasource.records.turn import Turn

_BROKE_OFF = "The reply was not whole."


class RecordedReply(msgspec.Struct, frozen=True):
    """A reply as it was read."""

    status: int
    content_type: str
    body: bytes
    """As it reads without content coding."""
    is_whole: bool
    sent_at: Moment
    """Just before the request: lifetimes count from here."""
    received_at: Moment

    def __repr__(self) -> str:
        return f"RecordedReply(status={self.status}, {len(self.body)} bytes)"

    @classmethod
    def of(cls, reply: Reply, *, is_whole: bool, sent_at: Moment, received_at: Moment) -> "RecordedReply":
        """What is written down of a reply."""
        content_type = reply.headers.get("content-type", "")
        return cls(reply.status, content_type, reply.body, is_whole, sent_at, received_at)

    def parsed(self, options: ReplyOptions, sent: Sequence[str]) -> TokenResponse:
        """What it says, read as it was when it came.

        Raises:
            OAuth2Error: as `parse_token_response` does.
        """
        headers = {"content-type": self.content_type}
        if self.is_whole:
            return parse_token_response(
                self.status, headers, self.body, received_at=self.sent_at, options=options, sent=sent
            )
        reply = Reply(self.status, headers, self.body)
        return parse_what_came(reply, OutcomeUnknown(_BROKE_OFF), received_at=self.sent_at, options=options, sent=sent)


class RefreshEntry(msgspec.Struct, frozen=True, tag="refresh"):
    """The reply to a refresh."""

    turn: Turn
    """Without what the credential Secret says anyway."""
    sent_hash: str
    """Of the refresh token that was sent: SHA-256, hex."""
    parameters: OAuth2
    """Those that held at that moment."""
    reply: RecordedReply

    @classmethod
    def of(cls, turn: Turn, parameters: OAuth2, reply: RecordedReply) -> "RefreshEntry":
        """What is written down of a refresh."""
        bare = msgspec.structs.replace(turn, data=_bare(turn.data))
        return cls(bare, token_hash(turn.data.refresh_token or ""), _that_matter(parameters), reply)

    def turn_with(self, found: CredentialData) -> Turn:
        """The turn as it was, with what stands in the credential Secret."""
        data = msgspec.structs.replace(self.turn.data, **{name: getattr(found, name) for name in _OF_THE_SECRET})
        return msgspec.structs.replace(self.turn, data=data)


JournalEntry = RefreshEntry
"""What an entry says."""

LARGEST_BUNDLE = 16 * 1024
"""Characters of a CA bundle that are written down. Without it a signature cannot be checked, and TLS stands in for it."""

_OF_THE_SECRET = (
    "access_token",
    "token_type",
    "refresh_token",
    "captured",
    "identity",
    "client_secret",
    "ca_bundle",
    "token_headers",
)
"""What of the data stands in the credential Secret alone."""


def _bare(data: CredentialData) -> CredentialData:
    return msgspec.structs.replace(data, **dict.fromkeys(_OF_THE_SECRET) | {"access_token": "", "token_type": ""})


def _that_matter(parameters: OAuth2) -> OAuth2:
    """What a reply is read by, and a grant is revoked with. What else is sent with requests may be anything."""
    bundle = parameters.ca_bundle if len(parameters.ca_bundle or "") <= LARGEST_BUNDLE else None
    return msgspec.structs.replace(
        parameters, authorize_parameters={}, token_parameters={}, refresh_parameters={}, ca_bundle=bundle
    )


def encode_entry(entry: JournalEntry) -> bytes:
    """The record, as JSON."""
    return msgspec.json.encode(entry)


def decode_entry(record: bytes) -> JournalEntry:
    """Read what `encode_entry` wrote.

    Raises:
        msgspec.MsgspecError: it is damaged, or of a version that knows more.
    """
    return msgspec.json.decode(record, type=RefreshEntry)


def place_of(namespace: str, name: str) -> str:
    """How the name of an entry stands for a Datasource."""
    return hashlib.sha256(f"{namespace}/{name}".encode()).hexdigest()[:32]


def token_hash(token: str) -> str:
    """SHA-256, hex: enough to know a token again by."""
    return hashlib.sha256(token.encode()).hexdigest()
