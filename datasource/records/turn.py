"""The turn of a refresh: all that is needed to judge the answer to a request and to store it, once our intent is stored.

It can be encoded and decoded, so that a reply in the journal outlives the process that received it.
"""

from datetime import timedelta

import msgspec

from datasource.api.requests import Requests
from datasource.outbound.json_text import read_json
from datasource.records.credential import CredentialData, CredentialFacts
from datasource.records.intent import Intent

LAST_TRY_AFTER = timedelta(minutes=3)


class Turn(msgspec.Struct, frozen=True):
    """Everything that an answer is judged by and stored with. The only client secret in it is one that the credential keeps."""

    namespace: str
    name: str
    facts: CredentialFacts
    """The facts with our intent."""
    intent: Intent
    resource_version: str
    requests: Requests
    data: CredentialData
    """The data that the request was made of, which are stored again with the reply."""
    client_secret_name: str | None = None
    """The Secret to correct where the provider rejects the client."""
    last_try_after: timedelta = LAST_TRY_AFTER
    """The pause after a refusal that followed a lost answer, before the refresh token is sent for the last time."""
    failure_before: str | None = None
    """The failure of the send before; None where this process does not know it."""
    asked_by: str = ""
    """Who requested the refresh, as the history shows it; empty where it was not requested."""
    page_request: str = ""
    """The ID of the page request that this refresh answers; empty where there is none."""
    history: str | None = None
    """The stored history from before."""

    @property
    def act_id(self) -> str:
        """The ID of the history entry about a requested refresh."""
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
