"""I/O: refresh tokens that somebody brings along in import Secrets: looked at, stored as credentials to be proved, deleted.

It is never sent from here. What is stored is refreshed as every credential is, by the refresher with its intent and its
journal; so whenever the process ends, the token stands in the import Secret or in the credential Secret.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import msgspec
import structlog

from datasource.api.names import import_secret_name
from datasource.api.objects import Metadata, PartialObject, Secret
from datasource.api.secret_metadata import NO_METADATA
from datasource.api.spec import DeletionPolicy, InvalidSpec, OAuth2, Spec
from datasource.cluster.api_errors import Conflict, Forbidden, Invalid, NotFound
from datasource.cluster.clients import ClientMaterial, ClientMaterialMissing, Clients
from datasource.cluster.credential_secrets import CredentialSecrets, Stale
from datasource.cluster.kube import Kube
from datasource.cluster.resources import SECRETS
from datasource.oauth2.errors import MetadataUnavailable
from datasource.oauth2.provider_metadata import ProviderMetadata
from datasource.records.change import Change
from datasource.records.contents import Readable, StoredCredential, credential_id_in
from datasource.records.credential import CredentialData, CredentialFacts, read_data
from datasource.records.credential_patches import credential_patch
from datasource.records.effective import Effective, effective_oauth2
from datasource.records.fingerprint import fingerprint
from datasource.records.history import STORED, Act, By, entry_of
from datasource.records.import_secret import (
    ImportedFrom,
    ImportSecret,
    UnusableImport,
    datasource_of_import,
    import_secret_in,
    imported_hash,
    refresh_token_in,
)
from datasource.records.standing import Absent
from datasource_operator.cache import Key
from datasource_operator.decisions.observed import ImportLook, Observed, SeenImport
from datasource_operator.decisions.steps import TakeImport
from datasource_operator.observer import Observer
from datasource_operator.provider_lookups import LookupPending, ProviderLookups
from datasource_operator.served_scopes import Source

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class SeenImports:
    """The import Secrets that a watch shows, by the Datasources that they are for; and what looks at their data showed."""

    _secrets: dict[Key, ImportSecret] = field(default_factory=dict)
    _looks: dict[Key, tuple[str, ImportLook]] = field(default_factory=dict)
    """With the resourceVersion that was looked at."""

    def of(self, key: Key) -> SeenImport | None:
        """The one of a Datasource."""
        secret = self._secrets.get(key)
        if secret is None:
            return None
        version, look = self._looks.get(key, ("", None))
        return SeenImport(secret, look if version == secret.resource_version else None)

    def looked(self, key: Key, secret: ImportSecret, look: ImportLook) -> None:
        """Remember what a look showed."""
        self._looks[key] = (secret.resource_version, look)

    def forget_look(self, key: Key) -> None:
        """The Datasource is gone."""
        self._looks.pop(key, None)

    def owner(self, metadata: Metadata) -> Key | None:
        """Whose a Secret was: whose it is, for its name says so, and a name stays."""
        name = datasource_of_import(metadata.name)
        return None if name is None else Key(metadata.namespace, name)

    def store_secret(self, metadata: Metadata, *, has_usual_type: bool = True) -> Key | None:
        """Remember one; returns whose it is."""
        key = self.owner(metadata)
        if key is not None and has_usual_type:
            self._secrets[key] = import_secret_in(metadata)
        return key

    def drop_secret(self, metadata: Metadata) -> Key | None:
        """Forget one; returns whose it was."""
        key = self.owner(metadata)
        if key is not None:
            self.drop_secret_named(key, metadata.name)
        return key

    def drop_secret_named(self, key: Key, name: str) -> None:
        """Forget one that a full list no longer has."""
        if name == import_secret_name(key.name):
            self._secrets.pop(key, None)
            self._looks.pop(key, None)

    def secret_names(self, source: Source) -> Iterator[tuple[Key, str]]:
        """Which ones are remembered."""
        for key in self._secrets if source is Source.IMPORTS else ():
            yield key, import_secret_name(key.name)


def _replaced_by_import(replaced: Readable | None) -> str:
    """The ID of what stood there before any import: of a consent under way, that is what it is to replace."""
    if isinstance(replaced, StoredCredential) and replaced.facts.is_unproven:
        return replaced.facts.replaces
    return credential_id_in(replaced)


@dataclass(slots=True)
class Importer:
    """Carries out the steps about import Secrets."""

    kube: Kube
    observer: Observer
    providers: ProviderLookups
    clients: Clients
    token_bytes: Callable[[int], bytes]
    seen: SeenImports = field(default_factory=SeenImports)

    @property
    def _credential_secrets(self) -> CredentialSecrets:
        return self.observer.credential_secrets

    async def look(self, key: Key, seen: Observed, expected: ImportSecret) -> Observed:
        """Read what one brings, and remember it by its hash."""
        try:
            token = refresh_token_in(await self._read(key, expected))
        except UnusableImport as error:
            look = ImportLook(problem=str(error))
        except Forbidden as error:
            return replace(seen, import_waits=f"The operator may not read it. The API server says: {error.message}.")
        else:
            look = ImportLook(imported_hash(token))
        self.seen.looked(key, expected, look)
        return self.observer.again(key, seen)

    async def take(self, key: Key, seen: Observed, step: TakeImport) -> Observed:
        """Store its refresh token as a credential that is to be proved.

        Raises:
            Stale: the Secret, or what it is to replace, changed meanwhile.
        """
        oauth2 = seen.oauth2
        if oauth2 is None:
            raise Stale("the parameters are gone")
        try:
            token = refresh_token_in(await self._read(key, step.secret))
            material, metadata = await self._provider(key, oauth2)
            effective = effective_oauth2(oauth2, metadata)
            material.require_allowed(effective.endpoints)
        except UnusableImport as error:
            raise Stale(str(error)) from None
        except LookupPending:
            return replace(seen, import_waits="The provider's metadata is being read.")
        except (MetadataUnavailable, ClientMaterialMissing, InvalidSpec) as error:
            return replace(seen, import_waits=str(error))
        # How the client authenticates may be told by the provider's metadata.
        material = replace(material, parameters=effective.parameters)
        facts, data = self._unproven(seen, step, effective, material, token)
        if metadata is not None:
            facts = msgspec.structs.replace(facts, promised=metadata.promises_about(effective.token_url))
        await self._store(key, seen, step, facts, data)
        logger.info("took a refresh token over", datasource=str(key), credential=facts.credential_id)
        return self.observer.again(key, seen)

    async def delete(self, key: Key, seen: Observed, expected: ImportSecret) -> Observed:
        """Delete one whose refresh token was taken over, as it was when that was known.

        Raises:
            Stale: it changed meanwhile.
        """
        name = import_secret_name(key.name)
        try:
            await self.kube.delete(
                SECRETS, key.namespace, name, uid=expected.uid, resource_version=expected.resource_version
            )
        except NotFound:
            pass
        except Conflict:
            raise Stale(f"Secret {name} changed meanwhile") from None
        except (Forbidden, Invalid) as error:
            logger.warning("cannot delete an import that was taken over", datasource=str(key), error=error.message)
            why = f"It was imported, and the operator cannot delete it: do so. The API server says: {error.message}."
            return replace(seen, import_waits=why)
        self.seen.drop_secret_named(key, name)
        logger.info("deleted an import that was taken over", datasource=str(key), secret=name)
        return self.observer.again(key, seen)

    async def _read(self, key: Key, expected: ImportSecret) -> Secret:
        name = import_secret_name(key.name)
        try:
            secret = await self.kube.get(SECRETS, key.namespace, name, Secret)
        except NotFound:
            self.seen.drop_secret_named(key, name)
            raise Stale(f"Secret {name} is gone") from None
        if import_secret_in(secret.metadata) != expected:
            raise Stale(f"Secret {name} changed meanwhile")
        return secret

    async def _provider(self, key: Key, oauth2: OAuth2) -> tuple[ClientMaterial, ProviderMetadata | None]:
        material = await self.clients.material(key.namespace, oauth2, {})
        return material, await self.providers.metadata(key, oauth2, material.ca_bundle)

    def _unproven(
        self, seen: Observed, step: TakeImport, effective: Effective, material: ClientMaterial, token: str
    ) -> tuple[CredentialFacts, CredentialData]:
        """As a code's credential is recorded, but for what only the provider can say."""
        bound_to = fingerprint(effective.written)
        facts = CredentialFacts(
            credential_id=self.token_bytes(16).hex(),
            replaces=_replaced_by_import(step.replaced),
            fingerprint=bound_to,
            requested_scopes=effective.parameters.scopes,
            has_refresh_token=True,
            handled=seen.handled.with_requests(seen.requests),
            is_revocable=effective.revocation_url is not None,
            imported=ImportedFrom(step.token_hash, step.secret.uid),
        )
        data = CredentialData(
            access_token="",
            token_type="",
            token_endpoint=effective.token_url,
            fingerprint=bound_to,
            client_id=effective.client_id,
            refresh_token=token,
            revocation_endpoint=effective.revocation_url,
            refresh_endpoint=effective.parameters.refresh_url or None,
        )
        is_to_be_revoked = isinstance(seen.spec, Spec) and seen.spec.deletion_policy is DeletionPolicy.REVOKE
        return facts, material.recorded_in(data, is_to_be_revoked=is_to_be_revoked)

    async def _store(
        self, key: Key, seen: Observed, step: TakeImport, facts: CredentialFacts, data: CredentialData
    ) -> None:
        """Put it where nothing stands, or over exactly what was seen.

        Raises:
            Stale: something else stands there by now.
        """
        replaced, secrets = step.replaced, self._credential_secrets
        entry = entry_of(self.token_bytes(16).hex(), Act.NEW_CREDENTIAL, by=By.IMPORT, at=seen.now, result=STORED)
        entry = entry.marked(secrets.link_keys(), key)
        if replaced is None:
            template = seen.spec.credential_secret.template if isinstance(seen.spec, Spec) else NO_METADATA
            change = Change(facts, data).with_entry(None, entry)
            try:
                await secrets.create(*key, Absent(seen.uid, template), change)
            except Conflict:
                raise Stale("a credential Secret appeared meanwhile") from None
            return
        secret = await self.observer.unchanged(key, replaced)
        if step.keeps_access_token and isinstance(replaced, StoredCredential):
            before = read_data(secret)
            facts = msgspec.structs.replace(facts, expires_at=replaced.facts.expires_at)
            data = msgspec.structs.replace(data, access_token=before.access_token, token_type=before.token_type)
        change = Change(facts, data).with_entry(secret.history, entry)
        patch = credential_patch(
            datasource_name=key.name,
            resource_version=secret.metadata.resource_version,
            facts=change.facts,
            data=change.data,
            history=change.history,
        )
        await secrets.swap(*key, patch, PartialObject)
