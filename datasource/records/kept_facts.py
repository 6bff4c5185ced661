"""Limits for the annotations of a credential Secret that are kept in memory. Pure.

What we write is small. But accounts that may write the Secret can store 256 KiB of annotations. A list of short texts takes
twenty times as much memory as it has bytes.
"""

from collections.abc import Mapping

from datasource.api.names import Annotation

MOST_SCOPES = 2000
"""A spec names 100 at most, and a status shows 1,000. A reply of 64 KiB has room for 32,000."""

LONGEST_FACT = 8192
"""Characters of an identifier or a hash."""

LONGEST_SHOWN = 16_384
"""Characters of a text that is only shown. The rest is cut."""

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
    """The key of the first identifier or hash that is too long; None where none is."""
    return next((key for key in _ONE_FACT if len(annotations.get(key, "")) > LONGEST_FACT), None)


def scopes_in(annotations: Mapping[str, str], key: Annotation) -> tuple[str, ...]:
    """The scopes in an annotation, at most MOST_SCOPES."""
    return tuple(annotations.get(key, "").split(maxsplit=MOST_SCOPES)[:MOST_SCOPES])


def shown_in(annotations: Mapping[str, str], key: Annotation) -> str | None:
    """A text for people, cut where it is too long; None where there is none."""
    text = annotations.get(key)
    return None if text is None else text[:LONGEST_SHOWN]
