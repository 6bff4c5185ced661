"""I/O: who authorized, and whether that is somebody who may."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from callback_server import refusals
from callback_server.refusals import Refused
from datasource.api.clock import Now
from datasource.api.spec import OAuth2
from datasource.oauth2.errors import MetadataUnavailable, MetadataUnusable
from datasource.oauth2.id_token import IdentityMismatch, check_claims, unverified_claims
from datasource.oauth2.identity import expected_identity_hash, kept_claims, mismatched_claim
from datasource.oauth2.token_response import TokenResponse
from datasource.providers.verifier import IdTokenVerifier
from datasource.records.flow import Flow


@dataclass(frozen=True, slots=True)
class Authorizer:
    """Who authorized, as far as that is known."""

    shown: str | None = None
    """What a person recognizes."""
    kept: str | None = field(default=None, repr=False)
    """Verified claims, as they are kept with the credential."""
    checked: str | None = None
    """Hash of the expectedIdentity that the claims match."""


class NotAccepted(Exception):
    """The grant is not to be used; `shown` is whose it is, where that is known for sure."""

    def __init__(self, refused: Refused, shown: str | None = None) -> None:
        super().__init__(refused.title)
        self.refused = refused
        self.shown = shown


@dataclass(frozen=True, slots=True)
class IdentityCheck:
    """Checks the id_token of an exchange."""

    verifier: IdTokenVerifier
    now: Now

    async def prepare(self, parameters: OAuth2, flow: Flow, ca_bundle: str | None) -> None:
        """See before the code is spent that an id_token could be verified.

        Raises:
            Refused: it could not.
        """
        issuer = parameters.issuer
        if issuer is None or flow.nonce is None:
            return
        try:
            await self.verifier.prepare(issuer, tenant=flow.namespace, ca_bundle=ca_bundle)
        except (MetadataUnavailable, MetadataUnusable) as error:
            raise refusals.identity_cannot_be_verified(str(error)) from None

    async def authorizer(
        self, parameters: OAuth2, flow: Flow, response: TokenResponse, ca_bundle: str | None
    ) -> Authorizer:
        """Who authorized.

        Raises:
            NotAccepted: the id_token is not for us, or it is not somebody whom spec.oauth2.expectedIdentity names.
        """
        if response.id_token is None or flow.nonce is None:
            if parameters.expected_identity:
                raise NotAccepted(refusals.identity_is_unknown())
            return Authorizer()
        try:
            claims = await self._claims(response.id_token, parameters.issuer, flow.namespace, ca_bundle)
            identity = check_claims(
                claims, issuer=parameters.issuer, client_id=parameters.client_id or "", nonce=flow.nonce, now=self.now()
            )
        except IdentityMismatch as error:
            raise NotAccepted(refusals.identity_does_not_fit(str(error))) from None
        except (MetadataUnavailable, MetadataUnusable) as error:
            why = f"The id_token could not be verified. {error}"
            raise NotAccepted(refusals.identity_does_not_fit(why)) from None
        if parameters.issuer is None:
            return Authorizer(identity.shown)
        if parameters.expected_identity and mismatched_claim(claims, parameters.expected_identity) is not None:
            raise NotAccepted(refusals.somebody_else_authorized(parameters.expected_identity), identity.shown)
        checked = expected_identity_hash(parameters.expected_identity) if parameters.expected_identity else None
        return Authorizer(identity.shown, kept_claims(claims), checked)

    async def _claims(
        self, id_token: str, issuer: str | None, namespace: str, ca_bundle: str | None
    ) -> Mapping[str, Any]:
        if issuer is None:
            # Nobody vouches for the keys; TLS of the token endpoint is enough to show who authorized.
            return unverified_claims(id_token)
        return await self.verifier.claims(id_token, issuer, tenant=namespace, ca_bundle=ca_bundle)
