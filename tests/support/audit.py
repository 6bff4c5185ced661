"""Who did what, from the API server's audit log (audit.k8s.io/v1, level Metadata)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WRITES = {"create", "update", "patch", "delete", "deletecollection"}


@dataclass(frozen=True)
class ApiRequest:
    """One request; `resource` is as RBAC names it, with the subresource behind a slash."""

    user: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    status: int
    dry_run: bool
    user_agent: str = ""


def requests_by(user: str, audit_log: Path, *, since: int = 0) -> list[ApiRequest]:
    """What a user asked of the API server; `since` is a size of the log, in bytes."""
    return [request for request in _requests(audit_log, since) if request.user == user]


def writes_by(user: str, audit_log: Path, *, since: int = 0) -> list[ApiRequest]:
    """What of that was to change something: no dry run, and no review of rights, which is a POST that stores nothing."""
    return [
        request
        for request in requests_by(user, audit_log, since=since)
        if request.verb in WRITES and not request.dry_run and request.group != "authorization.k8s.io"
    ]


def _requests(audit_log: Path, since: int) -> Iterator[ApiRequest]:
    with audit_log.open("rb") as log:
        log.seek(since)
        for line in log:
            if line.endswith(b"\n"):
                yield _request(json.loads(line))


def _request(event: dict[str, object]) -> ApiRequest:
    reference = event.get("objectRef") or {}
    assert isinstance(reference, dict)
    subresource = reference.get("subresource")
    user, response = event["user"], event.get("responseStatus") or {}
    assert isinstance(user, dict)
    assert isinstance(response, dict)
    return ApiRequest(
        user=str(user.get("username", "")),  # nobody, where the login was refused
        verb=str(event["verb"]),
        group=str(reference.get("apiGroup", "")),
        resource=str(reference.get("resource", "")) + (f"/{subresource}" if subresource else ""),
        namespace=str(reference.get("namespace", "")),
        name=str(reference.get("name", "")),
        status=int(str(response.get("code", 0))),
        dry_run="dryRun=" in str(event["requestURI"]),
        user_agent=str(event.get("userAgent", "")),
    )
