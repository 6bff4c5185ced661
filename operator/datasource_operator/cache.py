"""What the operator remembers: trimmed Datasources, and the metadata of their Secrets, never a token.

A watch may show an older version of what we wrote a moment ago, which is passed over: resourceVersions of one resource are
ordered (Kubernetes guarantees it since 1.35, etcd always did).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from sys import intern
from typing import Any, NamedTuple, assert_never

import msgspec

from datasource.api.names import LONGEST_NAME, Annotation, Role, credential_secret_name
from datasource.api.objects import Condition, Datasource, Metadata, OwnerReference, Status, telling_owners
from datasource.api.requests import shortened
from datasource.records.contents import Contents, Leaving, StoredCredential, StoredTombstone, contents_in
from datasource.records.credential import Unreadable
from datasource.records.revocable_token import revocation_is_due
from datasource.records.token_secret import StoredTokenSecret, read_stored
from datasource_operator.served_scopes import Source


class Key(NamedTuple):
    """Namespace and name of a Datasource."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class _CachedCredential(NamedTuple):
    resource_version: str
    contents: Contents
    is_to_be_revoked: bool


@dataclass(slots=True)
class _Known:
    """All that is known about one key."""

    datasource: Datasource | None = None
    credential: _CachedCredential | None = None
    token_secrets: dict[str, StoredTokenSecret] = field(default_factory=dict)

    def is_empty(self) -> bool:
        return self.datasource is None and self.credential is None and not self.token_secrets

    def token_names(self, *, usual: bool) -> tuple[str, ...]:
        return tuple(name for name, each in self.token_secrets.items() if each.has_usual_type is usual)


@dataclass(slots=True)
class Cache:
    """Datasources and Secrets by the key of the Datasource that they belong to."""

    _known: dict[Key, _Known] = field(default_factory=dict)
    _belongs_to: dict[tuple[str, str], Key] = field(default_factory=dict)
    """By namespace and name of a Secret: the key that its annotation named when it was last seen."""

    def datasource(self, key: Key) -> Datasource | None:
        """The last version seen."""
        known = self._known.get(key)
        return None if known is None else known.datasource

    def credential(self, key: Key) -> Contents | None:
        """What the credential Secret holds."""
        known = self._known.get(key)
        return None if known is None or known.credential is None else known.credential.contents

    def revocation_is_due(self, key: Key) -> bool:
        """Whether a token in the credential Secret waits to be revoked; the Datasource may be gone."""
        known = self._known.get(key)
        return known is not None and known.credential is not None and known.credential.is_to_be_revoked

    def revocations_due(self) -> list[Key]:
        """The keys of which a token waits to be revoked."""
        return [key for key in self._known if self.revocation_is_due(key)]

    def token_secrets(self, key: Key) -> tuple[StoredTokenSecret, ...]:
        """Every token Secret that names this Datasource."""
        known = self._known.get(key)
        return () if known is None else tuple(known.token_secrets.values())

    def datasource_keys(self) -> list[Key]:
        """The keys of all Datasources."""
        return [key for key, known in self._known.items() if known.datasource is not None]

    def pairs(self) -> Iterator[tuple[Datasource, Contents | None]]:
        """Every Datasource with its credential, as of now; may be read from another thread."""
        for known in list(self._known.values()):
            datasource, credential = known.datasource, known.credential
            if datasource is not None:
                yield datasource, None if credential is None else credential.contents

    def store_datasource(self, datasource: Datasource) -> bool:
        """Remember a Datasource; False where that version, or a newer one, is known already."""
        key = Key(datasource.metadata.namespace, datasource.metadata.name)
        known = self._known_as(key)
        if known.datasource is not None and _is_known(datasource.metadata, known.datasource.metadata.resource_version):
            return False
        known.datasource = datasource
        return True

    def drop_datasource(self, key: Key, metadata: Metadata | None = None) -> bool:
        """Forget a Datasource; False where the one known is newer than the deletion."""
        known = self._known.get(key)
        if known is None or known.datasource is None:
            return False
        if metadata is not None and _is_older(metadata, known.datasource.metadata.resource_version):
            return False
        known.datasource = None
        self._tidy(key, known)
        return True

    def owner(self, metadata: Metadata) -> Key | None:
        """Whose a Secret was when it was last seen."""
        return self._belongs_to.get((metadata.namespace, metadata.name))

    def holder(self, namespace: str, name: str) -> Key | None:
        """Whose token Secret has that name; a copy is nobody's to give up."""
        key = self._belongs_to.get((namespace, name))
        held = () if key is None else self.token_secrets(key)
        return key if any(each.name == name and not each.is_copy for each in held) else None

    def store_secret(self, metadata: Metadata, *, has_usual_type: bool = True) -> Key | None:
        """Remember a Secret of ours by its metadata; returns whose it is, or was; None where nothing new was learnt."""
        # One of another type than ours is known by a label, and can only be a token Secret.
        metadata = _lean_metadata(metadata)
        key = _owner_key(metadata)
        before = self._belongs_to.get((metadata.namespace, metadata.name))
        if before is not None and before != key:
            # Somebody altered the annotation: what a restart would find must be found without one.
            self.drop_secret_named(before, metadata.name)
        if key is None:
            return before
        self._belongs_to[(metadata.namespace, metadata.name)] = key
        known = self._known_as(key)
        match metadata.annotations.get(Annotation.ROLE):
            case Role.CREDENTIAL if has_usual_type and metadata.name == credential_secret_name(key.name):
                if known.credential is not None and _is_known(metadata, known.credential.resource_version):
                    return None
                known.credential = _CachedCredential(
                    metadata.resource_version, _lean_contents(contents_in(metadata)), revocation_is_due(metadata)
                )
            case Role.TOKEN:
                stood = known.token_secrets.get(metadata.name)
                if stood is not None and _is_known(metadata, stood.resource_version):
                    return None
                known.token_secrets[metadata.name] = read_stored(metadata, has_usual_type=has_usual_type)
        return key

    def drop_secret(self, metadata: Metadata) -> Key | None:
        """Forget a Secret; returns whose it was."""
        key = _owner_key(metadata)
        known = None if key is None else self._known.get(key)
        if key is None or known is None:
            return None
        if metadata.name == credential_secret_name(key.name):
            if known.credential is not None and _is_older(metadata, known.credential.resource_version):
                return None
            known.credential = None
        else:
            stood = known.token_secrets.get(metadata.name)
            if stood is not None and _is_older(metadata, stood.resource_version):
                return None
            known.token_secrets.pop(metadata.name, None)
        self._belongs_to.pop((metadata.namespace, metadata.name), None)
        self._tidy(key, known)
        return key

    def hear(self, namespace: str, name: str, metadata: Metadata | None) -> None:
        """What the API server said of a Datasource's credential Secret; None: there is none."""
        if metadata is None:
            self.drop_secret_named(Key(namespace, name), credential_secret_name(name))
        else:
            self.store_secret(metadata)

    def secret_names(self, namespace: str | None = None) -> dict[Key, dict[Source, tuple[str, ...]]]:
        """Which Secrets are remembered, of one namespace or all, by the watch that shows them: lists may miss some."""
        return {
            key: {
                Source.CREDENTIALS: () if known.credential is None else (credential_secret_name(key.name),),
                Source.TOKENS: known.token_names(usual=True),
                Source.OTHER_TOKENS: known.token_names(usual=False),
            }
            for key, known in self._known.items()
            if namespace in {None, key.namespace}
        }

    def drop_secret_named(self, key: Key, name: str) -> None:
        """Forget a Secret that a full list, or a live read, no longer has."""
        self._belongs_to.pop((key.namespace, name), None)
        known = self._known.get(key)
        if known is None:
            return
        if name == credential_secret_name(key.name):
            known.credential = None
        else:
            known.token_secrets.pop(name, None)
        self._tidy(key, known)

    def _known_as(self, key: Key) -> _Known:
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _Known()
        return known

    def _tidy(self, key: Key, known: _Known) -> None:
        if known.is_empty():
            del self._known[key]


def trimmed(datasource: Datasource) -> Datasource:
    """A Datasource without what we never read: field ownership, labels and annotations of others."""
    metadata = datasource.metadata
    requests = {
        key: shortened(value)
        for key, value in metadata.annotations.items()
        if key in {Annotation.CLEAR_CREDENTIAL, Annotation.NEW_CREDENTIAL, Annotation.REFRESH}
    }
    kept = msgspec.structs.replace(
        _lean_metadata(metadata),
        uid=intern(metadata.uid),
        labels=_EMPTY,
        annotations=requests or _EMPTY,
        owner_references=(),
        finalizers=(),
        managed_fields=(),
    )
    return Datasource(metadata=kept, spec=PackedSpec(datasource.spec), status=_lean_status(datasource.status))


class PackedSpec(Mapping[str, Any]):
    """A spec as JSON, which takes a quarter of the memory; unpacked by whoever looks into it."""

    __slots__ = ("packed",)

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.packed: bytes = spec.packed if isinstance(spec, PackedSpec) else msgspec.json.encode(spec)

    def __getitem__(self, key: str) -> Any:
        return self._unpacked()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._unpacked())

    def __len__(self) -> int:
        return len(self._unpacked())

    def _unpacked(self) -> dict[str, Any]:
        spec: dict[str, Any] = msgspec.json.decode(self.packed)
        return spec


_EMPTY: dict[str, str] = {}
"""One for all: a dictionary of its own takes 64 bytes, and most Datasources have neither labels nor requests."""


def _lean_status(status: Status) -> Status:
    """The same, with one copy in memory of what many of them say."""
    return msgspec.structs.replace(
        status,
        state=_interned(status.state),
        redirect_uri=_interned(status.redirect_uri),
        granted_scopes=None if status.granted_scopes is None else _shared_scopes(status.granted_scopes),
        history=status.history and status.history[-1:],  # it tells whether there is news
        conditions=None if status.conditions is None else tuple(_lean_condition(each) for each in status.conditions),
    )


def _lean_condition(condition: Condition) -> Condition:
    return msgspec.structs.replace(
        condition,
        type=intern(condition.type),
        status=intern(condition.status),
        reason=intern(str(condition.reason)),
        message=intern(condition.message),
    )


def _lean_metadata(metadata: Metadata) -> Metadata:
    """The same, with one copy in memory of what a Secret shares with its Datasource and with others."""
    return msgspec.structs.replace(
        metadata,
        name=intern(metadata.name),
        namespace=intern(metadata.namespace),
        owner_references=tuple(
            OwnerReference(intern(owner.uid), intern(owner.kind)) for owner in telling_owners(metadata.owner_references)
        ),
    )


def _lean_contents(contents: Contents) -> Contents:
    """The same, with one copy in memory of what many credentials say."""
    match contents:
        case StoredCredential():
            return _lean_credential(contents)
        case Leaving(holds=StoredCredential() as stored):
            return msgspec.structs.replace(contents, holds=_lean_credential(stored))
        case StoredTombstone() | Unreadable() | Leaving():
            return contents
        case _:
            assert_never(contents)


def _lean_credential(stored: StoredCredential) -> StoredCredential:
    facts = msgspec.structs.replace(
        stored.facts,
        fingerprint=intern(stored.facts.fingerprint),
        requested_scopes=_shared_scopes(stored.facts.requested_scopes),
        granted_scopes=_shared_scopes(stored.facts.granted_scopes),
    )
    return msgspec.structs.replace(stored, facts=facts)


def _interned(text: str | None) -> str | None:
    return None if text is None else intern(str(text))


LONGEST_SHARED = 512
"""Characters of scopes that are kept once for all: longer ones are few, and stay no longer than whoever has them."""


def _shared_scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    return _shared(scopes) if sum(len(scope) + 1 for scope in scopes) <= LONGEST_SHARED else scopes


@lru_cache(maxsize=4096)
def _shared(scopes: tuple[str, ...]) -> tuple[str, ...]:
    """The first that was equal."""
    return scopes


def _owner_key(metadata: Metadata) -> Key | None:
    name = metadata.annotations.get(Annotation.DATASOURCE)
    return None if not name or len(name) > LONGEST_NAME else Key(metadata.namespace, intern(name))


def _is_known(metadata: Metadata, resource_version: str) -> bool:
    """Whether that version was seen already; a watch shows us what we wrote ourselves once more."""
    return int(metadata.resource_version) <= int(resource_version)


def _is_older(metadata: Metadata, resource_version: str) -> bool:
    return int(metadata.resource_version) < int(resource_version)
