"""What there is after a scenario, in a form that two runs of it can be compared in."""

import base64
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasource.api.names import Annotation, credential_secret_name
from datasource.api.states import PROVIDER_REACHABLE
from tests.support.api import DATASOURCES, EVENTS, NAMESPACES, SECRETS, Api

_PRESENT_OR_NOT = ("authorizationLink", "expiresAt", "refreshedAt")
_GOOD_TO_KNOW = frozenset(
    {"authorizedAt", "grantExpiresAt", "history", "lastAuthorization", "lastAuthorizedAs", "nextRefresh"}
)
"""Written with whatever else is written, and never alone: a run that was disturbed may say it sooner or later than another."""


@dataclass(frozen=True)
class _Named:
    """What stands for itself in no comparison: the names of a Datasource and its namespace."""

    namespace: str
    name: str

    def hidden(self, text: str) -> str:
        return text.replace(self.namespace, "NAMESPACE").replace(self.name, "NAME")


def end_state(api: Api, namespace: str, name: str) -> dict[str, Any]:
    """A Datasource and its Secrets, without what differs from run to run: IDs, times, tokens, names."""
    secrets = api.all_of(SECRETS, namespace)
    datasource = api.find(DATASOURCES, name, namespace)
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
        if key not in {*_PRESENT_OR_NOT, *_GOOD_TO_KNOW, "conditions", "observedGeneration"}
    }
    return {
        **shown,
        **{key: key in status for key in _PRESENT_OR_NOT},
        "conditions": {
            each["type"]: (each["status"], each["reason"])
            for each in status.get("conditions", [])
            if each["type"] != PROVIDER_REACHABLE  # like _GOOD_TO_KNOW
        },
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


class Churn:
    """Which Secrets were created and deleted, and how often, from the audit log; it begins now, and reads on each time."""

    def __init__(self, audit_log: Path) -> None:
        self._audit_log = audit_log
        self._position = audit_log.stat().st_size
        self._seen: Counter[tuple[str, str, str]] = Counter()

    def of(self, namespace: str, name: str) -> Counter[tuple[str, str]]:
        """What came and went of a Datasource's."""
        self._read_on()
        named = _Named(namespace, name)
        return Counter(
            {
                (what, named.hidden(secret)): times
                for (place, what, secret), times in self._seen.items()
                if place == namespace and secret.startswith(f"{name}-")
            }
        )

    def _read_on(self) -> None:
        with self._audit_log.open("rb") as log:
            log.seek(self._position)
            for line in log:
                if not line.endswith(b"\n"):
                    return
                self._position += len(line)
                # Most lines are about something else, and reading JSON takes longest.
                if b'"resource":"secrets"' in line:
                    self._count(json.loads(line))

    def _count(self, event: dict[str, Any]) -> None:
        status, reference = event["responseStatus"].get("code"), event["objectRef"]
        if "dryRun=" in event["requestURI"]:
            return
        # A patch that is answered with 201 was a server-side apply of what was not there.
        created = event["verb"] in {"create", "patch"} and status == 201
        deleted = event["verb"] == "delete" and status == 200
        if created or deleted:
            self._seen[reference["namespace"], "created" if created else "deleted", reference["name"]] += 1


def reasons(api: Api, namespace: str, name: str) -> set[str]:
    """Of every state that users were told of by an Event."""
    return {each["reason"] for each in api.all_of(EVENTS, namespace) if each["regarding"]["name"] == name}


def resource_version(api: Api) -> str:
    """The newest resourceVersion of all."""
    return api.resource_version(NAMESPACES)
