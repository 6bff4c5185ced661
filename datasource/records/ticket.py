"""Tickets: the capability in an authorization link.

A ticket is random, and bound to what it was issued for. So it ends by itself when the credential that it would replace
is replaced or cleared, when the parameters change and when the Datasource is another one of the same name, without
anybody having to remember it.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass

_RANDOM_LENGTH = 32
_BINDING_LENGTH = 16
_TICKET = re.compile(rf"[A-Za-z0-9_-]{{{_RANDOM_LENGTH + _BINDING_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class TicketScope:
    """What a ticket is issued for."""

    uid: str
    parameters_hash: str
    replaces: str
    """The ID of the credential (or tombstone) there is; empty where there is none."""


def issue_ticket(scope: TicketScope, token_bytes: Callable[[int], bytes]) -> str:
    """Make a fresh ticket with 192 random bits: 48 URL-safe characters."""
    secret = urlsafe_b64encode(token_bytes(24)).decode()
    return secret + _binding(secret, scope)


def is_ticket(text: str) -> bool:
    """Whether a text looks like a ticket; what does not is refused without looking anything up."""
    return _TICKET.fullmatch(text) is not None


def ticket_fits(ticket: str, scope: TicketScope) -> bool:
    """Whether a ticket was issued for this scope. It says nothing of whether it was ever issued."""
    secret, binding = ticket[:_RANDOM_LENGTH], ticket[_RANDOM_LENGTH:]
    return hmac.compare_digest(binding.encode(), _binding(secret, scope).encode())


def same_ticket(presented: str, live: str) -> bool:
    """Compare in constant time the ticket that a browser presents with the one in the live status."""
    return hmac.compare_digest(presented.encode(), live.encode())


def ticket_hash(ticket: str) -> str:
    """How a used ticket is recorded with the credential: SHA-256, hex."""
    return hashlib.sha256(ticket.encode()).hexdigest()


def _binding(secret: str, scope: TicketScope) -> str:
    text = "\n".join((secret, scope.uid, scope.parameters_hash, scope.replaces))
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:12]).decode()[:_BINDING_LENGTH]
