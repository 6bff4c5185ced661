"""I/O: a Datasource and its credential Secret, read live: nothing here is cached."""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import assert_never

from callback_server import refusals
from callback_server.limits import Bulkhead
from callback_server.long_work import PATIENCE
from datasource.api import link_ticket
from datasource.api.names import credential_secret_name, ticket_in
from datasource.api.objects import Datasource, Status
from datasource.api.requests import HandledSet, Requests, requests_in
from datasource.api.secret_metadata import SecretMetadata
from datasource.api.spec import InvalidSpec, OAuth2, Spec, missing_fields, redirect_uri_of
from datasource.api.spec_problems import parse_spec
from datasource.cluster.api_errors import Forbidden, NotFound
from datasource.cluster.clients import ReadsObjects
from datasource.cluster.credential_secrets import CredentialSecrets, NotOurs
from datasource.cluster.resources import DATASOURCES
from datasource.oauth2.errors import MetadataUnavailable
from datasource.oauth2.provider_metadata import ProviderMetadata
from datasource.process.settings import Settings
from datasource.providers.discovery import Discovery
from datasource.providers.metadata_lookup import look_up_metadata
from datasource.records.contents import (
    Leaving,
    Readable,
    StoredCredential,
    StoredTombstone,
    credential_id_in,
    handled_by,
)
from datasource.records.credential import Unreadable
from datasource.records.effective import Effective, effective_oauth2, needs_metadata
from datasource.records.fingerprint import parameters_hash
from datasource.records.ticket import same_ticket, ticket_fits, ticket_hash, ticket_scope


@dataclass(frozen=True, slots=True)
class Situation:
    """A Datasource and its credential Secret, as they were read a moment ago.

    There is none for a Datasource whose credential Secret cannot be replaced: the request is refused. `Observed` is the
    counterpart in the operator.
    """

    namespace: str
    name: str
    uid: str
    spec: Spec
    oauth2: OAuth2
    status: Status
    requests: Requests
    credential: Readable | None
    made_apart: Callable[[str], bool] = lambda _: False
    """Whether a ticket was made for a person without an identity in the cluster, for the spec as it is now."""

    @property
    def credential_id(self) -> str:
        """The ID of the stored credential or tombstone; empty where there is none."""
        return credential_id_in(self.credential)

    @property
    def handled(self) -> HandledSet:
        """The requests (annotations) that were already acted on."""
        return handled_by(self.credential)

    @property
    def template(self) -> SecretMetadata:
        """The labels and annotations that a new credential Secret gets from the spec."""
        return self.spec.credential_secret.template

    @property
    def promised(self) -> ProviderMetadata | None:
        """The provider's metadata from when the credential or tombstone was stored; None where the issuer is another now."""
        promised = None if self.credential is None else self.credential.facts.promised
        return promised if promised is not None and promised.issuer == self.oauth2.expanded().issuer else None

    @property
    def parameters_hash(self) -> str:
        """The hash of the parameters that the person agrees to."""
        return parameters_hash(self.oauth2)

    def redirect_uri(self, external_url: str) -> str:
        """The redirect URI to register with the provider."""
        return redirect_uri_of(self.oauth2, external_url, self.namespace, self.name)

    def ticket_is_live(self, ticket: str) -> bool:
        """Whether the link with that ticket is offered now, and no credential was stored with it yet."""
        if self.ticket_is_used(ticket_hash(ticket)):
            return False
        offered = ticket_in(self.status.authorization_link)
        if offered is None:
            return self.status.authorization_link is not None and self.made_apart(ticket)
        return same_ticket(ticket, offered) and self.ticket_was_issued(ticket)

    def ticket_got_it(self, ticket: str) -> bool:
        """Whether the stored credential was obtained with that ticket."""
        return isinstance(self.credential, StoredCredential) and self.credential.facts.ticket_hash == ticket_hash(
            ticket
        )

    def ticket_was_issued(self, ticket: str) -> bool:
        """Whether a ticket fits the Datasource, its parameters and its credential. That is no proof that it is offered."""
        return ticket_fits(ticket, ticket_scope(self.uid, self.oauth2, self.credential))

    def ticket_is_used(self, hash_: str) -> bool:
        """Whether the credential or tombstone has this ticket hash: its link is used up."""
        return self.credential is not None and self.credential.facts.ticket_hash == hash_


@dataclass(frozen=True, slots=True)
class Observer:
    """Reads situations."""

    kube: ReadsObjects
    credential_secrets: CredentialSecrets
    settings: Settings
    discovery: Discovery
    lookups: Bulkhead
    """Bounds how many requests wait for a provider's metadata at one time."""
    patience: float = PATIENCE
    """Seconds for which a page waits for the metadata. The request goes on after that, and a reload has the answer."""

    async def datasource(self, namespace: str, name: str) -> Datasource | None:
        """The Datasource, if there is one that we serve."""
        if self.settings.namespaces and namespace not in self.settings.namespaces:
            return None
        try:
            return await self.kube.get(DATASOURCES, namespace, name, Datasource)
        except (NotFound, Forbidden):
            return None

    async def situation(self, datasource: Datasource) -> Situation:
        """Everything that matters around a Datasource.

        Raises:
            Refused: its spec cannot be used, or its credential Secret is not ours or cannot be read.
            ApiError, Unavailable: the API server refused or did not answer.
        """
        metadata = datasource.metadata
        spec, oauth2 = self._parsed(datasource)
        return Situation(
            namespace=metadata.namespace,
            name=metadata.name,
            uid=metadata.uid,
            spec=spec,
            oauth2=oauth2,
            status=datasource.status,
            requests=requests_in(metadata.annotations),
            credential=await self._credential(metadata.namespace, metadata.name, metadata.uid),
            made_apart=partial(link_ticket.is_offered, metadata.annotations, metadata.generation),
        )

    async def metadata(self, situation: Situation, ca_bundle: str | None) -> ProviderMetadata | None:
        """What the provider says of itself now, or promised earlier; None where nothing depends on it.

        Raises:
            Refused: an endpoint depends on it, and it cannot be had.
            Exceeded: too many of that namespace wait for metadata.
        """
        whole = situation.oauth2.expanded()
        is_at_hand = not whole.issuer or self.discovery.is_known(
            whole.issuer, ca_bundle=ca_bundle, discovery_url=whole.discovery_url
        )
        try:
            async with (
                nullcontext() if is_at_hand else self.lookups.one(situation.namespace),
                asyncio.timeout(self.patience),
            ):
                found = await look_up_metadata(
                    self.discovery, situation.oauth2, tenant=situation.namespace, ca_bundle=ca_bundle
                )
        except TimeoutError:
            if needs_metadata(situation.oauth2):
                raise refusals.provider_takes_long() from None
            found = None
        except MetadataUnavailable as error:
            raise refusals.provider_is_silent(str(error)) from None
        except InvalidSpec as error:
            raise refusals.not_configured(str(error)) from None
        return found or situation.promised

    def _parsed(self, datasource: Datasource) -> tuple[Spec, OAuth2]:
        try:
            spec = parse_spec(
                datasource.spec, allow_insecure_http=self.settings.allow_insecure_http, egress=self.settings.egress
            )
        except InvalidSpec as error:
            raise refusals.not_configured(str(error)) from None
        missing = ("clientID", "authorizeURL", "tokenURL") if spec.oauth2 is None else spec.oauth2.missing()
        if spec.oauth2 is None or missing:
            raise refusals.not_configured(missing_fields(missing, spec.oauth2.preset if spec.oauth2 else None))
        return spec, spec.oauth2

    async def _credential(self, namespace: str, name: str, uid: str) -> Readable | None:
        secret_name = credential_secret_name(name)
        found = await self.credential_secrets.facts(namespace, name, owner=uid)
        match found:
            case NotOurs():
                raise refusals.name_is_taken(secret_name)
            case Leaving():
                raise refusals.not_configured(
                    f"Secret {secret_name}, which keeps the earlier credential, is being removed. "
                    "Open the link again in a minute."
                )
            case Unreadable():
                raise refusals.not_configured(found.advice(name))
            case StoredCredential() | StoredTombstone() | None:
                return found
            case _:
                assert_never(found)


def effective_parameters(situation: Situation, metadata: ProviderMetadata | None) -> Effective:
    """What holds for a Datasource.

    Raises:
        Refused: what is written and what the provider says of itself do not go together.
    """
    try:
        return effective_oauth2(situation.oauth2, metadata)
    except InvalidSpec as error:
        raise refusals.not_configured(str(error)) from None
