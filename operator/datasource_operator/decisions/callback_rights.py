"""The rights of the callback server in a namespace: only the objects that its Datasources need, by name. Pure.

They are in Roles with fixed names. Up to 64 KiB of names are in one Role. For more names there are 2, 4 or 8 Roles. A hash of
the Datasource's name decides which Role it is in. So only one Role is rewritten when a Datasource is created or deleted.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from sys import intern
from typing import Any, NamedTuple

import msgspec

from datasource.api.names import callback_rights_name, credential_secret_name
from datasource.api.objects import Metadata
from datasource.api.spelling import spelled

MOST_ROLES = 8
"""The most Roles of a namespace. The operator's own rights and its policy name each of them."""

_NAMES_PER_ROLE = 64 * 1024
"""Bytes of names for one Role. Beyond that there are more Roles, because an object may have about 1 MiB."""

RBAC = "rbac.authorization.k8s.io"
LABELS = {"app.kubernetes.io/part-of": "datasource-operator", "datasource.dev/rights-of": "callback-server"}
LABEL_SELECTOR = "datasource.dev/rights-of=callback-server"


class Needs(NamedTuple):
    """The names of the objects that one Datasource needs, beside its credential Secret."""

    secret: str | None = None
    """The Secret with the client secret or the private key."""
    config_map: str | None = None
    """The ConfigMap with the CA bundle."""
    header_secrets: tuple[str, ...] = ()
    """The Secrets with values of headers."""


class ServiceAccount(NamedTuple):
    """The ServiceAccount that gets the rights."""

    namespace: str
    name: str


class PolicyRule(msgspec.Struct, frozen=True, rename=spelled):
    """One rule of a Role."""

    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()


class Subject(msgspec.Struct, frozen=True, rename=spelled):
    """An account that a RoleBinding gives rights to."""

    kind: str = ""
    name: str = ""
    namespace: str = ""
    api_group: str = ""


class RoleRef(msgspec.Struct, frozen=True, rename=spelled):
    """The Role that a RoleBinding gives."""

    api_group: str = ""
    kind: str = ""
    name: str = ""


class StoredRole(msgspec.Struct, frozen=True):
    """A Role as the API server has it."""

    metadata: Metadata
    rules: tuple[PolicyRule, ...] | None = None


class StoredRoleBinding(msgspec.Struct, frozen=True, rename=spelled):
    """A RoleBinding as the API server has it."""

    metadata: Metadata
    role_ref: RoleRef = RoleRef()
    subjects: tuple[Subject, ...] | None = None


Rules = tuple[PolicyRule, ...]


def needs_of(spec: Mapping[str, Any]) -> Needs:
    """The names in a spec, even if the spec is invalid. So far only the API server has checked it, against the schema."""
    oauth2 = spec.get("oauth2") or {}
    secret = _name_in(oauth2, "clientSecretRef") or _name_in(oauth2, "privateKeyRef")
    return _shared(Needs(secret, _name_in(oauth2, "caBundleRef"), _names_in_headers(oauth2)))


def roles_for(needs: Mapping[str, Needs]) -> dict[int, Rules]:
    """The rules of each Role of a namespace, by number; nothing where there is no Datasource."""
    names: dict[int, list[str]] = {}
    count = _how_many(needs)
    for name in needs:
        names.setdefault(_number_of(name, count), []).append(name)
    return {number: tuple(_rules(found, needs)) for number, found in names.items()}


def bytes_of(name: str, needs: Needs) -> int:
    """The bytes that the names of one Datasource take."""
    named = (credential_secret_name(name), needs.secret or "", needs.config_map or "", *needs.header_secrets)
    return sum(map(len, named))


def digest(rules: Rules) -> bytes:
    """A hash of rules, which is equal for equal rules."""
    return hashlib.sha256(msgspec.json.encode(rules)).digest()[:16]


def role_manifest(number: int, rules: Rules) -> dict[str, Any]:
    """A Role, for a server-side apply."""
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "Role",
        "metadata": {"name": callback_rights_name(number), "labels": LABELS},
        "rules": [msgspec.to_builtins(rule) for rule in rules],
    }


def role_binding_manifest(number: int, account: ServiceAccount) -> dict[str, Any]:
    """The RoleBinding of that Role, for a server-side apply."""
    name = callback_rights_name(number)
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "labels": LABELS},
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account.name, "namespace": account.namespace}],
    }


def number_in(name: str) -> int | None:
    """The number in the name of a Role or RoleBinding of ours; None for any other name."""
    return _NUMBERS.get(name)


def binds(binding: StoredRoleBinding, account: ServiceAccount) -> bool:
    """Whether a RoleBinding gives the Role of its own name to the account, and to no other account."""
    return binding.role_ref == RoleRef(RBAC, "Role", binding.metadata.name) and binding.subjects == (
        Subject("ServiceAccount", account.name, account.namespace),
    )


_NUMBERS = {callback_rights_name(number): number for number in range(MOST_ROLES)}


def _name_in(oauth2: object, field: str) -> str | None:
    reference = oauth2.get(field) if isinstance(oauth2, Mapping) else None
    name = reference.get("name") if isinstance(reference, Mapping) else None
    return intern(name) if isinstance(name, str) and name else None


def _names_in_headers(oauth2: object) -> tuple[str, ...]:
    headers = oauth2.get("tokenHeaders") if isinstance(oauth2, Mapping) else None
    found = (_name_in(header, "secretRef") for header in (headers if isinstance(headers, list) else ()))
    return tuple(dict.fromkeys(name for name in found if name))


@lru_cache(maxsize=4096)
def _shared(needs: Needs) -> Needs:
    """The first equal object, to save memory: many Datasources name the same Secret."""
    return needs


def _how_many(needs: Mapping[str, Needs]) -> int:
    size, count = sum(bytes_of(name, each) for name, each in needs.items()), 1
    while count < MOST_ROLES and size > count * _NAMES_PER_ROLE:
        count *= 2
    return count


def _number_of(name: str, count: int) -> int:
    return hashlib.sha256(name.encode()).digest()[0] % count


def _rules(names: Iterable[str], needs: Mapping[str, Needs]) -> Iterator[PolicyRule]:
    """The rules of one Role. A rule without names is left out, because it would apply to all objects."""
    found = sorted(names)
    yield PolicyRule(("",), ("secrets",), ("get", "patch"), tuple(credential_secret_name(name) for name in found))
    secrets = sorted({each for name in found for each in (needs[name].secret, *needs[name].header_secrets) if each})
    if secrets:
        yield PolicyRule(("",), ("secrets",), ("get",), tuple(secrets))
    config_maps = sorted({each for name in found if (each := needs[name].config_map)})
    if config_maps:
        yield PolicyRule(("",), ("configmaps",), ("get",), tuple(config_maps))
