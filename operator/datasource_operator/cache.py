"""What the operator remembers: trimmed Datasources, and the metadata of their Secrets, never a token.

A watch may show an older version of what we wrote a moment ago, which is passed over: resourceVersions of one resource are
ordered (Kubernetes guarantees it since 1.35, etcd always did).

There may be a hundred thousand, so what is kept of each is packed, and unpacked by whoever asks for it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from sys import intern
from typing import NamedTuple

from datasource.api.names import CREDENTIAL_SUFFIX, LONGEST_NAME, TOKEN_SUFFIX, Annotation, Role, credential_secret_name
from datasource.api.objects import Datasource, Metadata
from datasource.records.contents import Contents, StoredCredential, contents_in, still_there
from datasource.records.revocable_token import revocation_is_due
from datasource.records.stored_token_secret import StoredTokenSecret, read_stored
from datasource_operator import trimming
from datasource_operator.packing import Packing, version_in
from datasource_operator.served_scopes import Source


class Key(NamedTuple):
    """Namespace and name of a Datasource."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class _Unusual(NamedTuple):
    """What of a credential Secret is no credential in use: there are few."""

    version: int
    contents: Contents


_CREDENTIALS = Packing(StoredCredential, lambda each: each.resource_version)
_TOKEN_SECRETS = Packing(StoredTokenSecret, lambda each: each.resource_version)


@dataclass(slots=True)
class _Known:
    """All that is known about one key."""

    key: Key
    datasource: bytes | None = None
    credential: bytes | _Unusual | None = None
    token_secrets: tuple[bytes, ...] = ()

    def is_empty(self) -> bool:
        return self.datasource is None and self.credential is None and not self.token_secrets

    def secret_names(self, source: Source) -> Iterator[str]:
        if source is Source.CREDENTIALS and self.credential is not None:
            yield credential_secret_name(self.key.name)
        elif source in {Source.TOKENS, Source.OTHER_TOKENS}:
            for each in map(_TOKEN_SECRETS.unpacked, self.token_secrets):
                if each.has_usual_type is (source is Source.TOKENS):
                    yield each.name

    def token_secret(self, name: str) -> StoredTokenSecret | None:
        return next((each for each in map(_TOKEN_SECRETS.recent, self.token_secrets) if each.name == name), None)

    def without(self, name: str) -> tuple[bytes, ...]:
        return tuple(each for each in self.token_secrets if _TOKEN_SECRETS.recent(each).name != name)


@dataclass(slots=True)
class Cache:
    """Datasources and Secrets by the key of the Datasource that they belong to."""

    _known: dict[Key, _Known] = field(default_factory=dict)
    _belongs_to: dict[tuple[str, str], Key] = field(default_factory=dict)
    """By namespace and name of a Secret: the key that its annotation named when it was last seen. Where that follows from its
    name, it stands there only by what is known of the key."""
    _to_be_revoked: set[Key] = field(default_factory=set)
    _begun: set[Key] = field(default_factory=set)
    """Those on whose credential Secret an intent stands."""

    # Datasources.

    def datasource(self, key: Key) -> Datasource | None:
        """The last version seen."""
        known = self._known.get(key)
        return None if known is None or known.datasource is None else trimming.recent(known.datasource)

    def own(self, key: Key) -> Key:
        """An equal key, the same one each time: whoever keeps it for long keeps no copy of the name."""
        known = self._known.get(key)
        return key if known is None else known.key

    def has_datasource(self, key: Key) -> bool:
        """Whether one was seen."""
        known = self._known.get(key)
        return known is not None and known.datasource is not None

    def datasource_keys(self) -> list[Key]:
        """The keys of all Datasources."""
        return [key for key, known in self._known.items() if known.datasource is not None]

    def pairs(self) -> Iterator[tuple[Datasource, Contents | None]]:
        """Every Datasource with its credential, as of now; may be read from another thread."""
        for known in list(self._known.values()):
            datasource, credential = known.datasource, known.credential
            if datasource is not None:
                # Who looks at all of them asks for none again soon.
                yield trimming.unpacked(datasource), _contents(credential, _CREDENTIALS.unpacked)

    def store_datasource(self, datasource: Datasource) -> bool:
        """Remember a Datasource; False where that version, or a newer one, is known already."""
        key = Key(datasource.metadata.namespace, datasource.metadata.name)
        known = self._known.get(key)
        version = -1 if known is None or known.datasource is None else version_in(known.datasource)
        if _version(datasource.metadata) <= version:
            # A watch shows us what we wrote ourselves once more.
            return False
        self._known_as(key).datasource = trimming.packed(datasource)
        return True

    def drop_datasource(self, key: Key, metadata: Metadata | None = None) -> bool:
        """Forget a Datasource; False where the one known is newer than the deletion."""
        known = self._known.get(key)
        if known is None or known.datasource is None:
            return False
        if metadata is not None and _version(metadata) < version_in(known.datasource):
            return False
        known.datasource = None
        self._tidy(key, known)
        return True

    # Credentials.

    def credential(self, key: Key) -> Contents | None:
        """What the credential Secret holds."""
        known = self._known.get(key)
        return None if known is None else _contents(known.credential, _CREDENTIALS.recent)

    def revocation_is_due(self, key: Key) -> bool:
        """Whether a token in the credential Secret waits to be revoked; the Datasource may be gone."""
        return key in self._to_be_revoked

    def revocations_due(self) -> list[Key]:
        """The keys of which a token waits to be revoked."""
        return list(self._to_be_revoked)

    def refreshes_begun(self) -> list[Key]:
        """The keys of which somebody began a refresh, and nobody wrote yet what came of it."""
        return list(self._begun)

    # Token Secrets.

    def token_secrets(self, key: Key) -> tuple[StoredTokenSecret, ...]:
        """Every token Secret that names this Datasource."""
        known = self._known.get(key)
        return () if known is None else tuple(map(_TOKEN_SECRETS.recent, known.token_secrets))

    def holder(self, namespace: str, name: str) -> Key | None:
        """Whose token Secret has that name; a copy is nobody's to give up."""
        key = self._owner_of(namespace, name)
        held = () if key is None else self.token_secrets(key)
        return key if any(each.name == name and not each.is_copy for each in held) else None

    # Secrets of both kinds.

    def owner(self, metadata: Metadata) -> Key | None:
        """Whose a Secret was when it was last seen."""
        return self._owner_of(metadata.namespace, metadata.name)

    def store_secret(self, metadata: Metadata, *, has_usual_type: bool = True) -> Key | None:
        """Remember a Secret of ours by its metadata; returns whose it is, or was; None where nothing new was learnt."""
        # One of another type than ours is known by a label, and can only be a token Secret.
        key, before = _owner_key(metadata), self.owner(metadata)
        if before is not None and before != key:
            # Somebody altered the annotation: what a restart would find must be found without one.
            self.drop_secret_named(before, metadata.name)
        if key is None:
            return before
        if key != _usual_owner(metadata.namespace, metadata.name):
            self._belongs_to[(metadata.namespace, metadata.name)] = key
        known = self._known_as(key)
        match metadata.annotations.get(Annotation.ROLE):
            case Role.CREDENTIAL if has_usual_type and metadata.name == credential_secret_name(key.name):
                if known.credential is not None and _version(metadata) <= _version_of(known.credential):
                    return None
                self._keep_credential(key, known, metadata)
            case Role.TOKEN:
                stood = known.token_secret(metadata.name)
                if stood is not None and _version(metadata) <= int(stood.resource_version):
                    return None
                stored = _TOKEN_SECRETS.packed(read_stored(metadata, has_usual_type=has_usual_type))
                known.token_secrets = (*known.without(metadata.name), stored)
        return key

    def drop_secret(self, metadata: Metadata) -> Key | None:
        """Forget a Secret; returns whose it was."""
        key = _owner_key(metadata)
        known = None if key is None else self._known.get(key)
        if key is None or known is None:
            return None
        if metadata.name == credential_secret_name(key.name):
            version = None if known.credential is None else _version_of(known.credential)
        else:
            stood = known.token_secret(metadata.name)
            version = None if stood is None else int(stood.resource_version)
        if version is not None and _version(metadata) < version:
            return None
        self.drop_secret_named(key, metadata.name)
        return key

    def hear(self, namespace: str, name: str, metadata: Metadata | None) -> None:
        """What the API server said of a Datasource's credential Secret; None: there is none."""
        if metadata is None:
            self.drop_secret_named(Key(namespace, name), credential_secret_name(name))
        else:
            self.store_secret(metadata)

    def secret_names(self, source: Source) -> Iterator[tuple[Key, str]]:
        """Which Secrets are remembered that a watch shows, to find those that a list no longer has."""
        for known in self._known.values():
            for name in known.secret_names(source):
                yield known.key, name

    def drop_secret_named(self, key: Key, name: str) -> None:
        """Forget a Secret that a full list, or a live read, no longer has."""
        self._belongs_to.pop((key.namespace, name), None)
        known = self._known.get(key)
        if known is None:
            return
        if name == credential_secret_name(key.name):
            known.credential = None
            self._to_be_revoked.discard(key)
            self._begun.discard(key)
        known.token_secrets = known.without(name)
        self._tidy(key, known)

    def _keep_credential(self, key: Key, known: _Known, metadata: Metadata) -> None:
        contents = contents_in(metadata)
        if isinstance(contents, StoredCredential):
            known.credential = _CREDENTIALS.packed(contents)
        else:
            known.credential = _Unusual(_version(metadata), contents)
        _put(self._to_be_revoked, key, is_in=revocation_is_due(metadata))
        there = still_there(contents)
        _put(self._begun, key, is_in=isinstance(there, StoredCredential) and there.facts.intent is not None)

    def _owner_of(self, namespace: str, name: str) -> Key | None:
        named = self._belongs_to.get((namespace, name))
        if named is not None:
            return named
        usual = _usual_owner(namespace, name)
        known = None if usual is None else self._known.get(usual)
        if usual is None or known is None:
            return None
        is_credential = known.credential is not None and name == credential_secret_name(usual.name)
        return usual if is_credential or known.token_secret(name) is not None else None

    def _known_as(self, key: Key) -> _Known:
        known = self._known.get(key)
        if known is None:
            own = Key(intern(key.namespace), key.name)
            known = self._known[own] = _Known(own)
        return known

    def _tidy(self, key: Key, known: _Known) -> None:
        if known.is_empty():
            del self._known[key]


def _contents(credential: bytes | _Unusual | None, unpacked: Callable[[bytes], StoredCredential]) -> Contents | None:
    if isinstance(credential, bytes):
        return unpacked(credential)
    return None if credential is None else credential.contents


def _version(metadata: Metadata) -> int:
    return int(metadata.resource_version)


def _version_of(credential: bytes | _Unusual) -> int:
    """At which it was seen."""
    return version_in(credential) if isinstance(credential, bytes) else credential.version


def _put(keys: set[Key], key: Key, *, is_in: bool) -> None:
    if is_in:
        keys.add(key)
    else:
        keys.discard(key)


def _owner_key(metadata: Metadata) -> Key | None:
    name = metadata.annotations.get(Annotation.DATASOURCE)
    return None if not name or len(name) > LONGEST_NAME else Key(metadata.namespace, name)


def _usual_owner(namespace: str, name: str) -> Key | None:
    """Whose a Secret is by its name, where it has a usual one."""
    for suffix in (CREDENTIAL_SUFFIX, TOKEN_SUFFIX):
        if name.endswith(suffix):
            return Key(namespace, name.removesuffix(suffix))
    return None
