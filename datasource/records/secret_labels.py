"""Labels and annotations that a template puts on a credential Secret, and how a later template removes them. Pure.

An annotation of ours records what was written, as keys and a hash. The record is compared with the spec, and not with the
Secret. So the operator does not undo it when a person removes a label or a webhook changes one.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from datasource.api.names import Annotation
from datasource.api.secret_metadata import NO_METADATA, SecretMetadata
from datasource.outbound.json_text import read_json


class WrittenMetadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which keys were written because a template asked for them."""

    hash: str = ""
    """SHA-256 (hex) of the whole template; empty: no template asked for anything."""
    labels: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()


NOTHING_WRITTEN = WrittenMetadata()

MOST_KEYS = 64
"""How many labels, and how many annotations, are kept in memory. The schema allows 32 in a template."""

_DIGEST_LENGTH = 64


def as_written(template: SecretMetadata) -> WrittenMetadata:
    """The record of a template that was carried out."""
    if template == NO_METADATA:
        return NOTHING_WRITTEN
    whole = msgspec.json.encode(template, order="deterministic")
    return WrittenMetadata(hashlib.sha256(whole).hexdigest(), tuple(template.labels), tuple(template.annotations))


def written_in(annotations: Mapping[str, str]) -> WrittenMetadata:
    """What a template wrote to a Secret; an altered annotation counts as nothing."""
    try:
        written = read_json(annotations.get(Annotation.TEMPLATE, "{}"), WrittenMetadata)
    except (ValueError, msgspec.MsgspecError):
        return NOTHING_WRITTEN
    is_ours = len(written.hash) <= _DIGEST_LENGTH and max(len(written.labels), len(written.annotations)) <= MOST_KEYS
    return written if is_ours else NOTHING_WRITTEN


def created_metadata(template: SecretMetadata) -> dict[str, dict[str, str]]:
    """`labels` and `annotations` of a new Secret. Both are empty where the template is empty."""
    return {"labels": dict(template.labels), "annotations": template.annotations | _recorded(as_written(template))}


def relabel_patch(resource_version: str, before: WrittenMetadata, template: SecretMetadata) -> dict[str, Any]:
    """The merge patch that replaces what an earlier template wrote. It fails with 409 if the Secret changed meanwhile."""
    gone = dict.fromkeys(before.annotations) | {Annotation.TEMPLATE: None}
    return {
        "metadata": {
            "resourceVersion": resource_version,
            "labels": dict.fromkeys(before.labels) | template.labels,
            "annotations": gone | template.annotations | _recorded(as_written(template)),
        }
    }


def _recorded(written: WrittenMetadata) -> dict[str, str]:
    return {} if written == NOTHING_WRITTEN else {Annotation.TEMPLATE: msgspec.json.encode(written).decode()}
