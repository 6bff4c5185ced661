"""The token Secret: what apps mount. Its shape comes from the template in the spec, and so does its type.

Usually its type is ours, and tells that it is one. Where the spec names another type, a label of ours tells it: watches can
select either.

Drift shows in metadata alone: the `datasource.dev/content` annotation says which credential, revision and template it was
written from, and managedFields say whether every key is still ours. So no token need be read to know that all is well.
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
    """Whether its type tells that it is ours. If not, a label does."""

    @property
    def is_copy(self) -> bool:
        """Whether somebody else wrote what is in it, with our annotations: kubectl, a replicator, a restore."""
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
            InvalidSpec: it would be larger than a token Secret may be, and nothing was joined; or one that no API server
                takes.
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
            # Key by key, so that only one is there as text and as bytes beside what is sent.
            "data": {key: _base64(render(text, filled)) for key, text in self.templates.items()},
        }

    def removal_patch(self, stored: StoredTokenSecret, resource_version: str) -> dict[str, Any] | None:
        """The merge patch that takes out of that version what an earlier template put in; None where there is nothing.

        Fields of the creating POST belong to that operation for ever, so leaving them out of an apply removes nothing.
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
        """What each placeholder comes to. What is too long before any filter is not even filtered.

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
        """The API server takes no other, and its words would be about a value that nobody wrote."""
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
    """Work out from spec and facts what the token Secret should be; no token is needed for it."""
    template, type_ = spec.token_secret.template, spec.token_secret.type or SecretType.TOKEN
    templates = template.data or DEFAULT_DATA
    # Known by its type, the usual one needs no label, and no Secret of an earlier version is written for one.
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
    """Read what we need to know of an existing token Secret from its metadata, which does not tell the type."""
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
    """The annotation, where it may be one of ours; what is longer is none, and may have 256 KiB."""
    return content if len(content) <= _DIGEST_LENGTH else ""


MOST_FIELDS = 1024
"""Of one Secret; those of a template are about a hundred. Under our name a tenant may own 60,000."""

LONGEST_SHARED = 1024
"""Characters of field names that are kept once for all: longer ones stay no longer than the Secret that has them."""


def _shared_fields(fields: frozenset[str]) -> frozenset[str]:
    return _shared(fields) if sum(map(len, fields)) <= LONGEST_SHARED else fields


@lru_cache(maxsize=1024)
def _shared(fields: frozenset[str]) -> frozenset[str]:
    """The first that was equal: nearly all Datasources have the same few fields."""
    return fields


def _content(facts: CredentialFacts, *shape: object) -> str:
    """Which credential, which revision, in which shape: SHA-256, hex."""
    written_from = (facts.credential_id, facts.revision, *shape)
    return hashlib.sha256(msgspec.json.encode(written_from, order="deterministic")).hexdigest()


def _our_fields(metadata: Metadata) -> Iterator[str]:
    # What was applied first: that is what our latest write left, however much somebody else wrote under our name.
    for entry in sorted(metadata.managed_fields, key=lambda entry: entry.operation != "Apply"):
        if entry.manager == FIELD_MANAGER and not entry.subresource:
            yield from _keys("data/", entry.fields_v1.get("f:data"))
            described = entry.fields_v1.get("f:metadata") or {}
            yield from _keys("labels/", described.get("f:labels"))
            yield from _keys("annotations/", described.get("f:annotations"))


def _keys(prefix: str, fields: Mapping[str, Any] | None) -> Iterator[str]:
    """Keys in a FieldsV1 map: each stands there as `f:<key>`, beside `.` for the map itself."""
    return (prefix + field.removeprefix("f:") for field in fields or () if field.startswith("f:"))


def _nulls(prefix: str, paths: frozenset[str]) -> dict[str, None]:
    return {path.removeprefix(prefix): None for path in paths if path.startswith(prefix)}
