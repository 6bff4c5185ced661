"""Entries of the journal: a provider's reply with all that it is judged by and stored with, beside what stands in the cluster.

A record: what one process wrote down, the next one of its pod reads. It holds the tokens of the reply. It never holds what a
client proves itself with, nor the refresh token that was sent: of that it keeps a hash, and the token is read from the
credential Secret again, where it must stand unchanged.
"""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from datasource.api.clock import Moment
from datasource.api.secret_metadata import NO_METADATA, SecretMetadata
from datasource.api.spec import OAuth2
from datasource.oauth2.errors import OutcomeUnknown
from datasource.oauth2.token_response import ReplyOptions, TokenResponse, parse_token_response, parse_what_came
from datasource.outbound.json_text import read_json
from datasource.outbound.provider_request import Reply
from datasource.records.credential import CredentialData, CredentialFacts
from datasource.records.flow import Flow
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


class CodeEntry(msgspec.Struct, frozen=True, tag="code"):
    """The reply to a code."""

    flow: Flow
    """As it was claimed."""
    slot: int
    """In which its record stands."""
    facts: CredentialFacts
    data: CredentialData
    """The credential as it is but for what the reply brings, and for what the client proves itself with."""
    keeps_client: bool
    """Whether that is stored beside the tokens, to revoke them."""
    parameters: OAuth2
    """Those that held at that moment."""
    named_server: str | None
    """As the answer of the browser named it, for people."""
    reply: RecordedReply
    template: SecretMetadata = NO_METADATA
    """What a Secret that is made is to carry beside."""
    renewed: str | None = None
    """Where it is the reply to a refresh, since that to the code was of no use: what was sent. It holds on if none came."""

    @classmethod
    def of(
        cls,
        flow: Flow,
        slot: int,
        blank: tuple[CredentialFacts, CredentialData],
        parameters: OAuth2,
        named_server: str | None,
        reply: RecordedReply,
        renewed: str | None,
        template: SecretMetadata = NO_METADATA,
    ) -> "CodeEntry":
        """What is written down of an exchange; `blank` is the credential, whose tokens are not known yet."""
        facts, data = blank
        bare = msgspec.structs.replace(data, client_secret=None, ca_bundle=None, token_headers=None)
        keeps = bare != data
        return cls(flow, slot, facts, bare, keeps, _that_matter(parameters), named_server, reply, template, renewed)

    def __repr__(self) -> str:
        return f"CodeEntry({self.flow.namespace}/{self.flow.name})"


JournalEntry = RefreshEntry | CodeEntry
"""What an entry says: each process reads those of its own."""

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


E = TypeVar("E", RefreshEntry, CodeEntry)


def decode_entry(record: bytes, type_: type[E]) -> E:
    """Read what `encode_entry` wrote. A field that only a later version knows is passed over: the tokens are to be stored.

    Raises:
        msgspec.MsgspecError: it is damaged, of another process, or of a kind that only a later version knows.
    """
    return read_json(record, type_)


def place_of(namespace: str, name: str) -> str:
    """How the name of an entry stands for a Datasource."""
    return hashlib.sha256(f"{namespace}/{name}".encode()).hexdigest()[:32]


def token_hash(token: str) -> str:
    """SHA-256, hex: enough to know a token again by."""
    return hashlib.sha256(token.encode()).hexdigest()
