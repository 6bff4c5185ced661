"""Structs as bytes: what is kept of a hundred thousand Datasources and is looked at now and then. Pure.

A struct is packed by position, without the names of its fields, so a field at its default takes one byte. Its resourceVersion
stands before it: each watch event is compared with that. Nothing that is packed outlives the process: the format is nobody's to
read but ours.
"""

from collections.abc import Callable
from functools import cached_property, lru_cache
from types import UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin

import msgspec

S = TypeVar("S", bound=msgspec.Struct)

RECENT = 256
"""How many structs of a type are kept unpacked: what is worked on is looked at several times in a row."""


_VERSION_BYTES = 8
"""etcd counts in 64 bits."""


def version_in(packed: bytes) -> int:
    """The resourceVersion of what is packed. Nothing is unpacked for that."""
    return int.from_bytes(packed[:_VERSION_BYTES], "big")


def _without_version(_: object) -> str:
    return "0"


class Packing(Generic[S]):
    """Packs structs of one type; `version` tells the resourceVersion of one."""

    def __init__(self, type_: type[S], version: Callable[[S], str] = _without_version) -> None:
        self._type = type_
        self._version = version
        self.recent = lru_cache(maxsize=RECENT)(self.unpacked)
        """As `unpacked`, for who may ask for the same again soon."""

    def packed(self, struct: S) -> bytes:
        """A struct as bytes."""
        version = int(self._version(struct) or "0").to_bytes(_VERSION_BYTES, "big")
        return version + msgspec.msgpack.encode(msgspec.convert(struct, self._row, from_attributes=True))

    def unpacked(self, packed: bytes) -> S:
        """The struct again."""
        row = msgspec.msgpack.decode(memoryview(packed)[_VERSION_BYTES:], type=self._row)
        return msgspec.convert(row, self._type, from_attributes=True)

    @cached_property
    def _row(self) -> Any:
        return _row_of(self._type)


@lru_cache
def _row_of(type_: Any) -> Any:
    """The type by position: structs in it, however deep, are arrays."""
    origin = get_origin(type_)
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        fields = [(each.name, _row_of(each.type)) for each in msgspec.structs.fields(type_)]
        return msgspec.defstruct(f"{type_.__name__}Row", fields, array_like=True, frozen=True)
    if origin is None:
        return type_
    parts = tuple(_row_of(each) for each in get_args(type_))
    return Union[parts] if origin in {Union, UnionType} else origin[parts]  # noqa: UP007 - made of parts
