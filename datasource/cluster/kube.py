"""I/O: the verbs we need of the Kubernetes API, thin and typed: answers are decoded straight into structs."""

import asyncio
import math
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec

from datasource.api.objects import PartialObject
from datasource.cluster.answers import ListOf, WatchEvent, decoded, object_in, watch_event
from datasource.cluster.api_errors import ApiError, NotFound, Unavailable
from datasource.cluster.connection import SILENCE_TIMEOUT, Connection, TimedOut, TooLarge
from datasource.cluster.resources import Resource
from datasource.cluster.tables import TABLE_ONLY, Table, TablePage

T = TypeVar("T")

PAGE = 250
"""Objects in a page, where they are as usual."""

LARGEST_PAGE = 2 * 2**20
"""Bytes of a page of metadata. Usual Secrets have half a MiB together; but whoever may write one may give it 1.5 MiB of labels,
owners and finalizers, and all of a page is in memory at one time, several times as large as it came."""

PAGES_AT_A_TIME = 4
"""There are five lists for each namespace that is served, and all of them begin at the start."""

FEWER = 8
"""Times fewer objects are asked for where a page was too large, or took too long."""

STREAMING_LIST = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
"""What a watch is asked for besides, so that it begins with all that there is (metav1.ListOptions)."""

_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
_METADATA_LIST_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


class _Named(msgspec.Struct):
    name: str


class _Groups(msgspec.Struct):
    groups: list[_Named]


class _Resources(msgspec.Struct):
    resources: list[_Named]


class ServerVersion(msgspec.Struct, frozen=True, rename="camel"):
    """What /version says. `minor` is text: some vendors write `31+`."""

    major: str = ""
    minor: str = ""
    git_version: str = ""


class Kube:
    """A connection to the API server. Use it as an async context manager.

    Every method raises ApiError (or a subclass of it) for a refusal, and Unavailable where no answer came.
    """

    def __init__(self, kubeconfig: str | None = None, *, user_agent: str) -> None:
        self._connection = Connection(kubeconfig, user_agent)
        self._pages = asyncio.Semaphore(PAGES_AT_A_TIME)

    @property
    def answered_at(self) -> float:
        """When the API server last answered, by the monotonic clock."""
        return self._connection.answered_at

    async def __aenter__(self) -> "Kube":
        await self._connection.__aenter__()
        return self

    async def __aexit__(self, *exception: Any) -> None:
        await self._connection.__aexit__(*exception)

    async def get(
        self, resource: Resource, namespace: str, name: str, type_: type[T], *, metadata_only: bool = False
    ) -> T:
        """Read an object live (a quorum read)."""
        accept = _METADATA_ONLY if metadata_only else "application/json"
        body = await self._connection.request("GET", resource.path(namespace, name), headers={"Accept": accept})
        return object_in(body, type_)

    async def version(self) -> ServerVersion:
        """Which Kubernetes the API server is."""
        return decoded(await self._connection.request("GET", "/version"), ServerVersion)

    async def serves(self, resource: Resource) -> bool:
        """Whether discovery tells of a resource: it does not while its CRD is missing, or was made a moment ago."""
        _, _, group, version = resource.prefix.split("/")
        groups = decoded(await self._connection.request("GET", "/apis"), _Groups).groups
        if not any(each.name == group for each in groups):
            return False
        try:
            found = decoded(await self._connection.request("GET", f"/apis/{group}/{version}"), _Resources)
        except NotFound:
            return False
        return any(each.name == resource.plural for each in found.resources)

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
        """POST a new object; the namespace is empty for what is in none."""
        body = await self._connection.request(
            "POST", resource.path(namespace), params=_write_params(manager, dry_run), body=manifest
        )
        return object_in(body, type_)

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
        """Merge patch (RFC 7386). With `metadata.resourceVersion` in it, it is a compare-and-swap; it never creates."""
        body = await self._connection.request(
            "PATCH",
            resource.path(namespace, name, subresource),
            params=_write_params(manager, dry_run),
            headers={"Content-Type": "application/merge-patch+json"},
            body=patch,
        )
        return object_in(body, type_)

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
        """Server-side apply, forced. It creates what does not exist: see that it does, or that creating is meant."""
        body = await self._connection.request(
            "PATCH",
            resource.path(namespace, name),
            params={**_write_params(manager, dry_run=False), "force": "true"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            body=manifest,
        )
        return object_in(body, type_)

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str, resource_version: str) -> None:
        """Delete exactly the object that was seen: of several at once only one succeeds, the others get Conflict."""
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        await self._connection.request("DELETE", resource.path(namespace, name), body={"preconditions": preconditions})

    async def list_metadata(
        self, resource: Resource, namespace: str | None, *, field_selector: str = "", page_size: int = PAGE
    ) -> tuple[list[PartialObject], str]:
        """List metadata only; returns the objects and the resourceVersion to watch from."""
        items: list[PartialObject] = []
        version = ""
        async for page, version in self.metadata_pages(  # noqa: B007 - the last one counts
            resource, namespace, field_selector=field_selector, page_size=page_size
        ):
            items += page
        return items, version

    async def metadata_pages(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        field_selector: str = "",
        label_selector: str = "",
        page_size: int = PAGE,
    ) -> AsyncGenerator[tuple[list[PartialObject], str], None]:
        """The same page by page, for whoever keeps little of each: all of them at once take much memory.

        The resourceVersion is that of the whole list, the same with every page. A page has `page_size` objects, or as many as
        make no more than `LARGEST_PAGE` and come in time. It is emptied when the next one is asked for.
        """
        params = {"fieldSelector": field_selector} | _labelled(label_selector)
        headers = {"Accept": _METADATA_LIST_ONLY}
        ask = partial(self._connection.request, "GET", resource.path(namespace), headers=headers)
        size = page_size
        while True:
            async with self._pages:
                try:
                    # One alone is as large as etcd lets it be.
                    most_bytes = LARGEST_PAGE if size > 1 else math.inf
                    body = await ask(params={"limit": str(size)} | params, most_bytes=most_bytes)
                except TooLarge:
                    size = max(size // FEWER, 1)
                    continue
                except (TimedOut, ApiError) as error:
                    if size == 1 or not took_too_long(error):
                        raise
                    # Not more again: each try takes as long as we wait.
                    size = page_size = max(size // FEWER, 1)
                    continue
                page = decoded(body, ListOf[msgspec.Raw])
                items = [object_in(each, PartialObject) for each in page.items or ()]
                del body, page.items
                yield items, page.metadata.resource_version
                items.clear()
            if not page.metadata.continue_:
                return
            params["continue"] = page.metadata.continue_
            size = min(size * 2, page_size)

    async def pages(
        self, resource: Resource, namespace: str | None, type_: type[T], *, label_selector: str, page_size: int
    ) -> AsyncIterator[list[T]]:
        """List whole objects with a label, page by page."""
        params = {"limit": str(page_size), "labelSelector": label_selector}
        while True:
            body = await self._connection.request("GET", resource.path(namespace), params=params)
            page: ListOf[T] = decoded(body, ListOf[type_])  # type: ignore[valid-type]
            yield page.items or []
            if not page.metadata.continue_:
                return
            params["continue"] = page.metadata.continue_

    async def table(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        page_size: int,
        continue_: str = "",
        field_selector: str = "",
    ) -> TablePage:
        """One page of a LIST, as `kubectl get` prints it: what each object says of itself in its columns, and nothing else.

        Args:
            resource: what is listed.
            namespace: where; None: in all of them.
            page_size: at most so many.
            continue_: of the page before.
            field_selector: which of them; the API server chooses.

        Raises:
            Expired: the continue token is too old; begin anew.
        """
        given = {"continue": continue_, "fieldSelector": field_selector}
        params = {"limit": str(page_size), "includeObject": "None"} | {key: each for key, each in given.items() if each}
        body = await self._connection.request(
            "GET", resource.path(namespace), params=params, headers={"Accept": TABLE_ONLY}
        )
        return decoded(body, Table).page()

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
        """Watch metadata only from a resourceVersion on; ends when the API server ends it.

        Without a resourceVersion it begins with a streaming list: all that there is, and a BOOKMARK with `ends_list`.

        Raises:
            Expired: list again.
            Unavailable: the connection broke, or nothing came for as long as `silence`.
        """
        params = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(random.randint(240, 360)),  # noqa: S311 - spreads the reconnects of many watches
            "fieldSelector": field_selector,
            **({"resourceVersion": resource_version} if resource_version else STREAMING_LIST),
        } | _labelled(label_selector)
        headers = {"Accept": _METADATA_ONLY}
        watch = self._connection.watch(resource.path(namespace), params=params, headers=headers, silence=silence)
        async with aclosing(watch) as lines:
            async for line in lines:
                yield watch_event(line, PartialObject)


def took_too_long(error: Unavailable | ApiError) -> bool:
    """Whether no answer came in time, or the API server gave up what was asked."""
    return isinstance(error, TimedOut) or (isinstance(error, ApiError) and error.status == HTTPStatus.GATEWAY_TIMEOUT)


def _labelled(selector: str) -> dict[str, str]:
    return {"labelSelector": selector} if selector else {}


def _write_params(manager: str, dry_run: bool) -> dict[str, str]:
    params = {"fieldManager": manager}
    if dry_run:
        params["dryRun"] = "All"
    return params
