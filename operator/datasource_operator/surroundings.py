"""I/O: a live look at what is not watched: the client Secret, the provider, names that somebody else may have taken."""

from dataclasses import dataclass

from datasource.api.names import REVOKE_FINALIZER, Annotation, Role, SecretType, credential_secret_name
from datasource.api.objects import Metadata, PartialObject
from datasource.api.spec import InvalidSpec, OAuth2, Spec
from datasource.api.spec_problems import egress_problems
from datasource.api.states import Reason
from datasource.cluster.api_errors import NotFound
from datasource.cluster.clients import (
    ClientMaterial,
    ClientMaterialMissing,
    Clients,
    ConfigMapsForbidden,
    SecretsForbidden,
)
from datasource.cluster.kube import Kube
from datasource.cluster.resources import SECRETS
from datasource.oauth2.errors import MetadataUnavailable
from datasource.process.settings import Settings
from datasource.records.credential import is_ours
from datasource.records.effective import effective_oauth2
from datasource.records.token_secret import read_stored
from datasource_operator.cache import Key
from datasource_operator.decisions.observed import Finding, Observed, Surroundings
from datasource_operator.decisions.obstacles import (
    config_maps_forbidden,
    secret_conflict,
    secret_has_another_type,
    secret_is_a_copy,
    secret_is_leaving,
    secret_lost_its_annotations,
    secrets_forbidden,
)
from datasource_operator.provider_lookups import LookupPending, ProviderLookups


@dataclass(frozen=True, slots=True)
class SurroundingsReader:
    """Looks around a Datasource."""

    kube: Kube
    settings: Settings
    providers: ProviderLookups
    clients: Clients

    async def read(self, seen: Observed) -> Surroundings:
        """What is in the way of a Datasource, if anything is."""
        if not isinstance(seen.spec, Spec) or seen.spec.oauth2 is None:
            return Surroundings()
        try:
            # Where it is sent the provider may have to tell first; that is checked as soon as it is known.
            material = await self.clients.material(seen.namespace, seen.spec.oauth2, {})
            await self._look_at_provider(Key(seen.namespace, seen.name), seen.spec.oauth2, material)
        except ClientMaterialMissing as error:
            return Surroundings(Finding(error.reason, str(error)), error.secret)
        except InvalidSpec as error:
            return Surroundings(Finding(Reason.INVALID_CONFIGURATION, str(error)))
        except SecretsForbidden as error:
            return Surroundings(secrets_forbidden(seen.namespace, error.message))
        except ConfigMapsForbidden:
            return Surroundings(config_maps_forbidden(seen.namespace))
        for name, role, type_ in (
            (credential_secret_name(seen.name), Role.CREDENTIAL, SecretType.CREDENTIAL),
            (seen.spec.token_secret_name(seen.name), Role.TOKEN, seen.spec.token_secret.type or SecretType.TOKEN),
        ):
            conflict = await self.conflict(seen, name, role, type_)
            if conflict.problem is not None:
                return conflict
        return Surroundings()

    async def conflict(self, seen: Observed, name: str, role: Role, type_: str) -> Surroundings:
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
        for each in foreign:
            return Surroundings(_in_the_way(each.metadata, seen.name, role), name)
        for each in ours:
            if not is_ours(each.metadata, seen.name, role):
                return Surroundings(_not_ours(each.metadata, seen.uid, role), name)
            # A Secret of our very type comes back with a restore; of another type there are copies.
            if role is Role.TOKEN and type_ != SecretType.TOKEN and read_stored(each.metadata).is_copy:
                return Surroundings(secret_is_a_copy(name), name)
        for each in ours:
            # With our own finalizer alone it goes by itself: a revocation is under way.
            others = tuple(finalizer for finalizer in each.metadata.finalizers if finalizer != REVOKE_FINALIZER)
            if each.metadata.deletion_timestamp is not None and others:
                return Surroundings(secret_is_leaving(name, others), name)
        return Surroundings()

    async def _look_at_provider(self, key: Key, oauth2: OAuth2, material: ClientMaterial) -> None:
        """Whether what is written and what the provider says of itself go together, and requests may go there.

        Where the provider has not been looked at yet, this is asked again when it has.

        Raises:
            InvalidSpec: they do not.
            ClientMaterialMissing: what the client authenticates with may not go there.
        """
        try:
            metadata = await self.providers.metadata(key, oauth2, material.ca_bundle)
        except (MetadataUnavailable, LookupPending):
            # The link is offered all the same: whoever opens it is told, and a provider comes back.
            return
        endpoints = effective_oauth2(oauth2, metadata).endpoints
        for problem in egress_problems(endpoints, self.settings.egress):
            raise problem.error()
        material.require_allowed(endpoints)


def _not_ours(metadata: Metadata, uid: str, role: Role) -> Finding:
    """A Secret of the type that we need there: somebody else's, or one that we wrote and whose annotations are gone."""
    stored = read_stored(metadata)
    if role is Role.TOKEN and not stored.is_copy and any(owner.uid == uid for owner in stored.owners):
        return secret_lost_its_annotations(metadata.name)
    return secret_conflict(metadata.name, role, metadata.annotations.get(Annotation.DATASOURCE))


def _in_the_way(metadata: Metadata, datasource_name: str, role: Role) -> Finding:
    """A Secret of another type than the one that we need there: somebody else's, or ours of an earlier type."""
    if role is Role.TOKEN and is_ours(metadata, datasource_name, role):
        name = metadata.name
        return secret_is_a_copy(name) if read_stored(metadata).is_copy else secret_has_another_type(name)
    return secret_conflict(metadata.name, role)
