"""I/O: who authorized, and whether that is somebody who may."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from callback_server import refusals
from callback_server.refusals import Refused
from datasource.api.clock import Now
from datasource.api.spec import OAuth2
from datasource.oauth2.errors import MetadataUnavailable, MetadataUnusable
from datasource.oauth2.id_token import IdentityMismatch, OfAnotherAuthorization, check_claims, unverified_claims
from datasource.oauth2.identity import expected_identity_hash, kept_claims, mismatched_claim
from datasource.oauth2.token_response import TokenResponse
from datasource.providers.verifier import IdTokenVerifier
from datasource.records.flow import Flow

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Authorizer:
    """Who authorized, as far as that is known."""

    shown: str | None = None
    """What a person recognizes."""
    kept: str | None = field(default=None, repr=False)
    """Verified claims, as they are kept with the credential."""
    checked: str | None = None
    """Hash of the expectedIdentity that the claims match."""
    problem: str | None = None
    """Why it is not known, although there was an id_token."""


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
        if issuer is None or not _is_asked_for(parameters, flow):
            return
        try:
            await self.verifier.prepare(
                issuer, tenant=flow.namespace, ca_bundle=ca_bundle, discovery_url=parameters.discovery_url
            )
        except MetadataUnavailable as error:
            raise refusals.identity_cannot_be_verified(str(error)) from None
        except MetadataUnusable as error:
            # That does not change in a minute. It costs nobody their consent where nobody is expected.
            if parameters.expected_identity:
                raise refusals.identity_cannot_be_verified(str(error)) from None

    async def authorizer(
        self,
        parameters: OAuth2,
        flow: Flow,
        response: TokenResponse,
        ca_bundle: str | None,
        *,
        replayed_from: datetime | None = None,
    ) -> Authorizer:
        """Who authorized.

        Args:
            parameters: filled in from the preset.
            flow: as it was claimed.
            response: what the code brought.
            ca_bundle: by which the issuer is trusted beside the system's authorities.
            replayed_from: where the reply comes from the journal, when it came: times in it are judged by that, and keys that
                cannot be had now are waited for.

        Raises:
            MetadataUnavailable: there are no keys now; only for a reply from the journal.
            NotAccepted: the id_token is not for us, or it is not somebody whom spec.oauth2.expectedIdentity names.
        """
        if response.id_token is None or not _is_asked_for(parameters, flow):
            if parameters.expected_identity:
                raise NotAccepted(refusals.identity_is_unknown())
            return Authorizer()
        at = replayed_from or self.now()
        try:
            claims = await self._claims(response.id_token, parameters, flow.namespace, ca_bundle)
            identity = check_claims(
                claims, issuer=parameters.issuer, client_id=parameters.client_id or "", nonce=flow.nonce, now=at
            )
        except IdentityMismatch as error:
            # The nonce is what keeps somebody else's code out where there is no PKCE (RFC 9700 section 4.5.3.2).
            is_refused = isinstance(error, OfAnotherAuthorization) and flow.code_verifier is None
            return _unknown(parameters, flow, str(error), is_refused=is_refused)
        except (MetadataUnavailable, MetadataUnusable) as error:
            if replayed_from is not None and isinstance(error, MetadataUnavailable):
                raise
            return _unknown(parameters, flow, f"The id_token could not be verified. {error}")
        if parameters.issuer is None:
            return Authorizer(identity.shown)
        if parameters.expected_identity and mismatched_claim(claims, parameters.expected_identity) is not None:
            raise NotAccepted(refusals.somebody_else_authorized(parameters.expected_identity), identity.shown)
        checked = expected_identity_hash(parameters.expected_identity) if parameters.expected_identity else None
        return Authorizer(identity.shown, kept_claims(claims), checked)

    async def _claims(
        self, id_token: str, parameters: OAuth2, namespace: str, ca_bundle: str | None
    ) -> Mapping[str, Any]:
        if parameters.issuer is None:
            # Nobody vouches for the keys; TLS of the token endpoint is enough to show who authorized.
            return unverified_claims(id_token)
        return await self.verifier.claims(
            id_token,
            parameters.issuer,
            tenant=namespace,
            ca_bundle=ca_bundle,
            discovery_url=parameters.discovery_url,
            is_asked_once=True,
        )


def _is_asked_for(parameters: OAuth2, flow: Flow) -> bool:
    """Whether an id_token says something about this authorization."""
    return flow.nonce is not None or parameters.nonce is False


def _unknown(parameters: OAuth2, flow: Flow, why: str, *, is_refused: bool = False) -> Authorizer:
    """Where nobody is expected, an id_token that does not fit costs no more than the name of whoever authorized.

    Raises:
        NotAccepted: somebody is expected, or the answer may be of another authorization.
    """
    if parameters.expected_identity or is_refused:
        raise NotAccepted(refusals.identity_does_not_fit(why))
    logger.warning("it is not known who authorized", datasource=f"{flow.namespace}/{flow.name}", why=why)
    return Authorizer(problem=why)
