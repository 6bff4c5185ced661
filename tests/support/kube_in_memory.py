"""The verbs of our client on an API server in memory: for unit tests of whoever is given a connection."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import msgspec

from datasource.api.objects import Metadata, PartialObject
from datasource.cluster.answers import WatchEvent
from datasource.cluster.connection import SILENCE_TIMEOUT
from datasource.cluster.kube import Kube
from datasource.cluster.resources import Resource
from tests.support.api_in_memory import Address, ApiServerInMemory
from tests.support.api_rules import Manifest

T = TypeVar("T")

Answer = Callable[[], Any]
"""Has the API server do what was asked, and returns what it says."""


@dataclass
class Call:
    """One request of a client."""

    verb: str
    resource: Resource
    namespace: str
    name: str
    metadata_only: bool = False
    manager: str = ""
    body: Mapping[str, Any] | None = None


@dataclass
class KubeInMemory(Kube):
    """A connection to an API server in memory, with the verbs of Kube. `failure` is raised instead while it is set."""

    server: ApiServerInMemory = field(default_factory=ApiServerInMemory)
    calls: list[Call] = field(default_factory=list)
    failure: Exception | None = None

    @property
    def verbs(self) -> list[str]:
        """Those of all calls."""
        return [call.verb for call in self.calls]

    def object(self, resource: Resource, namespace: str, name: str) -> Manifest:
        """An object as it is stored, to look at, or to arrange by hand."""
        return self.server.objects[Address(resource.plural, namespace, name)]

    def put(self, resource: Resource, namespace: str, name: str, **content: Any) -> None:
        """Create or replace an object from outside, under a new resourceVersion."""
        self.server.put(resource, namespace, name, **content)

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete an object from outside."""
        self.server.remove(resource, namespace, name)

    def stored(self, resource: Resource) -> list[Manifest]:
        """Every object of a resource."""
        return self.server.stored(resource)

    async def requested(self, call: Call, answer: Answer) -> Any:
        """How a request fares: this one arrives at once, and so does its answer. A worse connection overrides it."""
        self.calls.append(call)
        if self.failure is not None:
            raise self.failure
        return answer()

    async def get(
        self, resource: Resource, namespace: str, name: str, type_: type[T], *, metadata_only: bool = False
    ) -> T:
        call = Call("get", resource, namespace, name, metadata_only=metadata_only)
        found = await self.requested(call, lambda: self.server.read(resource, namespace, name))
        whole = self.with_owners(resource, found)
        return msgspec.convert({"metadata": whole["metadata"]} if metadata_only else whole, type_)

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
        call = Call("create", resource, namespace, manifest["metadata"]["name"], manager=manager, body=manifest)
        create = partial(self.server.create, resource, namespace, manifest, manager=manager, dry_run=dry_run)
        return msgspec.convert(self.with_owners(resource, await self.requested(call, create)), type_)

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
        call = Call("merge_patch", resource, namespace, name, manager=manager, body=patch)
        change = partial(self.server.merge_patch, resource, namespace, name, patch, manager=manager)
        patched = await self.requested(call, partial(change, subresource=subresource, dry_run=dry_run))
        return msgspec.convert(self.with_owners(resource, patched), type_)

    async def apply(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        manifest: Mapping[str, Any],
        type_: type[T],
        *,
        manager: str,
    ) -> T:
        call = Call("apply", resource, namespace, name, manager=manager, body=manifest)
        apply = partial(self.server.apply, resource, namespace, name, manifest, manager=manager)
        return msgspec.convert(self.with_owners(resource, await self.requested(call, apply)), type_)

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str, resource_version: str) -> None:
        delete = partial(self.server.delete, resource, namespace, name, uid=uid, resource_version=resource_version)
        await self.requested(Call("delete", resource, namespace, name), delete)

    async def metadata_pages(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        field_selector: str = "",
        label_selector: str = "",
        page_size: int = 500,
    ) -> AsyncGenerator[tuple[list[PartialObject], str], None]:
        list_ = partial(self.server.listed, resource, namespace, field_selector, label_selector=label_selector)
        found, version = await self.requested(Call("list", resource, namespace or "", ""), list_)
        for start in range(0, max(len(found), 1), page_size):
            page = found[start : start + page_size]
            yield [self._metadata_of(resource, each) for each in page], version

    async def pages(
        self, resource: Resource, namespace: str | None, type_: type[T], *, label_selector: str, page_size: int
    ) -> AsyncIterator[list[T]]:
        list_ = partial(self.server.listed, resource, namespace, label_selector=label_selector)
        found, _ = await self.requested(Call("list", resource, namespace or "", ""), list_)
        for start in range(0, max(len(found), 1), page_size):
            yield [msgspec.convert(each, type_) for each in found[start : start + page_size]]

    async def watch_metadata(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        field_selector: str,
        resource_version: str,
        label_selector: str = "",
        silence: timedelta = SILENCE_TIMEOUT,
    ) -> AsyncGenerator[WatchEvent[PartialObject], None]:
        if not resource_version:
            list_ = partial(self.server.listed, resource, namespace, field_selector, label_selector=label_selector)
            found, resource_version = await self.requested(Call("list", resource, namespace or "", ""), list_)
            for each in found:
                yield WatchEvent("ADDED", self._metadata_of(resource, each))
            end = PartialObject(Metadata(name="", resource_version=resource_version))
            yield WatchEvent("BOOKMARK", end, ends_list=True)
        since, more = int(resource_version), asyncio.Event()
        self.server.changed.append(more.set)
        try:
            while True:
                more.clear()
                for each in self.server.changes(
                    resource, namespace, field_selector, since, label_selector=label_selector
                ):
                    since = each.version
                    yield WatchEvent(each.type, self._metadata_of(resource, each.object))
                await more.wait()
        finally:
            self.server.changed.remove(more.set)

    def with_owners(self, resource: Resource, content: Manifest) -> Manifest:
        """An object with who owns its fields, as far as that is known."""
        metadata = content["metadata"]
        owners = self.server.managed_fields(resource, metadata["namespace"], metadata["name"])
        return content | {"metadata": metadata | ({"managedFields": owners} if owners else {})}

    def _metadata_of(self, resource: Resource, content: Manifest) -> PartialObject:
        return msgspec.convert({"metadata": self.with_owners(resource, content)["metadata"]}, PartialObject)
