"""What the API server answers: lists, events of watches and objects, decoded straight into structs. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import msgspec

from datasource.cluster.api_errors import Status, Unavailable, api_error
from datasource.cluster.lean import Json, lean

T = TypeVar("T")

_INITIAL_EVENTS_END = "k8s.io/initial-events-end"
"""The annotation of the bookmark that ends a streaming list (metav1.InitialEventsAnnotationKey)."""


class ListMetadata(msgspec.Struct, rename="camel"):
    """`metadata` of a list; `continue_` is empty on the last page."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class ListOf(msgspec.Struct, Generic[T]):
    """A page of a list."""

    metadata: ListMetadata
    items: list[T] | None = None  # null where there are none


class _WatchEvent(msgspec.Struct):
    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: msgspec.Raw


@dataclass(frozen=True, slots=True)
class WatchEvent(Generic[T]):
    """One event of a watch; a BOOKMARK carries only a resourceVersion."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: T
    ends_list: bool = False
    """Whether it is the BOOKMARK after all that there is."""


def decoded(content: Json, type_: type[T]) -> T:
    """Decode an answer.

    Raises:
        Unavailable: it is not what the API server sends; somebody between answered.
    """
    try:
        return msgspec.json.decode(content, type=type_)
    except (ValueError, RecursionError) as error:
        raise Unavailable(f"the answer cannot be read: {type(error).__name__}") from error


def object_in(content: Json, type_: type[T], *, unread: Collection[str] = ("labels",)) -> T:
    """The same of an object, which may be large: what stands in `unread` of its metadata is then passed over.

    Raises:
        Unavailable: as above.
    """
    try:
        content = lean(content, unread=unread)
    except (ValueError, RecursionError) as error:
        raise Unavailable(f"the answer cannot be read: {type(error).__name__}") from error
    return decoded(content, type_)


def watch_event(line: Json, type_: type[T], *, unread: Collection[str] = ("labels",)) -> WatchEvent[T]:
    """One line of a watch. What the type needs besides `metadata` must have a default: a bookmark has nothing else.

    What stands in `unread` of the metadata of a large object is passed over.

    Raises:
        ApiError: it tells of an error.
        Unavailable: it cannot be read.
    """
    event = decoded(line, _WatchEvent)
    if event.type == "ERROR":
        status = decoded(event.object, Status)
        raise api_error(status.code or 500, status)
    if event.type == "BOOKMARK":
        metadata = decoded(event.object, _Bookmark).metadata
        raw = {"metadata": {"name": "", "resourceVersion": metadata.resource_version}}
        ends_list = metadata.annotations.get(_INITIAL_EVENTS_END) == "true"
        return WatchEvent("BOOKMARK", msgspec.convert(raw, type_), ends_list)
    return WatchEvent(event.type, object_in(event.object, type_, unread=unread))


class _BookmarkMetadata(msgspec.Struct, rename="camel"):
    resource_version: str
    annotations: dict[str, str] = {}


class _Bookmark(msgspec.Struct):
    metadata: _BookmarkMetadata
