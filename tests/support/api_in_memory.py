"""An API server in memory, for unit tests: what it stores, what it refuses and in which words, what a watch is told.

tests/cluster/test_api_in_memory.py plays one script of calls here and on a real API server, and compares the answers. What is
not in that script is not promised. Left out is what our processes do not use, and what takes a schema: the CRD's validation.
"""

import copy
import itertools
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec

from datasource.api.clock import rfc3339
from datasource.cluster.api_errors import Conflict, Expired, NotFound
from datasource.cluster.resources import Resource
from tests.support.api_ownership import Ownership
from tests.support.api_rules import (
    OF_THE_SERVER,
    Manifest,
    defaulted,
    has_status,
    kind_of,
    labelled,
    modified,
    patched,
    qualified,
    replaced,
    selected,
    validate,
)

BY_HAND = "by-hand"
"""Who manages what nobody says they manage."""


class Address(NamedTuple):
    """Where an object is."""

    plural: str
    namespace: str
    name: str


@dataclass(frozen=True)
class Change:
    """What a watch is told."""

    version: int
    type: Literal["ADDED", "MODIFIED", "DELETED"]
    address: Address
    object: Manifest
    before: Manifest | None = None

    def as_told(self, is_wanted: Callable[[Manifest], bool]) -> "Change | None":
        """What a watch with a selector is told of it: an object that is not selected any more is gone, as it was before."""
        was_there = self.before is not None and is_wanted(self.before)
        if self.type != "DELETED" and is_wanted(self.object):
            return replace(self, type="MODIFIED" if was_there else "ADDED")
        if self.before is None or not was_there:
            return None
        version = {"resourceVersion": str(self.version)}
        return replace(self, type="DELETED", object=self.before | {"metadata": self.before["metadata"] | version})


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class ApiServerInMemory:
    """Objects under their addresses. Whoever is not a client of it arranges them by hand, or with `put` and `remove`."""

    objects: dict[Address, Manifest] = field(default_factory=dict)
    now: Callable[[], datetime] = _now
    history: list[Change] = field(default_factory=list)
    admit: Callable[[Resource, Manifest, Manifest | None], None] = lambda *_: None
    """Somebody's admission: it is shown an object and the one before, and alters it, or refuses it with an ApiError."""
    changed: list[Callable[[], None]] = field(default_factory=list)
    """Called after each change: whoever waits for one."""
    _versions: Iterator[int] = field(default_factory=lambda: itertools.count(101))
    version: int = 100
    _compacted: int = 0
    _owners: dict[Address, Ownership] = field(default_factory=dict)

    # By hand.

    def put(self, resource: Resource, namespace: str, name: str, **content: Any) -> None:
        """Create or replace an object, under a new resourceVersion; what `metadata` says of it stands."""
        address = Address(resource.plural, namespace, name)
        before = self.objects.get(address)
        uid = str(uuid.uuid4()) if before is None else before["metadata"]["uid"]
        whole = _as_json(content)
        whole["metadata"] = {"uid": uid, **whole.get("metadata", {}), "namespace": namespace, "name": name}
        self._store(address, "ADDED" if before is None else "MODIFIED", whole, whole["metadata"].get("resourceVersion"))

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        """Have an object be gone, whatever its finalizers say."""
        self._remove(Address(resource.plural, namespace, name))

    def stored(self, resource: Resource) -> list[Manifest]:
        """Every object of a resource."""
        return [content for address, content in self.objects.items() if address[0] == resource.plural]

    def managed_fields(self, resource: Resource, namespace: str, name: str) -> list[Manifest]:
        """Who owns which field of an object. It is left out of the answers: hardly anybody reads it, and it is long."""
        return self._owned(Address(resource.plural, namespace, name)).managed_fields()

    def compact(self) -> None:
        """Forget what was before now: watches from there on have to list again."""
        self._compacted = self.version

    # The verbs.

    def read(self, resource: Resource, namespace: str, name: str) -> Manifest:
        """GET."""
        return copy.deepcopy(self._object(resource, namespace, name))

    def create(
        self,
        resource: Resource,
        namespace: str,
        manifest: Mapping[str, Any],
        *,
        manager: str = BY_HAND,
        dry_run: bool = False,
    ) -> Manifest:
        """POST."""
        created = _as_json(manifest)
        address = Address(resource.plural, namespace, created["metadata"]["name"])
        if address in self.objects:
            leaving = "deletionTimestamp" in self.objects[address]["metadata"]
            what = f'{qualified(resource)} "{address.name}" already exists'
            raise Conflict(409, "AlreadyExists", f"object is being deleted: {what}" if leaving else what)
        given = {key: value for key, value in created["metadata"].items() if key not in OF_THE_SERVER}
        created["metadata"] = given | {
            "name": address.name,
            "namespace": namespace,
            "uid": str(uuid.uuid4()),
            "creationTimestamp": rfc3339(self.now()),
            **({"generation": 1} if has_status(resource) else {}),
        }
        if has_status(resource):
            created.pop("status", None)
        created = defaulted(resource, created)
        self._check(resource, created, None)
        if dry_run:
            return created
        self._owners[address] = Ownership()
        self._owners[address].updated(manager, None, created)
        return self._store(address, "ADDED", created)

    def merge_patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Mapping[str, Any],
        *,
        manager: str = BY_HAND,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> Manifest:
        """PATCH (RFC 7386). With a resourceVersion it is a compare-and-swap."""
        before = self._object(resource, namespace, name)
        address = Address(resource.plural, namespace, name)
        asked = _as_json(patch)
        if (asked.get("metadata") or {}).get("resourceVersion") not in {
            None,
            "",
            before["metadata"]["resourceVersion"],
        }:
            why = "the object has been modified; please apply your changes to the latest version and try again"
            raise modified(qualified(resource), name, why)
        after = defaulted(resource, patched(resource, before, asked, subresource))
        self._check(resource, after, before)
        if dry_run:
            return after
        self._owned(address).updated(manager, before, after)
        return self._change(address, before, after)

    def apply(
        self, resource: Resource, namespace: str, name: str, manifest: Mapping[str, Any], *, manager: str
    ) -> Manifest:
        """Server-side apply, forced. It creates what does not exist."""
        address, asked = Address(resource.plural, namespace, name), _as_json(manifest)
        uid = asked.get("metadata", {}).get("uid")
        if address not in self.objects:
            if uid:
                why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                raise modified(qualified(resource), name, why)
            created = self.create(resource, namespace, asked)
            self._owners[address] = Ownership()
            self._owners[address].applied(manager, {}, asked)
            return created
        before = self._object(resource, namespace, name)
        ownership = copy.deepcopy(self._owned(address))
        after = ownership.applied(manager, before, asked)
        after["metadata"]["uid"] = uid or before["metadata"]["uid"]
        after = defaulted(resource, replaced(resource, before, after, None))
        self._check(resource, after, before)
        is_news = ownership != self._owned(address)
        self._owners[address] = ownership
        # Who owns what is written, too, though nothing else may have changed.
        return self._change(address, before, after, is_news=is_news)

    def _check(self, resource: Resource, after: Manifest, before: Manifest | None) -> None:
        self.admit(resource, after, before)
        validate(resource, after, before)

    def _owned(self, address: Address) -> Ownership:
        return self._owners.setdefault(address, Ownership())

    def _change(self, address: Address, before: Manifest, after: Manifest, *, is_news: bool = False) -> Manifest:
        if after == before and not is_news:
            return copy.deepcopy(before)
        if "deletionTimestamp" in after["metadata"] and not after["metadata"].get("finalizers"):
            self._remove(address)
            return after
        return self._store(address, "MODIFIED", after)

    def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> None:
        """DELETE, of exactly that object; where a finalizer holds it, it only is marked."""
        before = self._object(resource, namespace, name)
        address = Address(resource.plural, namespace, name)
        metadata = before["metadata"]
        for key, what, wanted, why in (
            ("uid", "UID", uid, "deleted and then recreated"),
            ("resourceVersion", "ResourceVersion", resource_version, "modified"),
        ):
            if wanted not in {None, metadata[key]}:
                raise modified(
                    kind_of(resource, before),
                    name,
                    f"the {what} in the precondition ({wanted}) does not match the {what} in record ({metadata[key]}). "
                    f"The object might have been {why}",
                )
        if not metadata.get("finalizers"):
            self._remove(address)
        elif "deletionTimestamp" not in metadata:
            marked = copy.deepcopy(before)
            marked["metadata"] |= {"deletionTimestamp": rfc3339(self.now()), "deletionGracePeriodSeconds": 0}
            if "generation" in metadata:
                marked["metadata"]["generation"] += 1
            self._store(address, "MODIFIED", marked)

    def listed(
        self, resource: Resource, namespace: str | None, field_selector: str = "", *, label_selector: str = ""
    ) -> tuple[list[Manifest], str]:
        """LIST of one namespace or of all, in the order of names, and the resourceVersion to watch from."""
        has_fields, has_labels = selected(resource, field_selector), labelled(label_selector)
        found = [
            (address, content)
            for address, content in self.objects.items()
            if address[0] == resource.plural
            and namespace in {None, "", address[1]}
            and has_fields(content)
            and has_labels(content)
        ]
        return [copy.deepcopy(content) for _, content in sorted(found, key=lambda each: each[0])], str(self.version)

    def changes(
        self, resource: Resource, namespace: str | None, field_selector: str, since: int, *, label_selector: str = ""
    ) -> list[Change]:
        """What a watch from there is told.

        Raises:
            Expired: that is too long ago.
        """
        if since < self._compacted:
            raise Expired(410, "Expired", f"too old resource version: {since} ({self._compacted})")
        has_fields, has_labels = selected(resource, field_selector), labelled(label_selector)
        happened = (
            each.as_told(lambda content: has_fields(content) and has_labels(content))
            for each in self.history
            if each.version > since
            and each.address.plural == resource.plural
            and namespace in {None, "", each.address.namespace}
        )
        return [each for each in happened if each is not None]

    # How it is kept.

    def _object(self, resource: Resource, namespace: str, name: str) -> Manifest:
        try:
            return self.objects[Address(resource.plural, namespace, name)]
        except KeyError:
            raise NotFound(404, "NotFound", f'{qualified(resource)} "{name}" not found') from None

    def _store(
        self, address: Address, type_: Literal["ADDED", "MODIFIED"], content: Manifest, version: str | None = None
    ) -> Manifest:
        self.version = next(self._versions)
        content["metadata"]["resourceVersion"] = version or str(self.version)
        before = self.objects.get(address)
        self.objects[address] = content
        self._tell(type_, address, content, before)
        return copy.deepcopy(content)

    def _remove(self, address: Address) -> None:
        content = self.objects.pop(address)
        self._owners.pop(address, None)
        self.version = next(self._versions)
        self._tell("DELETED", address, content, content)

    def _tell(
        self,
        type_: Literal["ADDED", "MODIFIED", "DELETED"],
        address: Address,
        content: Manifest,
        before: Manifest | None,
    ) -> None:
        told_of = Change(self.version, type_, Address(*address), copy.deepcopy(content), copy.deepcopy(before))
        self.history.append(told_of)
        for told in list(self.changed):
            told()


def _as_json(manifest: Mapping[str, Any]) -> Manifest:
    plain: Manifest = msgspec.json.decode(msgspec.json.encode(manifest))
    return plain
