"""I/O: the verbs we need of the Kubernetes API, thin and typed, on one aiohttp session.

Configuration and login are kubernetes.aio's; its API classes are not used, because they cost more than twice the CPU of a
bare session (docs/decisions.md#kubernetes-client). Answers are decoded straight into typed structs.
"""

import asyncio
import logging
import math
import os
import random
import re
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, Literal, TypeVar

import aiohttp
import msgspec
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import load_incluster_config, load_kube_config

from datasource.api.names import GROUP, PLURAL, VERSION
from datasource.api.objects import PartialObject
from datasource.outbound.proxies import proxies_in

logger = logging.getLogger(__name__)

T = TypeVar("T")

REQUEST_TIMEOUT = timedelta(seconds=20)
CONNECT_TIMEOUT = timedelta(seconds=5)

REQUESTS_IN_FLIGHT = 64
"""Connections for requests. Watches have others: there are two for each namespace that is served."""

_TOKEN_LIFETIME = 60.0
_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
_METADATA_LIST_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


class ApiError(Exception):
    """The API server refused; `status` is HTTP's, `reason` Kubernetes' (metav1.Status)."""

    def __init__(self, status: int, reason: str, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class NotFound(ApiError):
    """404."""


class Forbidden(ApiError):
    """403: RBAC or an admission policy."""


class Conflict(ApiError):
    """409: it exists already, or somebody wrote meanwhile."""


class Invalid(ApiError):
    """400 or 422: the API server does not accept the object, for example because it is immutable."""


class Expired(ApiError):
    """410: the resourceVersion is too old to go on from."""


class Unavailable(Exception):
    """No answer, or none that says what happened: a write may or may not have been done; re-read to know."""

    retry_after: timedelta | None = None
    """As an ApiError has it; nobody asked for a pause here."""


_ERRORS: Mapping[int, type[ApiError]] = {
    400: Invalid,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Expired,
    422: Invalid,
}


class _Status(msgspec.Struct):
    reason: str = ""
    message: str = ""
    code: int = 0


class _ListMetadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _List(msgspec.Struct, Generic[T]):
    metadata: _ListMetadata
    items: list[T] | None = None  # null where there are none


class _WatchEvent(msgspec.Struct):
    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: msgspec.Raw


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


@dataclass(frozen=True, slots=True)
class WatchEvent(Generic[T]):
    """One event of a watch; a BOOKMARK carries only a resourceVersion."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: T


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of the API: the path of its group and version, and its plural."""

    prefix: str
    plural: str

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """The path of a collection (no name), an object or its subresource."""
        parts = [self.prefix]
        if namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


SECRETS = Resource("/api/v1", "secrets")
CONFIG_MAPS = Resource("/api/v1", "configmaps")
LEASES = Resource("/apis/coordination.k8s.io/v1", "leases")
EVENTS = Resource("/apis/events.k8s.io/v1", "events")
DATASOURCES = Resource(f"/apis/{GROUP}/{VERSION}", PLURAL)


async def login(kubeconfig: str | None = None) -> Configuration:
    """Where the API server is and how to log in: a named kubeconfig, else the pod's ServiceAccount, else $KUBECONFIG.

    Raises:
        ConfigException: none of them is usable.
    """
    configuration = Configuration()
    if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        load_incluster_config(client_configuration=configuration, try_refresh_token=False)
    else:
        await load_kube_config(config_file=kubeconfig, client_configuration=configuration, persist_config=False)
    return configuration


def bearer_token(configuration: Configuration) -> str | None:
    """The bearer token of a login, without the scheme; None where it uses a client certificate."""
    header = configuration.api_key.get("BearerToken") or configuration.api_key.get("authorization")
    return None if header is None else header.partition(" ")[2].strip()


def _credentials(configuration: Configuration) -> dict[str, str]:
    """The header that goes with every request."""
    token = bearer_token(configuration)
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def ssl_context(configuration: Configuration) -> ssl.SSLContext:
    """The TLS settings of a login."""
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Kube:
    """A connection to the API server. Use it as an async context manager.

    Every method raises ApiError (or a subclass of it) for a refusal, and Unavailable where no answer came.
    """

    def __init__(self, kubeconfig: str | None = None, *, user_agent: str) -> None:
        self._kubeconfig = kubeconfig
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession
        self._watches: aiohttp.ClientSession
        self._configuration: Configuration
        self._credentials: dict[str, str]
        self._token_read_at = -math.inf
        self.answered_at = 0.0
        """When the API server last answered, by the monotonic clock."""

    async def __aenter__(self) -> "Kube":
        self._configuration = await login(self._kubeconfig)
        self._credentials = _credentials(self._configuration)
        self._token_read_at = time.monotonic()
        # A watch holds its connection for minutes: it has a session of its own, so that it takes none from requests.
        self._session, self._watches = self._new_session(REQUESTS_IN_FLIGHT), self._new_session(0)
        return self

    def _new_session(self, connections: int) -> aiohttp.ClientSession:
        """A session with so many connections at the most; 0: as many as are asked for."""
        return aiohttp.ClientSession(
            base_url=self._configuration.host.rstrip("/") + "/",
            connector=aiohttp.TCPConnector(ssl=ssl_context(self._configuration), limit=connections),
            # Not trust_env: aiohttp would look into the environment, and for a netrc, in a thread for every request.
            proxy=proxies_in(os.environ).proxy_for(self._configuration.host),
            read_bufsize=2**18,
            headers={"User-Agent": self._user_agent},
            # Not `connect`: that would end a request that waits for others to give their connections back.
            timeout=aiohttp.ClientTimeout(
                total=REQUEST_TIMEOUT.total_seconds(), sock_connect=CONNECT_TIMEOUT.total_seconds()
            ),
        )

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(self._session.close(), self._watches.close())

    async def get(
        self, resource: Resource, namespace: str, name: str, type_: type[T], *, metadata_only: bool = False
    ) -> T:
        """Read an object live (a quorum read)."""
        accept = _METADATA_ONLY if metadata_only else "application/json"
        body = await self._request("GET", resource.path(namespace, name), headers={"Accept": accept})
        return _decoded(body, type_)

    async def version(self) -> ServerVersion:
        """Which Kubernetes the API server is."""
        return _decoded(await self._request("GET", "/version"), ServerVersion)

    async def serves(self, resource: Resource) -> bool:
        """Whether discovery tells of a resource: it does not while its CRD is missing, or was made a moment ago."""
        _, _, group, version = resource.prefix.split("/")
        groups = _decoded(await self._request("GET", "/apis"), _Groups).groups
        if not any(each.name == group for each in groups):
            return False
        try:
            found = _decoded(await self._request("GET", f"/apis/{group}/{version}"), _Resources)
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
        """POST a new object."""
        body = await self._request(
            "POST", resource.path(namespace), params=_write_params(manager, dry_run), body=manifest
        )
        return _decoded(body, type_)

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
        body = await self._request(
            "PATCH",
            resource.path(namespace, name, subresource),
            params=_write_params(manager, dry_run),
            headers={"Content-Type": "application/merge-patch+json"},
            body=patch,
        )
        return _decoded(body, type_)

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
        body = await self._request(
            "PATCH",
            resource.path(namespace, name),
            params={**_write_params(manager, dry_run=False), "force": "true"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            body=manifest,
        )
        return _decoded(body, type_)

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str, resource_version: str) -> None:
        """Delete exactly the object that was seen: of several at once only one succeeds, the others get Conflict."""
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        await self._request("DELETE", resource.path(namespace, name), body={"preconditions": preconditions})

    async def list_metadata(
        self, resource: Resource, namespace: str | None, *, field_selector: str = "", page_size: int = 500
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
        self, resource: Resource, namespace: str | None, *, field_selector: str = "", page_size: int = 500
    ) -> AsyncIterator[tuple[list[PartialObject], str]]:
        """The same page by page, for whoever keeps little of each: all of them at once take much memory.

        The resourceVersion is that of the whole list, the same with every page.
        """
        params = {"limit": str(page_size), "fieldSelector": field_selector}
        while True:
            body = await self._request(
                "GET", resource.path(namespace), params=params, headers={"Accept": _METADATA_LIST_ONLY}
            )
            page = _decoded(body, _List[PartialObject])
            yield page.items or [], page.metadata.resource_version
            if not page.metadata.continue_:
                return
            params["continue"] = page.metadata.continue_

    async def pages(
        self, resource: Resource, namespace: str | None, type_: type[T], *, label_selector: str, page_size: int
    ) -> AsyncIterator[list[T]]:
        """List whole objects with a label, page by page."""
        params = {"limit": str(page_size), "labelSelector": label_selector}
        while True:
            body = await self._request("GET", resource.path(namespace), params=params)
            page: _List[T] = _decoded(body, _List[type_])  # type: ignore[valid-type]
            yield page.items or []
            if not page.metadata.continue_:
                return
            params["continue"] = page.metadata.continue_

    async def watch_metadata(
        self, resource: Resource, namespace: str | None, *, field_selector: str, resource_version: str
    ) -> AsyncIterator[WatchEvent[PartialObject]]:
        """Watch metadata only from a resourceVersion on; ends when the API server ends it.

        Raises:
            Expired: list again.
            Unavailable: the connection broke, or nothing came for longer than bookmarks allow.
        """
        params = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(random.randint(240, 360)),  # noqa: S311 - spreads the reconnects of many watches
            "fieldSelector": field_selector,
            "resourceVersion": resource_version,
        }
        headers = {"Accept": _METADATA_ONLY, **await self._authorization()}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT.total_seconds(), sock_read=90)
        try:
            async with self._watches.get(
                resource.path(namespace).lstrip("/"),
                params=params,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                if response.status >= 300:
                    raise self._error(response, await response.read())
                async for line in _lines(response.content):
                    self.answered_at = time.monotonic()
                    yield _watch_event(line)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"watch of {resource.plural}: {type(error).__name__}: {error}") from error

    async def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> bytes:
        status, response, content = await self._send(method, path, params=params, headers=headers, body=body)
        if status == 401:
            # The token ran out under us; the file may hold a new one by now.
            self._token_read_at = -math.inf
            status, response, content = await self._send(method, path, params=params, headers=headers, body=body)
        if status >= 300:
            raise self._error(response, content)
        return content

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
    ) -> tuple[int, aiohttp.ClientResponse, bytes]:
        all_headers = {"Content-Type": "application/json", **(headers or {}), **await self._authorization()}
        data = None if body is None else msgspec.json.encode(body)
        try:
            async with self._session.request(
                method, path.lstrip("/"), params=params, headers=all_headers, data=data, allow_redirects=False
            ) as response:
                content = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"{method} {path}: {type(error).__name__}: {error}") from error
        self.answered_at = time.monotonic()
        return response.status, response, content

    async def _authorization(self) -> dict[str, str]:
        if time.monotonic() - self._token_read_at > _TOKEN_LIFETIME:
            try:
                self._configuration = await login(self._kubeconfig)
            except Exception as error:  # an empty or half-written kubeconfig makes the loader fall over in many ways
                logger.warning("could not read the API server login again: %s", error)
            self._token_read_at = time.monotonic()
            self._credentials = _credentials(self._configuration)
        return self._credentials

    @staticmethod
    def _error(response: aiohttp.ClientResponse, content: bytes) -> ApiError:
        try:
            status = msgspec.json.decode(content, type=_Status)
        except (ValueError, RecursionError):
            status = _Status(message=content[:200].decode(errors="replace"))
        return _api_error(response.status, status, response.headers.get("Retry-After"))


def _api_error(code: int, status: _Status, retry_after: str | None = None) -> ApiError:
    seconds = re.fullmatch("[0-9]{1,9}", retry_after or "")
    wait = None if seconds is None else timedelta(seconds=int(seconds[0]))
    return _ERRORS.get(code, ApiError)(code, status.reason, status.message, wait)


def _decoded(content: bytes | msgspec.Raw, type_: type[T]) -> T:
    """Decode an answer.

    Raises:
        Unavailable: it is not what the API server sends; somebody between answered.
    """
    try:
        return msgspec.json.decode(content, type=type_)
    except (ValueError, RecursionError) as error:
        raise Unavailable(f"the answer cannot be read: {type(error).__name__}") from error


def _watch_event(line: bytes) -> WatchEvent[PartialObject]:
    event = _decoded(line, _WatchEvent)
    if event.type == "ERROR":
        status = _decoded(event.object, _Status)
        raise _api_error(status.code or 500, status)
    if event.type == "BOOKMARK":
        return WatchEvent("BOOKMARK", _decoded(event.object, _Bookmark).as_object())
    return WatchEvent(event.type, _decoded(event.object, PartialObject))


class _BookmarkMetadata(msgspec.Struct, rename="camel"):
    resource_version: str


class _Bookmark(msgspec.Struct):
    metadata: _BookmarkMetadata

    def as_object(self) -> PartialObject:
        raw = {"metadata": {"name": "", "resourceVersion": self.metadata.resource_version}}
        return msgspec.convert(raw, PartialObject)


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length: a StreamReader's own iteration gives up at its buffer's size."""
    pending = bytearray()
    async for chunk in stream.iter_any():
        pending += chunk
        *lines, rest = pending.split(b"\n")
        pending = bytearray(rest)
        for line in lines:
            if line:
                yield bytes(line)


def _write_params(manager: str, dry_run: bool) -> dict[str, str]:
    params = {"fieldManager": manager}
    if dry_run:
        params["dryRun"] = "All"
    return params
