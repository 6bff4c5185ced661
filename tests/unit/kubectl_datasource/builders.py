"""Datasources as kubectl prints them: the least, with what a test cares about changed."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from datasource.api.states import MEANING, Reason
from kubectl_datasource.objects import Datasource

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
LINK = "https://connect.example.com/authorize/shop/calendar?ticket=t-1"

OAUTH2 = {
    "clientID": "my-app",
    "clientSecretRef": {"name": "my-app"},
    "authorizeURL": "https://login.example.com/authorize",
    "tokenURL": "https://login.example.com/token",
    "scopes": ["read", "offline_access"],
}


def datasource(
    reason: Reason | str | None = Reason.AUTHORIZED,
    *,
    name: str = "calendar",
    namespace: str = "shop",
    oauth2: dict[str, Any] | None = OAUTH2,
    message: str = "A message.",
    generation: int = 1,
    annotations: dict[str, str] | None = None,
    uid: str = "uid-1",
    spec: dict[str, Any] | None = None,
    **status: Any,
) -> Datasource:
    """A Datasource with that reason, looked at; further arguments are fields of the status, as in YAML."""
    seen: dict[str, Any] = {"observedGeneration": 1}
    if reason is not None:
        ready = "True" if reason is Reason.AUTHORIZED else "False"
        condition = {"type": "Ready", "status": ready, "reason": str(reason), "message": message}
        seen["conditions"] = [condition | {"lastTransitionTime": "2026-07-01T11:00:00Z"}]
        seen["state"] = MEANING[Reason(reason)].state if reason in set(Reason) else "ERROR"
    raw = {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid,
            "generation": generation,
            "annotations": annotations or {},
        },
        "spec": {"url": "https://api.example.com", "oauth2": oauth2, **(spec or {})},
        "status": seen | status,
    }
    return msgspec.convert(raw, Datasource)


class Clock:
    """Time passes only in sleep."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
