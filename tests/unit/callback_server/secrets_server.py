"""The Secrets of one namespace behind HTTP, as FlowStore uses them; requests are counted where they arrive."""

from base64 import b64encode
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from datasource.records.credential import CredentialFacts
from datasource.records.credential_patches import credential_manifest


def failure(status: int, reason: str) -> web.Response:
    """A metav1.Status."""
    body = {"kind": "Status", "status": "Failure", "message": reason, "reason": reason, "code": status}
    return web.json_response(body, status=status)


@dataclass
class SecretsServer:
    """A handler for `tests.unit.datasource.api_server.ApiServer`: POST, GET and merge patches of whole keys."""

    secrets: dict[str, dict[str, Any]] = field(default_factory=dict)
    methods: Counter[str] = field(default_factory=Counter)
    version: int = 0
    moves_on: bool = False
    """Whether each record is written again by somebody as soon as it was read."""
    sweeps_before_get: str = ""
    """Which one is deleted just before it is read."""

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.methods[request.method] += 1
        if request.method == "POST":
            return self._create(await request.json(), dry_run="dryRun" in request.query)
        name = request.path.rpartition("/")[2]
        if name == self.sweeps_before_get and request.method == "GET":
            self.secrets.pop(name, None)
        stored = self.secrets.get(name)
        if stored is None:
            return failure(404, "NotFound")
        if request.method == "PATCH":
            patch = await request.json()
            if (
                patch["metadata"].get("resourceVersion", stored["metadata"]["resourceVersion"])
                != (stored["metadata"]["resourceVersion"])
            ):
                return failure(409, "Conflict")
            if "dryRun" not in request.query:
                self._merge(stored, patch)
        answer = web.json_response(stored)
        if self.moves_on:
            self._touch(stored)
        return answer

    def put(self, manifest: dict[str, Any]) -> None:
        """Somebody made a Secret."""
        manifest["metadata"].setdefault("uid", manifest["metadata"]["name"])
        self.secrets[manifest["metadata"]["name"]] = manifest
        self._touch(manifest)

    def put_what_a_datasource_has(self, namespace: str, name: str, uid: str, facts: CredentialFacts | None) -> None:
        """Its client Secret, and a credential where there is to be one."""
        client_secret = {"client-secret": b64encode(b"s3cret").decode()}
        self.put({"metadata": {"name": "my-app", "namespace": namespace}, "type": "Opaque", "data": client_secret})
        if facts is not None:
            self.put(
                credential_manifest(
                    namespace=namespace, datasource_name=name, datasource_uid=uid, facts=facts, data=None
                )
            )

    def _create(self, manifest: dict[str, Any], *, dry_run: bool) -> web.Response:
        if manifest["metadata"]["name"] in self.secrets:
            return failure(409, "AlreadyExists")
        if not dry_run:
            self.put(manifest)
        return web.json_response(manifest, status=201)

    def _merge(self, stored: dict[str, Any], patch: dict[str, Any]) -> None:
        """A merge patch (RFC 7386) of annotations and data."""
        kept = stored["metadata"].get("annotations", {}) | patch["metadata"].get("annotations", {})
        stored["metadata"]["annotations"] = {key: value for key, value in kept.items() if value is not None}
        if "data" in patch:
            data = {} if patch["data"] is None else stored.get("data", {}) | patch["data"]
            stored["data"] = {key: value for key, value in data.items() if value is not None}
        self._touch(stored)

    def _touch(self, stored: dict[str, Any]) -> None:
        self.version += 1
        stored["metadata"]["resourceVersion"] = str(self.version)
