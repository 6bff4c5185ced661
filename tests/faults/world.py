"""What there is after a scenario, in a form that two runs of it can be compared in."""

import base64
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasource.names import Annotation, credential_secret_name
from deploy.local.controlplane import ControlPlane
from deploy.local.stack import CALLBACK_SERVER, OPERATOR, SYSTEM_NAMESPACE
from tests.support.audit import WRITES, requests_by

DATASOURCES = "/apis/datasource.dev/v1alpha1/namespaces/{}/datasources"
EVENTS = "/apis/events.k8s.io/v1/namespaces/{}/events"
SECRETS = "/api/v1/namespaces/{}/secrets"

_PRESENT_OR_NOT = ("authorizationLink", "expiresAt", "refreshedAt")

_USERS = (
    "admin",  # tests, and the garbage collector
    f"system:serviceaccount:{SYSTEM_NAMESPACE}:{OPERATOR}",
    f"system:serviceaccount:{SYSTEM_NAMESPACE}:{CALLBACK_SERVER}",
)


@dataclass(frozen=True)
class _Named:
    """What stands for itself in no comparison: the names of a Datasource and its namespace."""

    namespace: str
    name: str

    def hidden(self, text: str) -> str:
        return text.replace(self.namespace, "NAMESPACE").replace(self.name, "NAME")


def end_state(control_plane: ControlPlane, namespace: str, name: str) -> dict[str, Any]:
    """A Datasource and its Secrets, without what differs from run to run: IDs, times, tokens, names."""
    datasources = control_plane.api("GET", DATASOURCES.format(namespace))["items"]
    secrets = control_plane.api("GET", SECRETS.format(namespace))["items"]
    datasource = next((each for each in datasources if each["metadata"]["name"] == name), None)
    uid = None if datasource is None else datasource["metadata"]["uid"]
    ours = {each["metadata"]["name"]: each for each in secrets if each["metadata"]["name"].startswith(f"{name}-")}
    access_token = ours.get(credential_secret_name(name), {}).get("data", {}).get("access_token")
    named = _Named(namespace, name)
    return {
        "datasource": None if datasource is None else _status(datasource, named),
        "secrets": {named.hidden(each): _secret(secret, named, uid, access_token) for each, secret in ours.items()},
    }


def _status(datasource: dict[str, Any], named: _Named) -> dict[str, Any]:
    status = datasource.get("status", {})
    shown = {
        key: named.hidden(json.dumps(value))
        for key, value in status.items()
        if key not in {*_PRESENT_OR_NOT, "conditions", "observedGeneration"}
    }
    return {
        **shown,
        **{key: key in status for key in _PRESENT_OR_NOT},
        "conditions": {each["type"]: (each["status"], each["reason"]) for each in status.get("conditions", [])},
        "is observed": status.get("observedGeneration") == datasource["metadata"]["generation"],
    }


def _secret(secret: dict[str, Any], named: _Named, uid: str | None, access_token: str | None) -> dict[str, Any]:
    metadata, content = secret["metadata"], secret.get("data", {})
    annotations = metadata.get("annotations", {})
    return {
        "type": secret["type"],
        "owned": [each["uid"] for each in metadata.get("ownerReferences", [])] == [uid],
        "keys": sorted(content),
        "token of the credential": content.get("access_token") == access_token,
        "scopes": annotations.get(Annotation.REQUESTED_SCOPES),
        "verdict": annotations.get(Annotation.VERDICT),
        "has intent": Annotation.INTENT in annotations,
        "tombstone": annotations.get(Annotation.TOMBSTONE),
        "handled": annotations.get(Annotation.HANDLED),
        "datasource": named.hidden(annotations.get(Annotation.DATASOURCE, "")),
        "client": named.hidden(base64.b64decode(content.get("client_id", "")).decode()),
    }


def churn(control_plane: ControlPlane, namespace: str, name: str, *, since: int) -> Counter[tuple[str, str]]:
    """Which Secrets of a Datasource were created and deleted since the audit log had that size, and how often."""
    requests = [each for user in _USERS for each in requests_by(user, control_plane.audit_log, since=since)]
    return Counter(
        ("deleted" if each.verb == "delete" else "created", _Named(namespace, name).hidden(each.name))
        for each in requests
        if each.namespace == namespace
        and each.resource == "secrets"
        and each.name.startswith(f"{name}-")
        and not each.dry_run
        and each.verb in WRITES
        # A patch that created something was a server-side apply of what was not there.
        and (each.status == 201 or (each.verb == "delete" and each.status == 200))
    )


def reasons(control_plane: ControlPlane, namespace: str, name: str) -> set[str]:
    """Of every state that users were told of by an Event."""
    events = control_plane.api("GET", EVENTS.format(namespace))["items"]
    return {each["reason"] for each in events if each["regarding"]["name"] == name}


def audit_size(audit_log: Path) -> int:
    """Where the audit log ends now."""
    return audit_log.stat().st_size


def resource_version(control_plane: ControlPlane) -> str:
    """The newest resourceVersion of all."""
    listed = control_plane.api("GET", "/api/v1/namespaces?limit=1")
    return str(listed["metadata"]["resourceVersion"])
