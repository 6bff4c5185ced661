"""Entries of the journal: a provider's reply, with what is needed to judge it and to store it.

One process writes an entry, and the next process of its pod reads it. It holds the tokens of the reply, and never what the
client authenticates with. Of the refresh token that a refresh sent, it keeps only a hash. The token itself is read again from
the credential Secret, where it must be unchanged.
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
    """The body, with its content coding removed."""
    is_whole: bool
    sent_at: Moment
    """The moment just before the request. Lifetimes count from here."""
    received_at: Moment

    def __repr__(self) -> str:
        return f"RecordedReply(status={self.status}, {len(self.body)} bytes)"

    @classmethod
    def of(cls, reply: Reply, *, is_whole: bool, sent_at: Moment, received_at: Moment) -> "RecordedReply":
        """What is recorded of a reply."""
        content_type = reply.headers.get("content-type", "")
        return cls(reply.status, content_type, reply.body, is_whole, sent_at, received_at)

    def parsed(self, options: ReplyOptions, sent: Sequence[str]) -> TokenResponse:
        """The parsed reply, as it was parsed when it came.

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
    """The turn, without the data that the credential Secret also holds."""
    sent_hash: str
    """SHA-256 (hex) of the refresh token that was sent."""
    parameters: OAuth2
    """The parameters at that moment."""
    reply: RecordedReply

    @classmethod
    def of(cls, turn: Turn, parameters: OAuth2, reply: RecordedReply) -> "RefreshEntry":
        """What is recorded of a refresh."""
        bare = msgspec.structs.replace(turn, data=_bare(turn.data))
        return cls(bare, token_hash(turn.data.refresh_token or ""), _that_matter(parameters), reply)

    def turn_with(self, found: CredentialData) -> Turn:
        """The turn as it was, with the data that the credential Secret holds."""
        data = msgspec.structs.replace(self.turn.data, **{name: getattr(found, name) for name in _OF_THE_SECRET})
        return msgspec.structs.replace(self.turn, data=data)


class CodeEntry(msgspec.Struct, frozen=True, tag="code"):
    """The reply to the exchange of a code."""

    flow: Flow
    """The flow as it was claimed."""
    slot: int
    """The slot of its record."""
    facts: CredentialFacts
    data: CredentialData
    """The credential, without what the reply brings and without what the client authenticates with."""
    keeps_client: bool
    """Whether what the client authenticates with is stored beside the tokens, to revoke them."""
    parameters: OAuth2
    """The parameters at that moment."""
    named_server: str | None
    """The server that the callback named, for people."""
    reply: RecordedReply
    template: SecretMetadata = NO_METADATA
    """The labels and annotations for a new Secret."""
    renewed: str | None = None
    """The refresh token that was sent, where the reply to the code was of no use and a refresh followed; else None. It stays
    valid if the reply has no new one."""

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
        """What is recorded of an exchange. `blank` is the credential before its tokens are known."""
        facts, data = blank
        bare = msgspec.structs.replace(data, client_secret=None, ca_bundle=None, token_headers=None)
        keeps = bare != data
        return cls(flow, slot, facts, bare, keeps, _that_matter(parameters), named_server, reply, template, renewed)

    def __repr__(self) -> str:
        return f"CodeEntry({self.flow.namespace}/{self.flow.name})"


JournalEntry = RefreshEntry | CodeEntry
"""One entry. Each process reads only entries of its own."""

LARGEST_BUNDLE = 16 * 1024
"""Characters of a CA bundle that are recorded. Without the bundle, no signature can be checked, and only TLS protects the
reply."""

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
"""The fields of the data that only the credential Secret holds."""


def _bare(data: CredentialData) -> CredentialData:
    return msgspec.structs.replace(data, **dict.fromkeys(_OF_THE_SECRET) | {"access_token": "", "token_type": ""})


def _that_matter(parameters: OAuth2) -> OAuth2:
    """The parameters needed to read a reply and to revoke a grant. Others are left out, because they may hold anything."""
    bundle = parameters.ca_bundle if len(parameters.ca_bundle or "") <= LARGEST_BUNDLE else None
    return msgspec.structs.replace(
        parameters, authorize_parameters={}, token_parameters={}, refresh_parameters={}, ca_bundle=bundle
    )


def encode_entry(entry: JournalEntry) -> bytes:
    """The record, as JSON."""
    return msgspec.json.encode(entry)


E = TypeVar("E", RefreshEntry, CodeEntry)


def decode_entry(record: bytes, type_: type[E]) -> E:
    """Read what `encode_entry` wrote. Fields of later versions are ignored, because the tokens must be stored.

    Raises:
        msgspec.MsgspecError: it is damaged, of another process, or of a kind that only a later version knows.
    """
    return read_json(record, type_)


def place_of(namespace: str, name: str) -> str:
    """The part of an entry's name that identifies its Datasource."""
    return hashlib.sha256(f"{namespace}/{name}".encode()).hexdigest()[:32]


def token_hash(token: str) -> str:
    """SHA-256 (hex), by which a token is recognized."""
    return hashlib.sha256(token.encode()).hexdigest()
