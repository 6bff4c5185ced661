"""I/O: live reads of what no watch shows: the client Secret, the provider, and foreign Secrets with names that we need."""

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
from datasource.records.stored_token_secret import read_stored
from datasource_operator.cache import Key
from datasource_operator.decisions.observed import Finding, Observed, Surroundings
from datasource_operator.decisions.obstacles import (
    config_maps_forbidden,
    credential_lost_its_annotations,
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
    """Reads the surroundings of a Datasource (`Surroundings`)."""

    kube: Kube
    settings: Settings
    providers: ProviderLookups
    clients: Clients

    async def read(self, seen: Observed) -> Surroundings:
        """Read the surroundings of a Datasource. They name the first problem, if there is one."""
        if not isinstance(seen.spec, Spec) or seen.spec.oauth2 is None:
            return Surroundings()
        try:
            # The endpoints that it is sent to may come from the provider's metadata. `_look_at_provider` checks them.
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
        """Whether a Secret of that name is in the way. Only metadata are read, and no values of a foreign Secret."""
        try:
            await self.kube.get(SECRETS, seen.namespace, name, PartialObject, metadata_only=True)
        except NotFound:
            return Surroundings()
        # Metadata do not include the type. A field selector shows it.
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
                return Surroundings(_not_ours(each.metadata, seen, role), name)
            # A restore brings back token Secrets, so one of our own type counts as ours. One of another type counts as a copy.
            if role is Role.TOKEN and type_ != SecretType.TOKEN and read_stored(each.metadata).is_copy:
                return Surroundings(secret_is_a_copy(name), name)
        for each in ours:
            # With only our own finalizer the Secret is gone soon: a revocation is under way.
            others = tuple(finalizer for finalizer in each.metadata.finalizers if finalizer != REVOKE_FINALIZER)
            if each.metadata.deletion_timestamp is not None and others:
                return Surroundings(secret_is_leaving(name, others), name)
        return Surroundings()

    async def _look_at_provider(self, key: Key, oauth2: OAuth2, material: ClientMaterial) -> None:
        """Check that the spec fits the provider's metadata, and that requests may go to the endpoints.

        Where the metadata are not known yet, nothing is checked. The surroundings are read again once they are known.

        Raises:
            InvalidSpec: the spec does not fit, or the egress policy forbids an endpoint.
            ClientMaterialMissing: the client secret or a header may not be sent to an endpoint.
        """
        try:
            metadata = await self.providers.metadata(key, oauth2, material.ca_bundle)
        except (MetadataUnavailable, LookupPending):
            # The link is still offered: the provider may be back when a person opens it. If not, the page says so.
            return
        endpoints = effective_oauth2(oauth2, metadata).endpoints
        for problem in egress_problems(endpoints, self.settings.egress):
            raise problem.error()
        material.require_allowed(endpoints)


def _not_ours(metadata: Metadata, seen: Observed, role: Role) -> Finding:
    """The problem with a Secret of the wanted type that is not ours: it is foreign, or ours without its annotations."""
    stored = read_stored(metadata)
    if any(owner.uid == seen.uid for owner in stored.owners):
        if role is Role.TOKEN and not stored.is_copy:
            return secret_lost_its_annotations(metadata.name)
        if role is Role.CREDENTIAL:
            return credential_lost_its_annotations(metadata.name, seen.namespace, seen.name)
    return secret_conflict(metadata.name, role, metadata.annotations.get(Annotation.DATASOURCE))


def _in_the_way(metadata: Metadata, datasource_name: str, role: Role) -> Finding:
    """The problem with a Secret of another type than the wanted one: it is foreign, our token Secret, or a copy of that."""
    if role is Role.TOKEN and is_ours(metadata, datasource_name, role):
        name = metadata.name
        return secret_is_a_copy(name) if read_stored(metadata).is_copy else secret_has_another_type(name)
    return secret_conflict(metadata.name, role)
