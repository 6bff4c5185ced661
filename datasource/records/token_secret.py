"""The token Secret, which apps mount. The spec decides its content and its type.

Usually it has our own type, which shows that it is ours. Where the spec names another type, a label of ours shows it. Watches
can select either.

Drift shows in metadata alone. The `datasource.dev/content` annotation says from which credential, revision and template the
Secret was written. managedFields say whether every key is still ours. So no token has to be read to detect drift.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import msgspec

from datasource.api.clock import rfc3339
from datasource.api.names import (
    DOCKER_CONFIG_KEY,
    FIELD_MANAGER,
    TOKEN_LABELS,
    Annotation,
    Role,
    SecretType,
    TokenSecretType,
)
from datasource.api.objects import Metadata, OwnerReference, owner_reference, telling_owners
from datasource.api.spec import Spec, SpecProblem
from datasource.api.template import CAPTURED, DEFAULT_DATA, least_sizes, render, values
from datasource.api.template_problems import size_problem
from datasource.records.credential import CredentialData, CredentialFacts


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


@dataclass(frozen=True, slots=True)
class TokenSecretPlan:
    """The token Secret that a Datasource should have, apart from the tokens themselves."""

    namespace: str
    name: str
    datasource_name: str
    datasource_uid: str
    content: str
    type: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    templates: Mapping[str, str]
    url: str

    @property
    def fields(self) -> frozenset[str]:
        """The paths that our field manager must own for the Secret to be as we wrote it."""
        return frozenset(
            [f"data/{key}" for key in self.templates]
            + [f"labels/{key}" for key in self.labels]
            + [f"annotations/{key}" for key in self.annotations]
        )

    def manifest(self, facts: CredentialFacts, data: CredentialData) -> dict[str, Any]:
        """The whole Secret, for the POST that creates it and for the server-side applies after.

        Raises:
            InvalidSpec: it would be larger than a token Secret may be, or the API server would refuse it. Values that are too
                large are not joined first.
        """
        filled = self._filled(self._variables(facts, data))
        problem = self._docker_config_problem(filled)
        if problem is not None:
            raise problem.error()
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": self.type,
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "labels": dict(self.labels),
                "annotations": dict(self.annotations),
                "ownerReferences": [owner_reference(self.datasource_name, self.datasource_uid)],
            },
            # Key by key, so that only one value at a time is in memory as text and as bytes.
            "data": {key: _base64(render(text, filled)) for key, text in self.templates.items()},
        }

    def removal_patch(self, stored: StoredTokenSecret, resource_version: str) -> dict[str, Any] | None:
        """The merge patch that removes from that version what an earlier template wrote; None where there is nothing to remove.

        The creating POST owns its fields for ever. So leaving them out of a server-side apply removes nothing.
        """
        left_over = stored.fields - self.fields
        if not left_over:
            return None
        return {
            "metadata": {
                "resourceVersion": resource_version,
                "labels": _nulls("labels/", left_over),
                "annotations": _nulls("annotations/", left_over),
            },
            "data": _nulls("data/", left_over),
        }

    def _filled(self, variables: Mapping[str, str]) -> dict[str, str]:
        """The value of each placeholder. Values that are too long before any filter are refused without filtering.

        Raises:
            InvalidSpec: together they are longer than a token Secret may be.
        """
        texts = self.templates.values()
        if (problem := size_problem(self.templates, least_sizes(texts, variables))) is not None:
            raise problem.error()
        filled = values(texts, variables)
        sizes = {each: len(value.encode()) for each, value in filled.items()}
        if (problem := size_problem(self.templates, sizes)) is not None:
            raise problem.error()
        return filled

    def _docker_config_problem(self, filled: Mapping[str, str]) -> SpecProblem | None:
        """Why the API server would refuse a Docker config: it is no JSON object. None where it is one, or another type is used.

        The API server's own message would be about a value that no person wrote.
        """
        if self.type != TokenSecretType.DOCKER_CONFIG:
            return None
        text = self.templates.get(DOCKER_CONFIG_KEY)
        if text is not None and _is_json_object(render(text, filled)):
            return None
        return SpecProblem(
            f"spec.tokenSecret.template.data[{DOCKER_CONFIG_KEY}]",
            "is no JSON object once it is filled in",
            'Correct its braces and quotes. A value in a JSON text takes the filter json, as in "password": '
            "{{ access_token | json }}.",
        )

    def _variables(self, facts: CredentialFacts, data: CredentialData) -> dict[str, str]:
        return {
            "access_token": data.access_token,
            "token_type": data.token_type,
            "expires_at": "" if facts.expires_at is None else rfc3339(facts.expires_at),
            "scopes": " ".join(facts.granted_scopes),
            "url": self.url,
            "name": self.datasource_name,
            "namespace": self.namespace,
            **{CAPTURED + name: value for name, value in data.captured_fields.items()},
        }


def plan_token_secret(*, namespace: str, name: str, uid: str, spec: Spec, facts: CredentialFacts) -> TokenSecretPlan:
    """Decide from spec and facts what the token Secret should be. No token is needed for it."""
    template, type_ = spec.token_secret.template, spec.token_secret.type or SecretType.TOKEN
    templates = template.data or DEFAULT_DATA
    # The usual type needs no label. So no Secret of an earlier version is written again to get one.
    is_usual = type_ == SecretType.TOKEN
    labels = template.labels if is_usual else {**template.labels, **TOKEN_LABELS}
    shape = (spec.url, template.labels, template.annotations, templates, *(() if is_usual else (type_,)))
    content = _content(facts, *shape)
    own: dict[str, str] = {Annotation.DATASOURCE: name, Annotation.ROLE: Role.TOKEN, Annotation.CONTENT: content}
    return TokenSecretPlan(
        namespace=namespace,
        name=spec.token_secret_name(name),
        datasource_name=name,
        datasource_uid=uid,
        content=content,
        type=type_,
        labels=labels,
        annotations={**template.annotations, **own},
        templates=templates,
        url=spec.url,
    )


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


def _is_json_object(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError):
        return False
    return True


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


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


def _content(facts: CredentialFacts, *shape: object) -> str:
    """SHA-256 (hex) of the credential ID, the revision and the shape."""
    written_from = (facts.credential_id, facts.revision, *shape)
    return hashlib.sha256(msgspec.json.encode(written_from, order="deterministic")).hexdigest()


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


def _nulls(prefix: str, paths: frozenset[str]) -> dict[str, None]:
    return {path.removeprefix(prefix): None for path in paths if path.startswith(prefix)}
