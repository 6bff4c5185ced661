"""Labels and annotations that a template puts on a credential Secret, and how a later template takes them off again. Pure.

What was put there stands in an annotation of ours, as keys and a hash. It is compared with what the spec says by now, and not
with what the Secret has: whoever takes a label off, or has a webhook change it, is not argued with.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from datasource.api.names import Annotation
from datasource.api.secret_metadata import NO_METADATA, SecretMetadata
from datasource.outbound.json_text import read_json


class WrittenMetadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which keys are there because a template asked for them."""

    hash: str = ""
    """Of the whole template, SHA-256 in hex; empty: none asked for anything."""
    labels: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()


NOTHING_WRITTEN = WrittenMetadata()

MOST_KEYS = 64
"""Of labels, and of annotations, that are kept in memory: the schema has 32 in a template."""

_DIGEST_LENGTH = 64


def as_written(template: SecretMetadata) -> WrittenMetadata:
    """What stands on a Secret once a template was carried out."""
    if template == NO_METADATA:
        return NOTHING_WRITTEN
    whole = msgspec.json.encode(template, order="deterministic")
    return WrittenMetadata(hashlib.sha256(whole).hexdigest(), tuple(template.labels), tuple(template.annotations))


def written_in(annotations: Mapping[str, str]) -> WrittenMetadata:
    """What was put on a Secret; an altered annotation is as if nothing was."""
    try:
        written = read_json(annotations.get(Annotation.TEMPLATE, "{}"), WrittenMetadata)
    except (ValueError, msgspec.MsgspecError):
        return NOTHING_WRITTEN
    is_ours = len(written.hash) <= _DIGEST_LENGTH and max(len(written.labels), len(written.annotations)) <= MOST_KEYS
    return written if is_ours else NOTHING_WRITTEN


def created_metadata(template: SecretMetadata) -> dict[str, dict[str, str]]:
    """`labels` and `annotations` of a Secret that is made; both are empty where the template says nothing."""
    return {"labels": dict(template.labels), "annotations": template.annotations | _recorded(as_written(template))}


def relabel_patch(resource_version: str, before: WrittenMetadata, template: SecretMetadata) -> dict[str, Any]:
    """The merge patch that carries a template out over what an earlier one left; with 409 if anybody wrote meanwhile."""
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
