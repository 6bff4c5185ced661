"""Structs as bytes: what is kept of a hundred thousand Datasources and is looked at now and then. Pure.

A struct is packed by position, without the names of its fields, so a field at its default takes one byte. Nothing that is
packed outlives the process: the format is nobody's to read but ours.
"""

from functools import cached_property, lru_cache
from types import UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin

import msgspec

S = TypeVar("S", bound=msgspec.Struct)

RECENT = 256
"""How many structs of a type are kept unpacked: what is worked on is looked at several times in a row."""


class Packing(Generic[S]):
    """Packs structs of one type."""

    def __init__(self, type_: type[S]) -> None:
        self._type = type_
        self.recent = lru_cache(maxsize=RECENT)(self.unpacked)
        """As `unpacked`, for who may ask for the same again soon."""

    def packed(self, struct: S) -> bytes:
        """A struct as bytes."""
        return msgspec.msgpack.encode(msgspec.convert(struct, self._row, from_attributes=True))

    def unpacked(self, packed: bytes) -> S:
        """The struct again."""
        return msgspec.convert(msgspec.msgpack.decode(packed, type=self._row), self._type, from_attributes=True)

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
