"""Builders: the least of each thing, with what a test cares about changed."""

from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from datasource.api.names import Annotation
from datasource.api.objects import Metadata, Secret
from datasource.api.requests import HandledSet
from datasource.api.spec import OAuth2, Spec
from datasource.api.spec_problems import parse_spec
from datasource.api.states import Reason
from datasource.records.credential import CredentialData, CredentialFacts
from datasource.records.intent import Intent

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
UID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"

LEAST_OAUTH2: Mapping[str, Any] = {
    "clientID": "my-app",
    "clientSecretRef": {"name": "my-app", "key": "client-secret"},
    "authorizeURL": "https://login.example.com/authorize",
    "tokenURL": "https://login.example.com/token",
}


def raw_spec(*, token_secret: Mapping[str, Any] | None = None, **oauth2: Any) -> dict[str, Any]:
    """A spec as decoded JSON; a field of oauth2 that is None is left out."""
    fields = {name: value for name, value in (dict(LEAST_OAUTH2) | oauth2).items() if value is not None}
    raw: dict[str, Any] = {"type": "URL", "url": "https://api.example.com", "oauth2": fields}
    return raw if token_secret is None else raw | {"tokenSecret": dict(token_secret)}


def spec(*, token_secret: Mapping[str, Any] | None = None, **oauth2: Any) -> Spec:
    """A parsed spec."""
    return parse_spec(raw_spec(token_secret=token_secret, **oauth2), allow_insecure_http=False)


def oauth2(**changes: Any) -> OAuth2:
    """Parsed OAuth2 parameters."""
    parsed = spec(**changes).oauth2
    assert parsed is not None
    return parsed


def facts(**changes: Any) -> CredentialFacts:
    """The facts of a credential, every one of them set."""
    every: dict[str, Any] = {
        "credential_id": "cred-1",
        "revision": 3,
        "replaces": "cred-0",
        "fingerprint": "fp-1",
        "requested_scopes": ("read", "offline_access"),
        "granted_scopes": ("read",),
        "expires_at": NOW + timedelta(hours=1),
        "refreshed_at": NOW,
        "has_refresh_token": True,
        "authorized_as": "ada@example.com",
        "ticket_hash": "th-1",
        "handled": HandledSet(refresh=("digest-1",)),
        "intent": Intent(id="intent-2", process="process-1", pod="pod-1", at=NOW, sends=2),
        "stored_by": "intent-1",
        "verdict": Reason.GRANT_REVOKED,
        "is_revocable": True,
    }
    return CredentialFacts(**(every | changes))


def credential_data(**changes: Any) -> CredentialData:
    """The data of a credential, every key of it set."""
    every: dict[str, Any] = {
        "access_token": "at-1",
        "token_type": "Bearer",
        "token_endpoint": "https://login.example.com/token",
        "fingerprint": "fp-1",
        "client_id": "my-app",
        "refresh_token": "rt-1",
        "revocation_endpoint": "https://login.example.com/revoke",
        "refresh_endpoint": "https://login.example.com/refresh",
        "captured": '{"instance_url":"https://shop.example.com"}',
    }
    return CredentialData(**(every | changes))


def metadata(name: str = "a", *, annotations: Mapping[Any, str] | None = None, **changes: Any) -> Metadata:
    """Metadata of any object."""
    return Metadata(name=name, resource_version="7", annotations=dict(annotations or {}), **changes)


def secret(
    values: Mapping[str, str | bytes] | None = None,
    *,
    name: str = "my-app",
    type_: str = "Opaque",
    annotations: Mapping[str, str] | None = None,
) -> Secret:
    """A Secret as a live GET returns it."""
    encoded = {
        key: b64encode(value if isinstance(value, bytes) else value.encode()).decode()
        for key, value in (values or {}).items()
    }
    return Secret(metadata=metadata(name, annotations=annotations, namespace="shop"), type=type_, data=encoded or None)


def allowed_hosts(hosts: str) -> dict[str, str]:
    """The annotation that binds a client Secret to hosts."""
    return {Annotation.ALLOWED_HOSTS: hosts}
