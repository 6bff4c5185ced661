"""Stand-ins: a clock that moves when told to, and an API server in memory for what only reads and writes single objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import msgspec

from datasource.api.objects import PartialObject
from datasource.cluster.api_errors import Conflict, NotFound
from datasource.cluster.kube import Kube
from datasource.cluster.resources import Resource
from tests.unit.datasource_operator.merge_patch import merge_patched

T = TypeVar("T")


@dataclass
class Clock:
    """A monotonic clock, in seconds."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, by: timedelta) -> None:
        """Let time pass."""
        self.now += by.total_seconds()


@dataclass
class Call:
    """One request that reached the API server."""

    verb: str
    resource: Resource
    namespace: str
    name: str
    metadata_only: bool = False
    manager: str = ""


@dataclass
class KubeInMemory(Kube):
    """Kube's GET, POST and merge patch on objects in a dict; `failure` is raised instead while it is set."""

    objects: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    failure: Exception | None = None
    _version: int = 100

    def put(self, resource: Resource, namespace: str, name: str, **content: Any) -> None:
        """Create or replace an object from outside, under a new resourceVersion."""
        self._version += 1
        metadata = {"namespace": namespace, "name": name, "resourceVersion": str(self._version)}
        self.objects[resource.plural, namespace, name] = {**content, "metadata": metadata}

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete an object from outside."""
        del self.objects[resource.plural, namespace, name]

    def stored(self, resource: Resource) -> list[dict[str, Any]]:
        """Every object of a resource."""
        return [content for (plural, _, _), content in self.objects.items() if plural == resource.plural]

    async def get(
        self, resource: Resource, namespace: str, name: str, type_: type[T], *, metadata_only: bool = False
    ) -> T:
        self._called(Call("get", resource, namespace, name, metadata_only=metadata_only))
        return msgspec.convert(self._object(resource, namespace, name), type_)

    async def create(
        self,
        resource: Resource,
        namespace: str,
        manifest: Mapping[str, Any],
        type_: type[T],
        *,
        manager: str,
        dry_run: bool = False,
    ) -> T:
        name = manifest["metadata"]["name"]
        self._called(Call("create", resource, namespace, name, manager=manager))
        if (resource.plural, namespace, name) in self.objects:
            raise Conflict(409, "AlreadyExists", f"{resource.plural} {name} already exists")
        self.objects[resource.plural, namespace, name] = _as_json(manifest)
        return msgspec.convert(self._object(resource, namespace, name), type_)

    async def merge_patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Mapping[str, Any],
        type_: type[T],
        *,
        manager: str,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> T:
        self._called(Call("merge_patch", resource, namespace, name, manager=manager))
        patched = merge_patched(self._object(resource, namespace, name), _as_json(patch))
        self.objects[resource.plural, namespace, name] = patched
        return msgspec.convert(patched, type_)

    async def list_metadata(
        self, resource: Resource, namespace: str | None, *, field_selector: str = "", page_size: int = 500
    ) -> tuple[list[PartialObject], str]:
        self._called(Call("list", resource, namespace or "", ""))
        found = [each for each in self.stored(resource) if _is_selected(each, field_selector)]
        return [msgspec.convert(each, PartialObject) for each in found], str(self._version)

    def _called(self, call: Call) -> None:
        self.calls.append(call)
        if self.failure is not None:
            raise self.failure

    def _object(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        try:
            return self.objects[resource.plural, namespace, name]
        except KeyError:
            raise NotFound(404, "NotFound", f"{resource.plural} {name} not found") from None


def _as_json(manifest: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(manifest))
    return plain


def _is_selected(content: Mapping[str, Any], field_selector: str) -> bool:
    """Whether an object has the name and the type that a field selector asks for (`metadata.name=a,type=t`, `type!=t`)."""
    fields = {"metadata.name": content["metadata"]["name"], "type": content.get("type", "Opaque")}
    for term in filter(None, field_selector.split(",")):
        name, _, wanted = term.partition("=")
        is_not = name.endswith("!")
        if (fields[name.removesuffix("!")] == wanted) is is_not:
            return False
    return True
