"""How much of the annotations of a credential Secret is kept in memory. Pure.

All that we write is small. But Kubernetes lets whoever may write the Secret store 256 KiB of annotations, and a list of short
texts takes twenty times as much memory as it has bytes.
"""

from collections.abc import Mapping

from datasource.api.names import Annotation

MOST_SCOPES = 2000
"""A spec names 100 at most, a status tells 1,000; a reply of 64 KiB has room for 32,000."""

LONGEST_FACT = 8192
"""Characters of an identifier or a hash."""

LONGEST_SHOWN = 16_384
"""Characters of what is only shown; the rest is cut."""

_ONE_FACT = (
    Annotation.CREDENTIAL_ID,
    Annotation.REPLACES,
    Annotation.FINGERPRINT,
    Annotation.TICKET_HASH,
    Annotation.INTENT,
    Annotation.STORED_BY,
    Annotation.EXPECTED_IDENTITY,
    Annotation.IMPORTED,
)


def key_of_too_long(annotations: Mapping[str, str]) -> Annotation | None:
    """The first identifier or hash that is longer than any of ours."""
    return next((key for key in _ONE_FACT if len(annotations.get(key, "")) > LONGEST_FACT), None)


def scopes_in(annotations: Mapping[str, str], key: Annotation) -> tuple[str, ...]:
    """Scopes, the first ones of very many."""
    return tuple(annotations.get(key, "").split(maxsplit=MOST_SCOPES)[:MOST_SCOPES])


def shown_in(annotations: Mapping[str, str], key: Annotation) -> str | None:
    """A text for people, cut where it is very long."""
    text = annotations.get(key)
    return None if text is None else text[:LONGEST_SHOWN]
