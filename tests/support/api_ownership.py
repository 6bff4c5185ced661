"""Pure: who owns which field of an object (server-side apply). A field is a path; elements of some lists are fields, too."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Manifest = dict[str, Any]

Path = tuple[str, ...]
Owner = tuple[str, str]
"""A field manager, and whether it applied or updated: the API server keeps the two apart."""

KEYED_LISTS: dict[Path, str | None] = {("metadata", "finalizers"): None, ("metadata", "ownerReferences"): "uid"}
"""Lists whose elements are fields of their own, and by what they are told apart; None: by themselves."""

METADATA = ("labels", "annotations", "finalizers", "ownerReferences")


def fields(content: Mapping[str, Any]) -> dict[Path, Any]:
    """Every field that somebody can own, with its value."""
    metadata = {key: each for key, each in content.get("metadata", {}).items() if key in METADATA}
    owned = {key: each for key, each in content.items() if key not in {"apiVersion", "kind", "metadata", "status"}}
    return dict(_fields_below((), owned | {"metadata": metadata}))


def _fields_below(path: Path, value: Any) -> Iterable[tuple[Path, Any]]:
    if path in KEYED_LISTS:
        yield from (((*path, _key(path, each)), each) for each in value)
    elif isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _fields_below((*path, key), each)
    elif path != ("metadata",):
        yield path, value


def _key(path: Path, element: Any) -> str:
    by = KEYED_LISTS[path]
    return str(element if by is None else element[by])


def with_fields(content: Manifest, wanted: Mapping[Path, Any]) -> Manifest:
    """An object in which these fields have these values."""
    result = copy.deepcopy(content)
    for path, value in wanted.items():
        *above, last = path
        if tuple(above) in KEYED_LISTS:
            _put_into_list(result, tuple(above), last, value)
        elif value != {} or not isinstance(_below(result, above).get(last), dict):
            _below(result, above)[last] = copy.deepcopy(value)
    return result


def without_fields(content: Manifest, gone: Iterable[Path]) -> Manifest:
    """An object without these fields."""
    result = copy.deepcopy(content)
    for path in gone:
        *above, last = path
        if tuple(above) in KEYED_LISTS:
            *higher, name = above
            parent = _below(result, higher)
            parent[name] = [each for each in parent.get(name, []) if _key(tuple(above), each) != last]
        elif not isinstance(_below(result, above).get(last), dict) or not _below(result, above)[last]:
            # Who applied an empty map owns the map, and nothing that others have put into it.
            _below(result, above).pop(last, None)
    return result


def _below(content: Manifest, path: Iterable[str]) -> Manifest:
    for name in path:
        content = content.setdefault(name, {})
    return content


def _put_into_list(content: Manifest, path: Path, key: str, value: Any) -> None:
    *above, name = path
    elements = _below(content, above).setdefault(name, [])
    places = [number for number, each in enumerate(elements) if _key(path, each) == key]
    for number in places:
        elements[number] = value
    if not places:
        elements.append(value)


@dataclass
class Ownership:
    """Who owns which field of one object."""

    _owned: dict[Owner, set[Path]] = field(default_factory=dict)

    def updated(self, manager: str, before: Manifest | None, after: Manifest) -> None:
        """Somebody created or patched it: what changed is theirs alone."""
        old, new = fields(before or {}), fields(after)
        changed = {path for path, value in new.items() if path not in old or old[path] != value}
        self._taken(changed | (set(old) - set(new)))
        self._own((manager, "Update"), self._owned.get((manager, "Update"), set()) | changed)

    def applied(self, manager: str, before: Manifest, manifest: Manifest) -> Manifest:
        """What applying a manifest, forced, makes of it; what they applied before and nobody else owns is taken out."""
        owner, old, new = (manager, "Apply"), fields(before), fields(manifest)
        others = {path for each, owned in self._owned.items() if each != owner for path in owned}
        gone = self._owned.get(owner, set()) - set(new) - others
        self._taken({path for path, value in new.items() if path in old and old[path] != value} | gone)
        self._own(owner, set(new))
        return with_fields(without_fields(before, gone), new)

    def managed_fields(self) -> list[Manifest]:
        """`metadata.managedFields`, as far as our processes read it."""
        return [
            {"manager": manager, "operation": operation, "fieldsV1": _fields_v1(paths)}
            for (manager, operation), paths in self._owned.items()
        ]

    def _own(self, owner: Owner, paths: set[Path]) -> None:
        """Who owns nothing is not remembered."""
        owned = self._owned | {owner: paths}
        self._owned = {each: theirs for each, theirs in owned.items() if theirs}

    def _taken(self, paths: set[Path]) -> None:
        for owned in self._owned.values():
            owned -= paths


def _fields_v1(paths: Iterable[Path]) -> Manifest:
    """A set of fields as a tree, in which each key stands as `f:<key>`."""
    tree: Manifest = {}
    for path in paths:
        below = tree
        for key in path:
            below = below.setdefault(f"f:{key}", {})
    return tree
