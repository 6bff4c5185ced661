"""Tickets: the capability in an authorization link.

A ticket is random, and bound to what it was issued for. So it becomes invalid by itself, and nothing has to record that. This
happens when the credential that it would replace is replaced or cleared, and when the parameters change. It also happens when
another Datasource gets the same name. Its mark says that the operator made it for that very Datasource. So a forged ticket is
refused without a read. Tickets of v0.1.0 have no mark, and stay valid until they end.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from datasource.api.spec import OAuth2
from datasource.records.contents import Contents, credential_id_in
from datasource.records.fingerprint import parameters_hash
from datasource.records.link_keys import MARK_LENGTH, LinkKeys, Origin, Purpose

_RANDOM_LENGTH = 32
_BINDING_LENGTH = 16
_LENGTH = _RANDOM_LENGTH + _BINDING_LENGTH
_TICKET = re.compile(rf"[A-Za-z0-9_-]{{{_LENGTH}}}([A-Za-z0-9_-]{{{MARK_LENGTH}}})?")


@dataclass(frozen=True, slots=True)
class TicketScope:
    """What a ticket is issued for."""

    uid: str
    parameters_hash: str
    replaces: str
    """The ID of the stored credential or tombstone; empty where there is none."""


def ticket_scope(uid: str, oauth2: OAuth2 | None, credential: Contents | None) -> TicketScope:
    """What a link that is offered now is bound to: the Datasource, its parameters, and what a new credential would replace."""
    return TicketScope(
        uid=uid,
        parameters_hash="" if oauth2 is None else parameters_hash(oauth2),
        replaces=credential_id_in(credential),
    )


def issue_ticket(scope: TicketScope, token_bytes: Callable[[int], bytes]) -> str:
    """Make a new ticket with 192 random bits: 48 URL-safe characters, without a mark."""
    secret = urlsafe_b64encode(token_bytes(24)).decode()
    return secret + _binding(secret, scope)


def is_ticket(text: str) -> bool:
    """Whether a text has the form of a ticket. Any other text is refused without a read."""
    return _TICKET.fullmatch(text) is not None


def marked_ticket(ticket: str, namespace: str, name: str, keys: LinkKeys, now: datetime) -> str:
    """The same ticket with a mark by the current link key: 64 characters. Without keys, it stays as it is."""
    key = keys.for_links(now)
    body = ticket[:_LENGTH]
    return ticket if key is None else body + key.mark(Purpose.TICKET, _marked_text(body, namespace, name))


def standing_ticket(ticket: str, namespace: str, name: str, keys: LinkKeys, now: datetime) -> str:
    """The ticket of a link that is offered now, with a mark by the current link key.

    A ticket without a mark stays as it is: no existing link changes because there are keys now.
    """
    return ticket if len(ticket) == _LENGTH else marked_ticket(ticket, namespace, name, keys, now)


def ticket_origin(ticket: str, namespace: str, name: str, keys: LinkKeys, now: datetime) -> Origin:
    """Whether the operator made a ticket for that Datasource, as far as its mark shows."""
    body, mark = ticket[:_LENGTH], ticket[_LENGTH:]
    return keys.origin(Purpose.TICKET, _marked_text(body, namespace, name), mark, now)


def ticket_fits(ticket: str, scope: TicketScope) -> bool:
    """Whether a ticket is bound to this scope. Perhaps it was never issued."""
    if not is_ticket(ticket):
        return False
    secret, binding = ticket[:_RANDOM_LENGTH], ticket[_RANDOM_LENGTH:_LENGTH]
    return hmac.compare_digest(binding.encode(), _binding(secret, scope).encode())


def same_ticket(presented: str, live: str) -> bool:
    """Compare in constant time a browser's ticket with the one in the live status. Their marks may differ."""
    return is_ticket(presented) and hmac.compare_digest(presented[:_LENGTH].encode(), live[:_LENGTH].encode())


def ticket_hash(ticket: str) -> str:
    """The hash of a used ticket without its mark, as it is stored with the credential: SHA-256, hex."""
    return hashlib.sha256(ticket[:_LENGTH].encode()).hexdigest()


def _marked_text(body: str, namespace: str, name: str) -> str:
    return "\n".join((namespace, name, body))


def _binding(secret: str, scope: TicketScope) -> str:
    text = "\n".join((secret, scope.uid, scope.parameters_hash, scope.replaces))
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:12]).decode()[:_BINDING_LENGTH]
