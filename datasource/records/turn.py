"""A refresh's turn: our intent stands on the credential Secret, and from here on every way out is a write. A record: it can be
written down and read again, so that a reply outlives the process that got it."""

from datetime import timedelta

import msgspec

from datasource.api.requests import Requests
from datasource.outbound.json_text import read_json
from datasource.records.credential import CredentialData, CredentialFacts
from datasource.records.intent import Intent

LAST_TRY_AFTER = timedelta(minutes=3)


class Turn(msgspec.Struct, frozen=True):
    """Everything that an answer is judged by and stored with; no client secret but one that the credential keeps anyway."""

    namespace: str
    name: str
    facts: CredentialFacts
    """With our intent in them."""
    intent: Intent
    resource_version: str
    requests: Requests
    data: CredentialData
    """What the refresh token was sent with, and what is recorded with the reply."""
    client_secret_name: str | None = None
    """The Secret to correct where the provider rejects the client."""
    last_try_after: timedelta = LAST_TRY_AFTER
    """How long a refused refresh token rests after an answer that was lost, before it is sent for the last time."""
    failure_before: str | None = None
    """What went wrong at the send before, where this process knows it."""
    asked_by: str = ""
    """Who asked for the refresh; empty where nobody did."""
    page_request: str = ""
    """The ID of the request of a page that it answers."""
    history: str | None = None
    """What people did before."""

    @property
    def act_id(self) -> str:
        """The ID by which the history tells of a refresh that somebody asked for."""
        return self.page_request or self.intent.id

    def encode(self) -> bytes:
        """The record, as JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, record: bytes) -> "Turn":
        """Read what `encode` wrote.

        Raises:
            msgspec.MsgspecError: it is damaged.
        """
        return read_json(record, cls)

    def __repr__(self) -> str:
        return f"Turn({self.namespace}/{self.name}, revision {self.facts.revision})"
