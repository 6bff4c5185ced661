"""A token Secret that exists, as its metadata show it.

Drift shows in metadata alone. The `datasource.dev/content` annotation says from which credential, revision and template the
Secret was written. managedFields say whether every key is still ours. So no token has to be read to detect drift.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

import msgspec

from datasource.api.names import FIELD_MANAGER, Annotation
from datasource.api.objects import Metadata, OwnerReference, telling_owners


class StoredTokenSecret(msgspec.Struct, frozen=True):
    """A token Secret that exists: what the operator keeps in memory of it.

    `fields` are the paths that our field manager owns, such as `data/access_token` or `labels/app`.
    """

    name: str
    uid: str
    resource_version: str
    content: str
    owners: tuple[OwnerReference, ...]
    fields: frozenset[str]
    has_usual_type: bool = True
    """Whether its type shows that it is ours. If not, a label does."""

    @property
    def is_copy(self) -> bool:
        """Whether another program wrote its content, with our annotations: kubectl, a replicator, a restore."""
        return not self.fields


def read_stored(metadata: Metadata, *, has_usual_type: bool = True) -> StoredTokenSecret:
    """Read what we need to know of an existing token Secret from its metadata. The type is not in there."""
    return StoredTokenSecret(
        name=metadata.name,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        content=_digest_or_none(metadata.annotations.get(Annotation.CONTENT, "")),
        owners=telling_owners(metadata.owner_references),
        fields=_shared_fields(frozenset(islice(_our_fields(metadata), MOST_FIELDS))),
        has_usual_type=has_usual_type,
    )


_DIGEST_LENGTH = 64


def _digest_or_none(content: str) -> str:
    """The annotation; empty where it is too long to be ours. An annotation may have 256 KiB."""
    return content if len(content) <= _DIGEST_LENGTH else ""


MOST_FIELDS = 1024
"""How many fields of one Secret are kept. A template has about a hundred, but a tenant may own 60,000 under our name."""

LONGEST_SHARED = 1024
"""Characters of field names that Secrets share in memory. Longer sets are freed with the Secret that has them."""


def _shared_fields(fields: frozenset[str]) -> frozenset[str]:
    return _shared(fields) if sum(map(len, fields)) <= LONGEST_SHARED else fields


@lru_cache(maxsize=1024)
def _shared(fields: frozenset[str]) -> frozenset[str]:
    """The first set that was equal. Nearly all Datasources have the same few fields."""
    return fields


def _our_fields(metadata: Metadata) -> Iterator[str]:
    # Applied fields come first: our latest write left them. So fields that others wrote under our name cannot push them out.
    for entry in sorted(metadata.managed_fields, key=lambda entry: entry.operation != "Apply"):
        if entry.manager == FIELD_MANAGER and not entry.subresource:
            yield from _keys("data/", entry.fields_v1.get("f:data"))
            described = entry.fields_v1.get("f:metadata") or {}
            yield from _keys("labels/", described.get("f:labels"))
            yield from _keys("annotations/", described.get("f:annotations"))


def _keys(prefix: str, fields: Mapping[str, Any] | None) -> Iterator[str]:
    """The keys in a FieldsV1 map. It has an entry `f:<key>` for each, and `.` for the map itself."""
    return (prefix + field.removeprefix("f:") for field in fields or () if field.startswith("f:"))
