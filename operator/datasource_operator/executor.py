"""I/O: carry out one step that the policy asked for, and tell what is known after it."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

import msgspec
import structlog

from datasource.api.names import FIELD_MANAGER, Role, SecretType, credential_secret_name
from datasource.api.objects import PartialObject, Secret
from datasource.api.secret_metadata import NO_METADATA
from datasource.api.spec import OAuth2, Spec
from datasource.cluster.api_errors import Conflict
from datasource.cluster.clients import (
    ClientMaterial,
    ClientMaterialMissing,
    Clients,
    Headers,
)
from datasource.cluster.credential_secrets import CredentialSecrets, Stale
from datasource.cluster.kube import Kube
from datasource.oauth2.identity import expected_identity_hash, mismatched_claim, read_kept_claims
from datasource.process.clock import utc_now
from datasource.process.settings import Settings
from datasource.providers.discovery import Discovery
from datasource.records.contents import Leaving, Readable, StoredCredential, StoredTombstone, contents_in, tombstone
from datasource.records.credential import (
    CredentialData,
    CredentialFacts,
    Unreadable,
    UnreadableCredential,
    read_data,
)
from datasource.records.credential_patches import (
    adoption_patch,
    facts_patch,
    hold_patch,
    release_patch,
    told_patch,
    tombstone_patch,
)
from datasource.records.fingerprint import fingerprint
from datasource.records.history import SUCCEEDED, Act, HistoryEntry, entry_of
from datasource.records.link_keys import LinkKeys
from datasource.records.revocable_token import RevocableToken, revocable_token
from datasource.records.secret_labels import relabel_patch
from datasource.records.standing import Absent
from datasource_operator.cache import Cache, Key
from datasource_operator.decisions.observed import Asked, Observed, Surroundings
from datasource_operator.decisions.steps import (
    Adopt,
    Clear,
    CompareIdentity,
    DeleteImport,
    DeleteTokenSecret,
    Hold,
    LookAround,
    LookAtImport,
    LookForTokenSecret,
    MarkHandled,
    Nothing,
    ReadHistory,
    ReadLive,
    Relabel,
    Release,
    Settle,
    Step,
    TakeImport,
    WriteTokenSecret,
)
from datasource_operator.importer import Importer
from datasource_operator.observer import Observer
from datasource_operator.provider_lookups import ProviderLookups
from datasource_operator.refresh_memory import RefreshMemory
from datasource_operator.surroundings import SurroundingsReader
from datasource_operator.token_secret_writer import TokenSecretWriter

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class Executor:
    """Carries out steps; keeps the cache at least as new as its own writes."""

    kube: Kube
    cache: Cache
    settings: Settings
    memory: RefreshMemory
    discovery: Discovery
    now: Callable[[], datetime] = utc_now
    token_bytes: Callable[[int], bytes] = secrets.token_bytes
    link_keys: Callable[[], LinkKeys] = LinkKeys
    """The keys that there are at this moment."""
    credential_secrets: CredentialSecrets = field(init=False, repr=False)
    observer: Observer = field(init=False, repr=False)
    providers: ProviderLookups = field(init=False, repr=False)
    surroundings: SurroundingsReader = field(init=False, repr=False)
    token_secrets: TokenSecretWriter = field(init=False, repr=False)
    clients: Clients = field(init=False, repr=False)
    imports: Importer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.credential_secrets = CredentialSecrets(
            self.kube, FIELD_MANAGER, may_list=True, heard=self.cache.hear, link_keys=self.link_keys
        )
        self.clients = Clients(self.kube, self.settings.require_allowed_hosts, self.now, self.token_bytes)
        self.observer = Observer(
            self.kube,
            self.cache,
            self.settings,
            self.memory,
            self.credential_secrets,
            self.now,
            link_keys=self.link_keys,
        )
        self.providers = ProviderLookups(self.discovery)
        self.surroundings = SurroundingsReader(self.kube, self.settings, self.providers, self.clients)
        self.token_secrets = TokenSecretWriter(self.kube, self.cache, self.observer, self.surroundings)
        self.imports = Importer(self.kube, self.observer, self.providers, self.clients, self.token_bytes)
        self.observer.imported = self.imports.seen.of

    def forget(self, key: Key) -> None:
        """The Datasource is gone."""
        self.token_secrets.let_go(key)
        self.observer.forget(key)
        self.imports.seen.forget_look(key)

    async def take(self, step: Step, seen: Observed) -> Observed:
        """Carry out a step; returns what is known after it.

        Raises:
            Stale: a compare-and-swap was lost.
            DatasourceGone: there is nothing to do any more.
            ApiError, Unavailable: the API server refused or did not answer; to be tried again.
        """
        key = Key(seen.namespace, seen.name)
        match step:
            case ReadLive():
                return await self.observer.read_live(key, seen)
            case LookAround():
                return replace(seen, surroundings=await self.surroundings.read(seen))
            case Adopt(credential=credential):
                return await self._adopt(key, seen, credential)
            case Clear():
                return await self._clear(key, seen, step)
            case MarkHandled():
                await self._mark_handled(key, step)
            case ReadHistory():
                return await self.observer.read_history(key, seen)
            case CompareIdentity():
                await self._compare_identity(key, step)
            case Hold(credential=credential):
                await self._hold(key, seen, credential)
            case Release(credential=credential):
                await self.credential_secrets.swap(*key, release_patch(credential), PartialObject)
            case Relabel(credential=credential, template=template):
                patch = relabel_patch(credential.resource_version, credential.written, template)
                await self.credential_secrets.swap(*key, patch, PartialObject)
            case WriteTokenSecret():
                return await self.token_secrets.write(key, seen, step)
            case LookAtImport(secret=secret):
                return await self.imports.look(key, seen, secret)
            case TakeImport():
                return await self.imports.take(key, seen, step)
            case DeleteImport(secret=secret):
                return await self.imports.delete(key, seen, secret)
            case LookForTokenSecret(name=name):
                return await self.token_secrets.look_for(key, seen, name)
            case DeleteTokenSecret():
                return await self.token_secrets.delete(key, seen, step)
            case Settle() | Nothing():
                return seen
            case _:
                assert_never(step)
        return self.observer.again(key, seen)

    async def _adopt(self, key: Key, seen: Observed, credential: Readable) -> Observed:
        secret = await self.observer.unchanged(key, credential)
        if isinstance(credential, StoredCredential):
            data = read_data(secret)
            if seen.oauth2 is None or data.fingerprint != fingerprint(seen.oauth2):
                raise UnreadableCredential("data key fingerprint differs from the annotation")
        patch = adoption_patch(
            resource_version=secret.metadata.resource_version,
            datasource_name=key.name,
            datasource_uid=seen.uid,
            owners=secret.metadata.owner_references,
        )
        await self.credential_secrets.swap(*key, patch, PartialObject)
        logger.info("adopted a restored credential", datasource=str(key), credential=credential.facts.credential_id)
        return self.observer.again(key, seen)

    async def _clear(self, key: Key, seen: Observed, step: Clear) -> Observed:
        if step.credential is not None:
            await self._write_tombstone(key, step.credential, step)
        else:
            conflict = await self._create_tombstone(key, seen, step)
            if conflict is not None:
                return replace(seen, surroundings=conflict)
        logger.info("cleared the credential", datasource=str(key), had_credential=step.credential is not None)
        return self.observer.again(key, seen)

    async def _create_tombstone(self, key: Key, seen: Observed, step: Clear) -> Surroundings | None:
        """There was nothing to clear, and the request must stay handled; returns what is in the way."""
        credential_id = self.token_bytes(16).hex()
        entry = self._entry(credential_id, Act.CLEAR, step.asked)
        facts = tombstone(None, credential_id=credential_id, handled=step.handled, history=entry.id)
        history = self.credential_secrets.told(*key, None, entry)
        try:
            await self.credential_secrets.create(*key, _place_for(seen), facts, history=history)
        except Conflict:
            conflict = await self.surroundings.conflict(
                seen, credential_secret_name(key.name), Role.CREDENTIAL, SecretType.CREDENTIAL
            )
            if conflict.problem is None:
                raise Stale("a credential Secret appeared meanwhile") from None
            return conflict
        return None

    async def _write_tombstone(self, key: Key, credential: Readable | Unreadable, step: Clear) -> None:
        """Rewrite a credential to a tombstone. Its token stays for as long as it takes to revoke it, and no longer."""
        secret = await self.observer.credential(key)
        found = contents_in(secret.metadata)
        if isinstance(found, Leaving):
            raise Stale("the credential is being deleted")
        if isinstance(credential, Unreadable):
            # Its annotations may be in order, and its data not. What somebody restored meanwhile may know the request.
            changed = isinstance(found, Readable) and found.facts.handled == step.handled
        else:
            changed = secret.metadata.resource_version != credential.resource_version
        if changed:
            raise Stale("the credential changed meanwhile")
        token = self._token_to_revoke(key, secret)
        # Cleared again while a revocation is under way: that goes on, for no longer than it would have.
        under_way = found.facts.revoke_until if isinstance(found, StoredTombstone) else None
        until = under_way or self.now() + self.settings.revocation_patience
        credential_id = self.token_bytes(16).hex()
        entry = self._entry(credential_id, Act.CLEAR, step.asked)
        left = tombstone(
            found if isinstance(found, Unreadable) else found.facts,
            credential_id=credential_id,
            handled=step.handled,
            revoke_until=None if token is None else until,
            history=entry.id,
        )
        history = self.credential_secrets.told(*key, secret.history, entry)
        patch = tombstone_patch(datasource_name=key.name, secret=secret, facts=left, token=token, history=history)
        await self.credential_secrets.swap(*key, patch, PartialObject)

    @staticmethod
    def _token_to_revoke(key: Key, secret: Secret) -> RevocableToken | None:
        try:
            return revocable_token(secret)
        except UnreadableCredential as error:
            logger.warning("cannot revoke what was cleared", datasource=str(key), what=error.what)
            return None

    async def _compare_identity(self, key: Key, step: CompareIdentity) -> None:
        secret = await self.observer.unchanged(key, step.credential)
        claims = read_kept_claims(read_data(secret).identity)
        fits = claims is not None and mismatched_claim(claims, step.expected) is None
        patch = facts_patch(
            datasource_name=key.name,
            resource_version=secret.metadata.resource_version,
            facts=msgspec.structs.replace(
                step.credential.facts, identity_checked=expected_identity_hash(step.expected), identity_fits=fits
            ),
        )
        await self.credential_secrets.swap(*key, patch, PartialObject)
        logger.info("compared who authorized with spec.oauth2.expectedIdentity", datasource=str(key), fits=fits)

    async def _hold(self, key: Key, seen: Observed, credential: StoredCredential) -> None:
        secret = await self.observer.unchanged(key, credential)
        data = read_data(secret)
        oauth2 = seen.oauth2
        if oauth2 is None or data.fingerprint != fingerprint(oauth2):
            raise UnreadableCredential("data key fingerprint differs from the annotation")
        material = await self._material_to_revoke_with(key, oauth2, data)
        recorded = material.recorded_in(data, is_to_be_revoked=True)
        if data.client_parameters is not None:
            # How the client authenticated when it obtained these very tokens.
            recorded = msgspec.structs.replace(recorded, client_parameters=data.client_parameters)
        await self.credential_secrets.swap(*key, hold_patch(secret.metadata, recorded), PartialObject)

    async def _material_to_revoke_with(self, key: Key, oauth2: OAuth2, data: CredentialData) -> ClientMaterial:
        """What can be had of it; the next refresh brings what cannot be read now."""
        endpoints = {} if data.revocation_endpoint is None else {"revocationURL": data.revocation_endpoint}
        secret, ca_bundle, headers = None, None, Headers()
        try:
            secret = await self.clients.client_secret(key.namespace, oauth2, endpoints)
        except ClientMaterialMissing as error:
            logger.warning("no client secret to revoke with yet", datasource=str(key), error=str(error))
        try:
            headers = await self.clients.headers(key.namespace, oauth2, endpoints)
        except ClientMaterialMissing as error:
            logger.warning("no headers to revoke with yet", datasource=str(key), error=str(error))
        try:
            ca_bundle = await self.clients.ca_bundle(key.namespace, oauth2)
        except ClientMaterialMissing as error:
            logger.warning("no CA bundle to revoke with yet", datasource=str(key), error=str(error))
        return ClientMaterial(oauth2.expanded(), secret, ca_bundle, headers)

    def _entry(self, act_id: str, what: Act, asked: Asked, result: str = SUCCEEDED) -> HistoryEntry:
        return entry_of(asked.page_request or act_id, what, by=asked.by, at=self.now(), result=result)

    async def _mark_handled(self, key: Key, step: MarkHandled) -> None:
        secret = await self.observer.unchanged(key, step.credential)
        entry = self._entry(self.token_bytes(16).hex(), Act.REFRESH, step.asked, step.result)
        facts = msgspec.structs.replace(step.credential.facts, handled=step.handled, history=entry.id)
        if isinstance(facts, CredentialFacts):
            facts = msgspec.structs.replace(facts, page_request=None)
        patch = facts_patch(
            datasource_name=key.name, resource_version=secret.metadata.resource_version, facts=facts
        ) | told_patch(self.credential_secrets.told(*key, secret.history, entry))
        await self.credential_secrets.swap(*key, patch, PartialObject)


def _place_for(seen: Observed) -> Absent:
    template = seen.spec.credential_secret.template if isinstance(seen.spec, Spec) else NO_METADATA
    return Absent(seen.uid, template)
