"""Objects from the API server without what nobody reads. Pure.

Whoever may write an object may give it a megabyte of labels, owners and fields. To parse that takes up to a tenth of a second,
in which nothing else goes on; to pass over it takes two milliseconds. So it is taken out of the text before anything is parsed.
"""

from collections.abc import Callable, Collection

import msgspec

from datasource.api.names import FIELD_MANAGER
from datasource.api.objects import ManagedFields, OwnerReference, telling_owners

USUAL = 2**16
"""Bytes of an object; nothing is taken out of one that has no more."""


Json = bytes | memoryview | msgspec.Raw
"""A text that is decoded, or a part of one."""


class _Owner(msgspec.Struct):
    uid: str
    kind: str = ""


class _Entry(msgspec.Struct, rename={"fields_v1": "fieldsV1"}):
    manager: str = ""
    operation: str = ""
    subresource: str = ""
    fields_v1: msgspec.Raw = msgspec.Raw(b"{}")


class _Nothing(msgspec.Struct):
    """Whatever stands there is passed over."""


class _Described(msgspec.Struct, rename={"labels": "f:labels", "annotations": "f:annotations"}):
    labels: dict[str, _Nothing] | None = None
    annotations: dict[str, _Nothing] | None = None


class _Fields(msgspec.Struct, rename={"values": "f:data", "metadata": "f:metadata"}):
    values: dict[str, _Nothing] | None = None
    metadata: _Described | None = None


def lean(text: Json, *, unread: Collection[str] = ("labels",)) -> Json:
    """An object, as JSON: of a large one's metadata without `unread`, of its owners those that tell whose it is, and of fields
    ours.

    Raises:
        ValueError: it is no object.
    """
    if memoryview(text).nbytes <= USUAL:
        return text
    whole = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    if "metadata" not in whole:
        return text
    metadata = msgspec.json.decode(whole["metadata"], type=dict[str, msgspec.Raw])
    kept = {key: part for key, part in metadata.items() if key not in unread}
    for key, shorter in _SHORTER.items():
        if key in kept and memoryview(kept[key]).nbytes > USUAL:
            kept[key] = shorter(kept[key])
    return msgspec.json.encode(whole | {"metadata": kept})


def _telling(owners: msgspec.Raw) -> msgspec.Raw:
    found = msgspec.json.decode(owners, type=list[_Owner])
    return _text(telling_owners(tuple(OwnerReference(each.uid, each.kind) for each in found)))


def _ours(entries: msgspec.Raw) -> msgspec.Raw:
    found = msgspec.json.decode(entries, type=list[_Entry])
    return _text([_shortened(each) for each in found if each.manager == FIELD_MANAGER])


def _shortened(entry: _Entry) -> ManagedFields:
    fields = msgspec.json.decode(entry.fields_v1, type=_Fields)
    described = fields.metadata or _Described()
    told = {
        "f:data": fields.values,
        "f:metadata": {"f:labels": described.labels, "f:annotations": described.annotations},
    }
    return ManagedFields(entry.manager, entry.operation, entry.subresource, told)


def _text(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


_SHORTER: dict[str, Callable[[msgspec.Raw], msgspec.Raw]] = {"ownerReferences": _telling, "managedFields": _ours}
