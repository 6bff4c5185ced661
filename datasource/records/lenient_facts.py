"""Facts in the annotations of a credential Secret that do not affect its tokens. Pure.

A fact that was altered counts as missing. So apps keep what they have.
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from datasource.api.clock import parse_rfc3339
from datasource.api.names import Annotation
from datasource.oauth2.provider_metadata import ProviderMetadata
from datasource.outbound.json_text import read_json
from datasource.records.history import LONGEST_TEXT
from datasource.records.page_request import PageRequest


def identity_check_in(annotations: Mapping[str, str]) -> tuple[str | None, str]:
    """Hash of the expectedIdentity that was compared, and the result; an altered annotation counts as no comparison."""
    checked, _, verdict = annotations.get(Annotation.EXPECTED_IDENTITY, "").partition(" ")
    return (checked, verdict) if checked and verdict in {"fits", "differs"} else (None, "")


def promised_in(annotations: Mapping[str, str]) -> ProviderMetadata | None:
    """What the provider promised; an altered annotation counts as no promise."""
    try:
        return read_json(annotations.get(Annotation.PROMISED, ""), ProviderMetadata).promises
    except (ValueError, msgspec.MsgspecError):
        return None


def authorized_at_in(annotations: Mapping[str, str]) -> datetime | None:
    """When a person authorized; None where the annotation is missing or altered."""
    try:
        return parse_rfc3339(annotations.get(Annotation.AUTHORIZED_AT, ""))
    except ValueError:
        return None


def page_request_in(annotations: Mapping[str, str], credential_id: str) -> PageRequest | None:
    """The request in the annotation; None where it is about another credential, or was altered."""
    request = PageRequest.decode(annotations.get(Annotation.PAGE_REQUEST, ""))
    return request if request is not None and request.credential == credential_id else None


def history_in(annotations: Mapping[str, str]) -> str | None:
    """The ID of the last history entry; None where the annotation is missing or altered."""
    entry_id = annotations.get(Annotation.HISTORY)
    return entry_id if entry_id and len(entry_id) <= LONGEST_TEXT else None
