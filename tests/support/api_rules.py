"""Pure: what the API server makes of a write before it stores it, and its words where it refuses one."""

import base64
import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from datasource.cluster.api_errors import Conflict, Invalid
from datasource.cluster.resources import Resource
from tests.support.merge_patch import merge_patched

Manifest = dict[str, Any]

OF_THE_SERVER = ("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "namespace", "name")
"""Metadata that nobody else sets."""

OMITTED_WHEN_EMPTY = ("labels", "annotations", "finalizers", "ownerReferences")

LARGEST_SECRET = 2**20
"""Bytes of data, decoded."""


def group_of(resource: Resource) -> str:
    return resource.prefix.removeprefix("/api/v1").removeprefix("/apis/").partition("/")[0]


def qualified(resource: Resource) -> str:
    """As messages name it: `secrets`, `leases.coordination.k8s.io`."""
    group = group_of(resource)
    return f"{resource.plural}.{group}" if group else resource.plural


def has_status(resource: Resource) -> bool:
    """Whether status is written apart, and a generation counts the rest: of what we use, only custom resources."""
    return group_of(resource) != "" and not group_of(resource).endswith(".k8s.io")


def kind_of(resource: Resource, content: Manifest) -> str:
    """As other messages name it: `Secret`, `Lease.coordination.k8s.io`."""
    kind, group = content.get("kind", resource.plural), group_of(resource)
    return f"{kind}.{group}" if group else str(kind)


def modified(what: str, name: str, why: str) -> Conflict:
    return Conflict(409, "Conflict", f'Operation cannot be fulfilled on {what} "{name}": {why}')


def patched(resource: Resource, before: Manifest, asked: Mapping[str, Any], subresource: str | None) -> Manifest:
    """What a merge patch makes of an object."""
    return replaced(resource, before, copy.deepcopy(merge_patched(before, asked)), subresource)


def replaced(resource: Resource, before: Manifest, after: Manifest, subresource: str | None) -> Manifest:
    """An object that stands in the place of another, as far as a write can say so."""
    kept = {key: before["metadata"][key] for key in OF_THE_SERVER if key in before["metadata"]}
    kept["uid"] = after["metadata"].get("uid") or kept["uid"]
    after["metadata"] = {key: each for key, each in after["metadata"].items() if key not in OF_THE_SERVER} | kept
    if not has_status(resource):
        return after
    if subresource == "status":
        return _with_status(before, after)
    after = _with_status(after, before)
    if _spec_of(after) != _spec_of(before):
        after["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
    return after


def _with_status(content: Manifest, other: Manifest) -> Manifest:
    """An object with the status of another."""
    whole = {key: value for key, value in content.items() if key != "status"}
    return copy.deepcopy(whole | ({"status": other["status"]} if "status" in other else {}))


def _spec_of(content: Manifest) -> Manifest:
    """All that a generation counts."""
    return {key: value for key, value in content.items() if key not in {"metadata", "status"}}


def defaulted(resource: Resource, content: Manifest) -> Manifest:
    """As it is stored: with defaults, and without what is empty."""
    metadata = {key: value for key, value in content["metadata"].items() if value or key not in OMITTED_WHEN_EMPTY}
    content = content | {"metadata": metadata}
    if resource.plural != "secrets":
        return content
    data = (content.get("data") or {}) | {
        key: _base64(value) for key, value in (content.get("stringData") or {}).items()
    }
    kept = {key: value for key, value in content.items() if key not in {"data", "stringData"}}
    return {"type": "Opaque"} | kept | ({"data": data} if data else {})


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def validate(resource: Resource, after: Manifest, before: Manifest | None) -> None:
    """Refuse what the API server's validation refuses."""
    problems = list(_problems(resource, after, before))
    if problems:
        what = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
        raise Invalid(422, "Invalid", f'{kind_of(resource, after)} "{after["metadata"]["name"]}" is invalid: {what}')


def _problems(resource: Resource, after: Manifest, before: Manifest | None) -> Iterator[str]:
    if before is not None:
        yield from _metadata_problems(after["metadata"], before["metadata"])
    match resource.plural:
        case "leases":
            yield from _lease_problems(after.get("spec", {}))
        case "rolebindings" if before is not None and after["roleRef"] != before["roleRef"]:
            # Named as in Go: that is how the API server prints it.
            named = {"APIGroup": "apiGroup", "Kind": "kind", "Name": "name"}
            shown = msgspec.json.encode({key: after["roleRef"][name] for key, name in named.items()}).decode()
            yield f"roleRef: Invalid value: {shown}: cannot change roleRef"
        case "secrets":
            yield from _secret_problems(after, before or {"type": after["type"]})


def _metadata_problems(after: Manifest, before: Manifest) -> Iterator[str]:
    if after["uid"] != before["uid"]:
        yield f'metadata.uid: Invalid value: "{after["uid"]}": field is immutable'
    new = [each for each in after.get("finalizers", ()) if each not in before.get("finalizers", ())]
    if new and "deletionTimestamp" in before:
        listed = ", ".join(f'"{each}"' for each in new)
        why = "no new finalizers can be added if the object is being deleted, found new finalizers"
        yield f"metadata.finalizers: Forbidden: {why} []string{{{listed}}}"


def _lease_problems(spec: Manifest) -> Iterator[str]:
    duration = spec.get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        yield f"spec.leaseDurationSeconds: Invalid value: {duration}: must be greater than 0"


def _secret_problems(after: Manifest, before: Manifest) -> Iterator[str]:
    if after["type"] != before["type"]:
        yield f'type: Invalid value: "{after["type"]}": field is immutable'
    if before.get("immutable"):
        if not after.get("immutable"):
            yield "immutable: Forbidden: field is immutable when `immutable` is set"
        if after.get("data") != before.get("data"):
            yield "data: Forbidden: field is immutable when `immutable` is set"
    if sum(len(base64.b64decode(each)) for each in after.get("data", {}).values()) > LARGEST_SECRET:
        yield f"data: Too long: may not be more than {LARGEST_SECRET} bytes"


def selected(resource: Resource, text: str) -> Callable[[Manifest], bool]:
    """What a field selector asks for (`metadata.name=a,type!=t`)."""
    terms = [_term(resource, each) for each in text.split(",") if each]
    return lambda content: all(fits(content) for fits in terms)


def labelled(text: str) -> Callable[[Manifest], bool]:
    """What a label selector asks for (`a=1,b=2`)."""
    wanted = dict(each.split("=", 1) for each in text.split(",") if each)
    return lambda content: wanted.items() <= content["metadata"].get("labels", {}).items()


def _term(resource: Resource, text: str) -> Callable[[Manifest], bool]:
    name, _, wanted = text.partition("=")
    is_not = name.endswith("!")
    name = name.removesuffix("!")
    if name in {"metadata.name", "metadata.namespace"}:
        key = name.removeprefix("metadata.")
        return lambda content: (content["metadata"][key] == wanted) is not is_not
    if resource.plural == "secrets" and name == "type":
        return lambda content: (content.get("type", "Opaque") == wanted) is not is_not
    raise Invalid(400, "BadRequest", f"field label not supported: {name}")
