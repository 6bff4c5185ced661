"""What of a Datasource is kept, and how it is packed. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from datasource.api.names import Annotation
from datasource.api.objects import Datasource, Metadata, Status
from datasource.api.requests import shortened
from datasource_operator.packing import Packing

_REQUESTS = {Annotation.CLEAR_CREDENTIAL, Annotation.NEW_CREDENTIAL, Annotation.REFRESH}


class PackedSpec(Mapping[str, Any]):
    """A spec as JSON, which takes a quarter of the memory; unpacked by whoever looks into it."""

    __slots__ = ("packed",)

    def __init__(self, spec: "Mapping[str, Any] | bytes") -> None:
        self.packed: bytes = _as_json(spec)

    def __getitem__(self, key: str) -> Any:
        return self._unpacked()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._unpacked())

    def __len__(self) -> int:
        return len(self._unpacked())

    def _unpacked(self) -> dict[str, Any]:
        spec: dict[str, Any] = msgspec.json.decode(self.packed)
        return spec


def _as_json(spec: Mapping[str, Any] | bytes) -> bytes:
    if isinstance(spec, bytes):
        return spec
    return spec.packed if isinstance(spec, PackedSpec) else msgspec.json.encode(spec)


def trimmed(datasource: Datasource) -> Datasource:
    """A Datasource without what we never read: field ownership, labels and annotations of others."""
    metadata = datasource.metadata
    requests = {key: shortened(value) for key, value in metadata.annotations.items() if key in _REQUESTS}
    kept = msgspec.structs.replace(
        metadata, labels={}, annotations=requests, owner_references=(), finalizers=(), managed_fields=()
    )
    history = datasource.status.history
    # The last entry tells whether there is news.
    status = msgspec.structs.replace(datasource.status, history=history and history[-1:])
    return Datasource(metadata=kept, spec=PackedSpec(datasource.spec), status=status)


class _Kept(msgspec.Struct, frozen=True):
    metadata: Metadata
    spec: bytes
    status: Status


_PACKING = Packing(_Kept, lambda kept: kept.metadata.resource_version)


def packed(datasource: Datasource) -> bytes:
    """A Datasource as bytes."""
    return _PACKING.packed(_Kept(datasource.metadata, PackedSpec(datasource.spec).packed, datasource.status))


def unpacked(of_bytes: bytes) -> Datasource:
    """The Datasource again."""
    return _whole(_PACKING.unpacked(of_bytes))


def recent(of_bytes: bytes) -> Datasource:
    """The same, for who may ask for the same again soon."""
    return _whole(_PACKING.recent(of_bytes))


def _whole(kept: _Kept) -> Datasource:
    return Datasource(kept.metadata, PackedSpec(kept.spec), kept.status)
