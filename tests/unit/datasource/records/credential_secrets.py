"""Credential Secrets as they are written and read back."""

from collections.abc import Mapping
from typing import Any

import msgspec

from datasource.api.names import SecretType
from datasource.api.objects import Metadata, Secret, encoded_data
from datasource.records.credential import CredentialData, Facts
from datasource.records.credential_patches import (
    credential_manifest,
    credential_patch,
)
from datasource.records.revocable_token import RevocableToken, revocable_token
from tests.unit.datasource.builders import UID, credential_data, facts

OWNER = {
    "apiVersion": "datasource.dev/v1alpha1",
    "kind": "Datasource",
    "name": "sales",
    "uid": UID,
    "controller": True,
}


def created(given_facts: Facts, data: CredentialData | None) -> dict[str, Any]:
    """The manifest as the API server would get it: through JSON."""
    body = credential_manifest(
        namespace="shop", datasource_name="sales", datasource_uid=UID, facts=given_facts, data=data
    )
    decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(body))
    return decoded


def replaced(given_facts: Facts, data: CredentialData | None) -> dict[str, Any]:
    body = credential_patch(datasource_name="sales", resource_version="7", facts=given_facts, data=data)
    decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(body))
    return decoded


def stored(body: Mapping[str, Any]) -> Secret:
    return msgspec.convert(body, Secret)


def merged(before: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 7386."""
    result = dict(before)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = merged(result.get(key) or {}, value)
        else:
            result[key] = value
    return result


def stored_secret(
    data: CredentialData | RevocableToken | None = None, facts_: Facts | None = None, **metadata_: Any
) -> Secret:
    """A credential Secret as a live GET returns it; data and facts as they are written."""
    whole = credential_manifest(
        namespace="shop", datasource_name="calendar", datasource_uid=UID, facts=facts_ or facts(verdict=None), data=None
    )
    encoded = encoded_data({} if data is None else msgspec.structs.asdict(data))
    return Secret(
        metadata=Metadata(
            name="calendar-oauth2-credential",
            namespace="shop",
            resource_version="7",
            annotations=whole["metadata"]["annotations"],
            **metadata_,
        ),
        type=SecretType.CREDENTIAL,
        data={key: value for key, value in encoded.items() if value is not None},
    )


def a_token() -> RevocableToken:
    token = revocable_token(stored_secret(credential_data()))
    assert token is not None
    return token


DELETED = "2026-07-01T12:00:00Z"
