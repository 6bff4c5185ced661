"""Links with a ticket of one Datasource where people sign in: for a person who has no identity in the cluster. Pure.

Who may patch the Datasource asks for it with an annotation, and `kubectl datasource authorize` makes the ticket. It is printed
there and nowhere else: another annotation keeps its hash, with the generation of the spec, so that any edit ends it. To write
that annotation takes the right to patch the Datasource, too.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping

from datasource.api.names import Annotation, authorization_link, page_link

TICKET = "Ticket"
"""The value of the annotation that asks for such links."""

_RANDOM_BYTES = 36


def is_asked_for(annotations: Mapping[str, str]) -> bool:
    """Whether links of this Datasource have a ticket, whoever signs in."""
    return annotations.get(Annotation.LINK) == TICKET


def new_ticket(random_bytes: Callable[[int], bytes]) -> str:
    """A ticket of 288 random bits: 48 URL-safe characters, as those of the operator."""
    return urlsafe_b64encode(random_bytes(_RANDOM_BYTES)).decode()


def kept(ticket: str, generation: int) -> str:
    """The value of the annotation that keeps it: no ticket can be read from it."""
    return f"{hashlib.sha256(ticket.encode()).hexdigest()} {generation}"


def is_offered(annotations: Mapping[str, str], generation: int, ticket: str) -> bool:
    """Whether that is the ticket that was made last, for the spec as it is now; compared in constant time."""
    if not is_asked_for(annotations):
        return False
    there = annotations.get(Annotation.LINK_TICKET, "")
    return hmac.compare_digest(there.encode(errors="replace"), kept(ticket, generation).encode())


def with_ticket(link: str, namespace: str, name: str, ticket: str) -> str | None:
    """The link with a ticket that begins where the link of the page does; None where it is no such link."""
    page = page_link("", namespace, name)
    return authorization_link(link.removesuffix(page), namespace, name, ticket) if link.endswith(page) else None
