"""I/O: carry out one step that the policy asked for, and tell what is known after it."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import assert_never

import msgspec
import structlog

from datasource.api.names import FIELD_MANAGER, Role, SecretType, credential_secret_name
from datasource.api.objects import Datasource, PartialObject, Secret
from datasource.api.requests import HandledSet, requests_in
from datasource.api.spec import InvalidSpec, OAuth2, Spec
from datasource.api.spec_problems import egress_problems, parse_spec
from datasource.api.states import Reason
from datasource.cluster.clients import (
    ClientMaterial,
    ClientMaterialMissing,
    Clients,
    ConfigMapsForbidden,
    SecretsForbidden,
)
from datasource.cluster.credential_secrets import CredentialSecrets, Stale
from datasource.cluster.kube import DATASOURCES, SECRETS, Conflict, Kube, NotFound
from datasource.oauth2.errors import MetadataUnavailable
from datasource.oauth2.identity import expected_identity_hash, mismatched_claim, read_kept_claims
from datasource.process.settings import Settings
from datasource.providers.discovery import Discovery
from datasource.providers.metadata_lookup import look_up_metadata
from datasource.records import credential as credential_secret
from datasource.records.credential import (
    Change,
    CredentialData,
    RevocableToken,
    StoredCredential,
    UnreadableCredential,
    read_data,
    read_facts,
    revocable_token,
)
from datasource.records.effective import effective
from datasource.records.fingerprint import fingerprint
from datasource_operator.cache import Cache, Key, PackedSpec, trimmed
from datasource_operator.decisions.observed import Finding, Observed, Surroundings
from datasource_operator.decisions.obstacles import config_maps_forbidden, secret_conflict, secrets_forbidden
from datasource_operator.decisions.steps import (
    Adopt,
    Clear,
    CompareIdentity,
    DeleteTokenSecret,
    Hold,
    LookAround,
    MarkHandled,
    Nothing,
    ReadLive,
    Release,
    Settle,
    Step,
    WriteTokenSecret,
)
from datasource_operator.refresh_memory import RefreshMemory

logger = structlog.get_logger(__name__)


PROVIDER_PATIENCE = timedelta(seconds=3)
"""How long a worker waits for a provider's metadata; the request goes on without it, for whoever asks next."""

PARSED_SPECS = 4096
"""How many specs are kept parsed; those of one shape and content count once."""


class DatasourceGone(Exception):
    """A live read found no Datasource, or another one of the same name."""


@dataclass(slots=True)
class Steps:
    """Carries out steps; keeps the cache at least as new as its own writes."""

    kube: Kube
    cache: Cache
    settings: Settings
    memory: RefreshMemory
    discovery: Discovery
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    token_bytes: Callable[[int], bytes] = secrets.token_bytes
    _parse: Callable[[bytes], Spec | InvalidSpec] = field(init=False, repr=False)
    credential_secrets: CredentialSecrets = field(init=False, repr=False)
    _clients: Clients = field(init=False, repr=False)
    _in_hand: dict[Key, tuple[str, CredentialData]] = field(default_factory=dict, repr=False)
    """By key: what a refresh stored a moment ago, with the resourceVersion that it got; for the very next reconciliation."""

    def __post_init__(self) -> None:
        # A Datasource is looked at several times in a row while it is worked on.
        self._parse = lru_cache(maxsize=PARSED_SPECS)(self._newly_parsed)
        self.credential_secrets = CredentialSecrets(self.kube, FIELD_MANAGER, may_list=True, heard=self.cache.hear)
        self._clients = Clients(self.kube, self.settings.require_allowed_hosts, self.now, self.token_bytes)

    def hand_over(self, key: Key, resource_version: str, data: CredentialData) -> None:
        """Spare the token Secret's next write a read of what was just written."""
        self._in_hand[key] = (resource_version, data)

    def let_go(self, key: Key) -> None:
        """Keep no token beyond the reconciliation that it was for."""
        self._in_hand.pop(key, None)

    def let_go_of_all(self) -> None:
        """The same where there will be no reconciliation."""
        self._in_hand.clear()

    def observe(self, key: Key, *, look_around: bool = False) -> Observed:
        """What the cache shows of a Datasource.

        Raises:
            DatasourceGone: it shows none.
        """
        datasource = self.cache.datasource(key)
        if datasource is None:
            raise DatasourceGone(str(key))
        now, credential = self.now(), self.cache.credential(key)
        generation = datasource.metadata.generation
        facts = credential.facts if isinstance(credential, StoredCredential) else None
        return Observed(
            namespace=key.namespace,
            name=key.name,
            uid=datasource.metadata.uid,
            generation=generation,
            being_deleted=datasource.metadata.deletion_timestamp is not None,
            spec=self._parsed(datasource),
            requests=requests_in(datasource.metadata.annotations),
            status=datasource.status,
            credential=credential,
            token_secrets=self.cache.token_secrets(key),
            now=now,
            look_around=look_around,
            trouble=None if facts is None else self.memory.trouble(key, facts, generation),
            first_seen=None if facts is None else self.memory.first_seen(key, facts, now),
        )

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
                return await self._read_live(key, seen)
            case LookAround():
                return replace(seen, surroundings=await self._look_around(seen))
            case Adopt(credential=credential):
                return await self._adopt(key, seen, credential)
            case Clear():
                return await self._clear(key, seen, step)
            case MarkHandled(credential=credential, handled=handled):
                await self._mark_handled(key, credential, handled)
            case CompareIdentity():
                await self._compare_identity(key, step)
            case Hold(credential=credential):
                await self._hold(key, seen, credential)
            case Release(credential=credential):
                await self.credential_secrets.swap(*key, credential_secret.release_patch(credential), PartialObject)
            case WriteTokenSecret():
                return await self._write_token_secret(key, seen, step)
            case DeleteTokenSecret():
                await self._delete_token_secret(key, seen, step)
            case Settle() | Nothing():
                return seen
            case _:
                assert_never(step)
        return self._again(key, seen)

    def _again(self, key: Key, seen: Observed) -> Observed:
        """Observe anew, keeping what was learnt live in this run."""
        return replace(
            self.observe(key, look_around=seen.look_around), surroundings=seen.surroundings, is_live=seen.is_live
        )

    def _parsed(self, datasource: Datasource) -> Spec | InvalidSpec:
        return self._parse(PackedSpec(datasource.spec).packed)

    def _newly_parsed(self, spec: bytes) -> Spec | InvalidSpec:
        allow_insecure_http, egress = self.settings.allow_insecure_http, self.settings.egress
        try:
            return parse_spec(msgspec.json.decode(spec), allow_insecure_http=allow_insecure_http, egress=egress)
        except InvalidSpec as error:
            # It outlives this call, and the frames that it came through should not.
            return error.alone()

    async def _read_live(self, key: Key, seen: Observed) -> Observed:
        """First the Secret, then the Datasource: a credential newer than the spec read is then impossible."""
        await self.credential_secrets.facts(*key)
        try:
            live = await self.kube.get(DATASOURCES, key.namespace, key.name, Datasource)
        except NotFound:
            self.cache.drop_datasource(key)
            raise DatasourceGone(str(key)) from None
        self.cache.store_datasource(trimmed(live))
        # What was seen around it was seen for another spec, perhaps: look again.
        return replace(self._again(key, seen), is_live=True, surroundings=None)

    async def _look_around(self, seen: Observed) -> Surroundings:
        if not isinstance(seen.spec, Spec) or seen.spec.oauth2 is None:
            return Surroundings()
        try:
            # Where it is sent the provider may have to tell first; that is checked as soon as it is known.
            material = await self._clients.material(seen.namespace, seen.spec.oauth2, {})
            await self._look_at_provider(seen.namespace, seen.spec.oauth2, material)
        except ClientMaterialMissing as error:
            return Surroundings(Finding(error.reason, str(error)), error.secret)
        except InvalidSpec as error:
            return Surroundings(Finding(Reason.INVALID_CONFIGURATION, str(error)))
        except SecretsForbidden as error:
            return Surroundings(secrets_forbidden(seen.namespace, error.message))
        except ConfigMapsForbidden:
            return Surroundings(config_maps_forbidden(seen.namespace))
        for name, type_ in (
            (credential_secret_name(seen.name), SecretType.CREDENTIAL),
            (seen.spec.token_secret_name(seen.name), SecretType.TOKEN),
        ):
            conflict = await self._conflict(seen, name, type_)
            if conflict.problem is not None:
                return conflict
        return Surroundings()

    async def _look_at_provider(self, namespace: str, oauth2: OAuth2, material: ClientMaterial) -> None:
        """Whether what is written and what the provider says of itself go together, and requests may go there.

        Raises:
            InvalidSpec: they do not.
            ClientMaterialMissing: what the client authenticates with may not go there.
        """
        try:
            async with asyncio.timeout(PROVIDER_PATIENCE.total_seconds()):
                metadata = await look_up_metadata(
                    self.discovery, oauth2, tenant=namespace, ca_bundle=material.ca_bundle
                )
        except (MetadataUnavailable, TimeoutError) as error:
            # The link is offered all the same: whoever opens it is told, and a provider comes back.
            logger.info("a provider's metadata cannot be read now", error=str(error) or "it takes too long")
            return
        endpoints = effective(oauth2, metadata).endpoints
        for problem in egress_problems(endpoints, self.settings.egress):
            raise problem
        material.require_allowed(endpoints)

    async def _conflict(self, seen: Observed, name: str, type_: SecretType) -> Surroundings:
        """Whether a Secret of that name exists and is not ours. Asked by metadata, so foreign values stay where they are."""
        try:
            await self.kube.get(SECRETS, seen.namespace, name, PartialObject, metadata_only=True)
        except NotFound:
            return Surroundings()
        # Metadata does not tell the type; a selector does.
        foreign, _ = await self.kube.list_metadata(
            SECRETS, seen.namespace, field_selector=f"metadata.name={name},type!={type_}"
        )
        ours, _ = (
            ([], "")
            if foreign
            else await self.kube.list_metadata(
                SECRETS, seen.namespace, field_selector=f"metadata.name={name},type={type_}"
            )
        )
        role = Role.TOKEN if type_ is SecretType.TOKEN else Role.CREDENTIAL
        if foreign or any(not credential_secret.is_ours(each.metadata, seen.name, role) for each in ours):
            return Surroundings(secret_conflict(name, role), name)
        return Surroundings()

    async def _adopt(self, key: Key, seen: Observed, credential: StoredCredential) -> Observed:
        secret = await self._get_credential(key)
        facts = read_facts(secret.metadata).facts
        if facts.tombstone is None:
            data = read_data(secret)
            if seen.oauth2 is None or data.fingerprint != fingerprint(seen.oauth2):
                raise UnreadableCredential("data key fingerprint differs from the annotation")
        patch = credential_secret.adoption_patch(
            resource_version=secret.metadata.resource_version, datasource_name=key.name, datasource_uid=seen.uid
        )
        await self.credential_secrets.swap(*key, patch, PartialObject)
        logger.info("adopted a restored credential", datasource=str(key), credential=credential.facts.credential_id)
        return self._again(key, seen)

    async def _clear(self, key: Key, seen: Observed, step: Clear) -> Observed:
        if step.credential is not None:
            await self._bury(key, step.credential, step.handled)
        else:
            conflict = await self._create_tombstone(key, seen, step.handled)
            if conflict is not None:
                return replace(seen, surroundings=conflict)
        logger.info("cleared the credential", datasource=str(key), had_credential=step.credential is not None)
        return self._again(key, seen)

    async def _create_tombstone(self, key: Key, seen: Observed, handled: HandledSet) -> Surroundings | None:
        """There was nothing to clear, and the request must stay handled; returns what is in the way."""
        facts = credential_secret.tombstone(None, credential_id=self.token_bytes(16).hex(), handled=handled)
        try:
            await self.credential_secrets.create(*key, seen.uid, Change(facts))
        except Conflict:
            conflict = await self._conflict(seen, credential_secret_name(key.name), SecretType.CREDENTIAL)
            if conflict.problem is None:
                raise Stale("a credential Secret appeared meanwhile") from None
            return conflict
        return None

    async def _bury(self, key: Key, credential: StoredCredential, handled: HandledSet) -> None:
        """Rewrite a credential to a tombstone. Its token stays for as long as it takes to revoke it, and no longer."""
        secret = await self._get_credential(key)
        if secret.metadata.resource_version != credential.resource_version:
            raise Stale("the credential changed meanwhile")
        token = self._token_to_revoke(key, secret)
        # Cleared again while a revocation is under way: that goes on, for no longer than it would have.
        until = credential.facts.revoke_until or self.now() + self.settings.revocation_patience
        facts = credential_secret.tombstone(
            credential.facts,
            credential_id=self.token_bytes(16).hex(),
            handled=handled,
            revoke_until=None if token is None else until,
        )
        patch = credential_secret.tombstone_patch(datasource_name=key.name, secret=secret, facts=facts, token=token)
        await self.credential_secrets.swap(*key, patch, PartialObject)

    @staticmethod
    def _token_to_revoke(key: Key, secret: Secret) -> RevocableToken | None:
        try:
            return revocable_token(secret)
        except UnreadableCredential as error:
            logger.warning("cannot revoke what was cleared", datasource=str(key), what=error.what)
            return None

    async def _compare_identity(self, key: Key, step: CompareIdentity) -> None:
        secret = await self._get_credential(key)
        facts = read_facts(secret.metadata).facts
        if facts != step.credential.facts:
            raise Stale("the credential changed meanwhile")
        claims = read_kept_claims(read_data(secret).identity)
        fits = claims is not None and mismatched_claim(claims, step.expected) is None
        patch = credential_secret.facts_patch(
            datasource_name=key.name,
            resource_version=secret.metadata.resource_version,
            facts=msgspec.structs.replace(
                facts, identity_checked=expected_identity_hash(step.expected), identity_fits=fits
            ),
        )
        await self.credential_secrets.swap(*key, patch, PartialObject)
        logger.info("compared who authorized with spec.oauth2.expectedIdentity", datasource=str(key), fits=fits)

    async def _hold(self, key: Key, seen: Observed, credential: StoredCredential) -> None:
        secret = await self._get_credential(key)
        if read_facts(secret.metadata).facts != credential.facts:
            raise Stale("the credential changed meanwhile")
        data = read_data(secret)
        oauth2 = seen.oauth2
        if oauth2 is None or data.fingerprint != fingerprint(oauth2):
            raise UnreadableCredential("data key fingerprint differs from the annotation")
        material = await self._material_to_revoke_with(key, oauth2, data)
        recorded = material.recorded_in(data, is_to_be_revoked=True)
        if data.client_parameters is not None:
            # How the client authenticated when it obtained these very tokens.
            recorded = msgspec.structs.replace(recorded, client_parameters=data.client_parameters)
        await self.credential_secrets.swap(*key, credential_secret.hold_patch(secret.metadata, recorded), PartialObject)

    async def _material_to_revoke_with(self, key: Key, oauth2: OAuth2, data: CredentialData) -> ClientMaterial:
        """What can be had of it; the next refresh brings what cannot be read now."""
        endpoints = {} if data.revocation_endpoint is None else {"revocationURL": data.revocation_endpoint}
        secret = ca_bundle = None
        try:
            secret = await self._clients.client_secret(key.namespace, oauth2, endpoints)
        except ClientMaterialMissing as error:
            logger.warning("no client secret to revoke with yet", datasource=str(key), error=str(error))
        try:
            ca_bundle = await self._clients.ca_bundle(key.namespace, oauth2)
        except ClientMaterialMissing as error:
            logger.warning("no CA bundle to revoke with yet", datasource=str(key), error=str(error))
        return ClientMaterial(oauth2.expanded(), secret, ca_bundle)

    async def _mark_handled(self, key: Key, credential: StoredCredential, handled: HandledSet) -> None:
        patch = credential_secret.facts_patch(
            datasource_name=key.name,
            resource_version=credential.resource_version,
            facts=msgspec.structs.replace(credential.facts, handled=handled),
        )
        await self.credential_secrets.swap(*key, patch, PartialObject)

    async def _write_token_secret(self, key: Key, seen: Observed, step: WriteTokenSecret) -> Observed:
        try:
            data = await self._data_of(key, step.credential)
            if data.fingerprint != step.credential.facts.fingerprint:
                raise UnreadableCredential("data key fingerprint differs from the annotation")
        except UnreadableCredential as error:
            return replace(seen, credential=error.unreadable)
        try:
            manifest = step.plan.manifest(step.credential.facts, data)
        except InvalidSpec as error:
            return replace(seen, too_large=error.alone())
        if step.stored is None:
            return await self._create_token_secret(key, seen, step, manifest)
        removal = step.plan.removal_patch(step.stored)
        if removal is not None:
            await self._patch_token_secret(key, step.plan.name, removal)
        applied = await self.kube.apply(
            SECRETS, key.namespace, step.plan.name, manifest, PartialObject, manager=FIELD_MANAGER
        )
        self.cache.store_secret(applied.metadata)
        return self._again(key, seen)

    async def _data_of(self, key: Key, credential: StoredCredential) -> CredentialData:
        resource_version, data = self._in_hand.get(key, ("", None))
        if data is not None and resource_version == credential.resource_version:
            return data
        secret = await self._get_credential(key)
        if read_facts(secret.metadata).facts != credential.facts:
            raise Stale("the credential changed meanwhile")
        return read_data(secret)

    async def _create_token_secret(
        self, key: Key, seen: Observed, step: WriteTokenSecret, manifest: dict[str, object]
    ) -> Observed:
        """The first write is a POST: an apply would merge into a Secret of somebody else."""
        try:
            created = await self.kube.create(SECRETS, key.namespace, manifest, PartialObject, manager=FIELD_MANAGER)
        except Conflict:
            conflict = await self._conflict(seen, step.plan.name, SecretType.TOKEN)
            if conflict.problem is None:
                raise Stale(f"Secret {step.plan.name} appeared meanwhile") from None
            return replace(seen, surroundings=conflict)
        self.cache.store_secret(created.metadata)
        return self._again(key, seen)

    async def _patch_token_secret(self, key: Key, name: str, patch: dict[str, object]) -> None:
        try:
            await self.kube.merge_patch(SECRETS, key.namespace, name, patch, PartialObject, manager=FIELD_MANAGER)
        except (Conflict, NotFound):
            raise Stale(f"Secret {name} changed meanwhile") from None

    async def _delete_token_secret(self, key: Key, seen: Observed, step: DeleteTokenSecret) -> None:
        stored = step.stored
        try:
            await self.kube.delete(
                SECRETS, key.namespace, stored.name, uid=stored.uid, resource_version=stored.resource_version
            )
        except NotFound:
            pass
        except Conflict:
            live = await self.kube.get(SECRETS, key.namespace, stored.name, PartialObject, metadata_only=True)
            self.cache.store_secret(live.metadata)
            raise Stale(f"Secret {stored.name} changed meanwhile") from None
        self.cache.drop_secret_named(key, stored.name)
        logger.info("deleted a token Secret", datasource=str(key), secret=stored.name)

    async def _get_credential(self, key: Key) -> Secret:
        secret = await self.credential_secrets.whole(*key)
        if secret is None:
            raise Stale("the credential Secret is gone, or not ours")
        return secret
