"""One Datasource with all that is around it on an API server in memory, and the product's own reconciler at work on it."""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from datasource.api.names import (
    FIELD_MANAGER,
    KIND,
    REVOKE_FINALIZER,
    Annotation,
    Role,
    SecretType,
    credential_secret_name,
)
from datasource.api.objects import Condition, Datasource, Metadata, Status
from datasource.api.requests import Requests
from datasource.cluster.api_errors import ApiError
from datasource.cluster.credential_secrets import Stale
from datasource.cluster.resources import DATASOURCES, SECRETS, Resource
from datasource.outbound.egress import EgressPolicy
from datasource.process.audit import AuditLog
from datasource.process.settings import Settings
from datasource.providers.discovery import Discovery
from datasource.providers.transport import Transport
from datasource.records.contents import Leaving, Readable, StoredCredential, StoredTombstone, still_there
from datasource.records.credential import CredentialData, CredentialFacts, Unreadable
from datasource.records.credential_patches import credential_manifest
from datasource.records.link_keys import LinkKeys
from datasource.records.token_secret import TokenSecretPlan
from datasource_operator.cache import Cache, Key
from datasource_operator.decisions.observed import Finding, Observed, Trouble
from datasource_operator.decisions.policy import is_destructive
from datasource_operator.decisions.steps import Step
from datasource_operator.decisions.timing import Comeback
from datasource_operator.executor import Executor
from datasource_operator.reconciler import Reconciler
from datasource_operator.refresh_memory import RefreshMemory
from datasource_operator.served_scopes import Source
from datasource_operator.status_writer import StatusWriter
from datasource_operator.trimming import trimmed
from tests.support.api_rules import Manifest
from tests.support.builders import NAME, NAMESPACE, NOW, UID, credential, status_settings
from tests.support.kube_in_memory import Answer, Call, KubeInMemory
from tests.unit.datasource_operator.stand_ins import Clock

KEY = Key(NAMESPACE, NAME)
SECRET = credential_secret_name(NAME)
SETTINGS = Settings(external_url="https://connect.example.com", system_namespace="datasource-system")
DISCOVERY = Discovery(Transport(EgressPolicy()), Clock())  # nobody here has an issuer
WRITES = frozenset({"create", "merge_patch", "apply", "delete"})
TRIES = 5
"""Reconciliations until a Datasource has settled, of which each that was lost to somebody else's write counts."""

Door = tuple[str, str]
"""A verb, and the kind of object that it is about: its name where that is one of a kind, else the plural of its resource."""


class NeverSettled(AssertionError):
    """More steps than any Datasource needs."""


@dataclass
class GuardedKube(KubeInMemory):
    """A connection of which some doors are shut."""

    refuses: Mapping[Door, ApiError] = field(default_factory=dict)

    async def requested(self, call: Call, answer: Answer) -> Any:
        what = {SECRET: "credential", "my-app": "client"}.get(call.name, call.resource.plural)
        refusal = self.refuses.get((call.verb, what))
        self.failure = refusal
        return await super().requested(call, answer)


@dataclass(slots=True)
class GuardedSteps(Executor):
    """An executor of steps that takes nothing from anybody for what a cache showed."""

    async def take(self, step: Step, seen: Observed) -> Observed:
        assert seen.is_live or not is_destructive(step, seen), f"{type(step).__name__} for what a cache showed"
        return await Executor.take(self, step, seen)


@dataclass
class World:
    """What stands on the API server, what the operator's cache shows of it, and what the operator remembers."""

    kube: GuardedKube = field(default_factory=GuardedKube)
    cache: Cache = field(default_factory=Cache)
    trouble: Trouble | None = None
    link_keys: LinkKeys = field(default_factory=LinkKeys)
    audit: list[str] = field(default_factory=list)
    """The lines of the log stream."""

    # How it is arranged.

    def has_datasource(self, spec: Mapping[str, Any], requests: Requests, status: Status, **metadata: Any) -> None:
        annotations = {
            Annotation.CLEAR_CREDENTIAL: requests.clear_credential,
            Annotation.NEW_CREDENTIAL: requests.new_credential,
            Annotation.REFRESH: requests.refresh,
        }
        asked = {key: value for key, value in annotations.items() if value is not None}
        usual = {"uid": UID, "generation": 1, "annotations": asked}
        told = msgspec.to_builtins(status)
        self.kube.put(DATASOURCES, NAMESPACE, NAME, metadata=usual | metadata, spec=spec, status=told)

    def has_client_secret(self, **data: str) -> None:
        encoded = {key: _base64(value) for key, value in data.items()}
        self.kube.put(SECRETS, NAMESPACE, "my-app", type="Opaque", data=encoded)

    def has_foreign_secret(self, name: str) -> None:
        self.kube.put(SECRETS, NAMESPACE, name, type="Opaque", data={})

    def has_credential(self, contents: Readable | Unreadable | Leaving, data: CredentialData) -> None:
        """Put a credential Secret there that holds this; its data are those of a credential."""
        manifest = _credential_secret(contents, data)
        self.kube.put(SECRETS, NAMESPACE, SECRET, **manifest)

    def has_token_secret(
        self,
        plan: TokenSecretPlan,
        data: CredentialData,
        name: str,
        changes: Mapping[str, Any],
        *,
        by: str = FIELD_MANAGER,
    ) -> None:
        """Put a token Secret there that we wrote, or somebody who copied it, and change it."""
        manifest = plan.manifest(credential().facts, data)
        manifest["metadata"] |= {"name": name}
        self.kube.server.create(SECRETS, NAMESPACE, manifest, manager=by)
        self.kube.server.merge_patch(SECRETS, NAMESPACE, name, changes, manager=by)

    def shows(self, contents: Readable | Unreadable | Leaving, data: CredentialData) -> None:
        """Have the cache show an older version of the credential Secret."""
        manifest = _credential_secret(contents, data)
        manifest["metadata"] |= {"namespace": NAMESPACE, "resourceVersion": "50"}
        self.cache.store_secret(msgspec.convert(manifest["metadata"], Metadata))

    # What happens in it.

    def reconcile(self, *, look_around: bool = False) -> Comeback:
        """Reconcile until it settles; where a swap was lost, the watch catches up and it starts over."""
        return asyncio.run(self._reconcile(look_around))

    async def _reconcile(self, look_around: bool) -> Comeback:
        reconciler = self.reconciler()
        for _ in range(TRIES):
            try:
                return await reconciler.reconcile(KEY, look_around=look_around)
            except Stale:
                self.watch_catches_up()
        raise NeverSettled([(call.verb, call.name) for call in self.kube.calls])

    def restart(self) -> None:
        """A new process, which has listed everything."""
        self.cache = Cache()
        self.watch_catches_up()

    def watch_catches_up(self) -> None:
        """Until the next try; meanwhile what was nobody's is collected, and what was to be revoked is."""
        for metadata in [each["metadata"] for each in self.kube.stored(SECRETS)]:
            name, version = metadata["name"], metadata["resourceVersion"]
            if dangles(metadata) and not self._belongs_to_another(metadata):
                self.kube.server.delete(SECRETS, NAMESPACE, name, uid=metadata["uid"], resource_version=version)
        for metadata in [each["metadata"] for each in self.kube.stored(SECRETS)]:
            if "deletionTimestamp" in metadata and set(metadata.get("finalizers", ())) <= {REVOKE_FINALIZER}:
                self.kube.remove(SECRETS, NAMESPACE, metadata["name"])
        watched = [each for each in self.kube.stored(SECRETS) if _is_watched(each)]
        there = {each["metadata"]["name"] for each in watched}
        known = {name for source in Source for key, name in self.cache.secret_names(source) if key == KEY}
        for name in known - there:
            self.cache.drop_secret_named(KEY, name)
        for each in watched:
            metadata = msgspec.convert(self.kube.with_owners(SECRETS, each)["metadata"], Metadata)
            self.cache.store_secret(metadata, has_usual_type=each["type"] in set(SecretType))
        for each in self.kube.stored(DATASOURCES):
            self.cache.store_datasource(trimmed(msgspec.convert(each, Datasource)))

    def _belongs_to_another(self, metadata: Manifest) -> bool:
        there = {each["metadata"]["uid"] for each in self.kube.stored(DATASOURCES)}
        return any(each["uid"] in there for each in metadata["ownerReferences"])

    def reconciler(self, follow_up: Callable[[Key, Comeback], None] = lambda _, __: None) -> Reconciler:
        """A reconciler of this world."""
        memory = RefreshMemory(Clock(), lambda: 0.5)
        if self.trouble is not None:
            memory.failed(KEY, self._metadata(DATASOURCES, NAME)["generation"], self.trouble, NOW)
        steps = GuardedSteps(
            self.kube, self.cache, SETTINGS, memory, DISCOVERY, lambda: NOW, link_keys=lambda: self.link_keys
        )
        shown = replace(status_settings(), link_keys=lambda: self.link_keys)
        audit = AuditLog(is_wanted=True, write=self.audit.append)
        status = StatusWriter(self.kube, self.cache, shown, _say_nothing, audit=audit)
        return Reconciler(steps, status, follow_up)

    # What came of it.

    @property
    def version(self) -> int:
        """Of all that was ever written."""
        return self.kube.server.version

    @property
    def ready(self) -> Condition:
        """What the status says."""
        found = msgspec.convert(self.kube.object(DATASOURCES, NAMESPACE, NAME), Datasource).status.condition("Ready")
        assert found is not None
        return found

    @property
    def writes(self) -> list[Call]:
        """What was to be written, whether it was refused or not."""
        return [call for call in self.kube.calls if call.verb in WRITES]

    def _metadata(self, resource: Resource, name: str) -> Manifest:
        metadata: Manifest = self.kube.object(resource, NAMESPACE, name)["metadata"]
        return metadata


def credential_data(fingerprint: str, access_token: str = "at-1") -> CredentialData:
    """The data of a credential that was obtained with the parameters of that fingerprint."""
    return CredentialData(
        access_token=access_token,
        token_type="Bearer",
        token_endpoint="https://login.example.com/token",
        fingerprint=fingerprint,
        client_id="my-app",
        refresh_token="rt-1",
    )


def _credential_secret(contents: Readable | Unreadable | Leaving, data: CredentialData) -> Manifest:
    there = still_there(contents)
    facts = there.facts if isinstance(there, Readable) else CredentialFacts("credential-1", fingerprint="fp")
    whole = credential_manifest(
        namespace=NAMESPACE,
        datasource_name=NAME,
        datasource_uid=UID,
        facts=facts,
        data=None if isinstance(there, StoredTombstone) else data,
    )
    metadata = whole["metadata"]
    if isinstance(there, Unreadable):
        metadata["annotations"][Annotation.REVISION] = "many"
    if there is not None:
        metadata["ownerReferences"] = [
            {"apiVersion": "datasource.dev/v1alpha1", "kind": each.kind, "name": each.name, "uid": each.uid}
            for each in there.owners
        ]
    if isinstance(there, StoredCredential | StoredTombstone):
        metadata["finalizers"] = list(there.finalizers)
    if isinstance(contents, Leaving):
        metadata["deletionTimestamp"] = "2026-07-01T11:00:00Z"
    return whole


def _is_watched(secret: Manifest) -> bool:
    labels = secret["metadata"].get("labels", {})
    return secret["type"] in set(SecretType) or labels.get(Annotation.ROLE) == Role.TOKEN


def dangles(metadata: Manifest) -> bool:
    """Whether the garbage collector takes it."""
    owners = [each["uid"] for each in metadata.get("ownerReferences", ()) if each["kind"] == KIND]
    return bool(owners) and UID not in owners


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


async def _say_nothing(seen: Observed, finding: Finding, *, seconds: float) -> None:
    """No Events here."""
