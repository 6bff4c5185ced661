"""The token Secret, which apps mount. The spec decides its content and its type.

Usually it has our own type, which shows that it is ours. Where the spec names another type, a label of ours shows it. Watches
can select either.

What exists is read by stored_token_secret.py.
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from datasource.api.clock import rfc3339
from datasource.api.names import (
    DOCKER_CONFIG_KEY,
    TOKEN_LABELS,
    Annotation,
    Role,
    SecretType,
    TokenSecretType,
)
from datasource.api.objects import owner_reference
from datasource.api.spec import Spec, SpecProblem
from datasource.api.template import CAPTURED, DEFAULT_DATA, least_sizes, render, values
from datasource.api.template_problems import size_problem
from datasource.records.credential import CredentialData, CredentialFacts
from datasource.records.stored_token_secret import StoredTokenSecret


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


def _is_json_object(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError):
        return False
    return True


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def _content(facts: CredentialFacts, *shape: object) -> str:
    """SHA-256 (hex) of the credential ID, the revision and the shape."""
    written_from = (facts.credential_id, facts.revision, *shape)
    return hashlib.sha256(msgspec.json.encode(written_from, order="deterministic")).hexdigest()


def _nulls(prefix: str, paths: frozenset[str]) -> dict[str, None]:
    return {path.removeprefix(prefix): None for path in paths if path.startswith(prefix)}
