"""I/O: asks the company's issuer who a person is, with the client and the checks that authorizations use. No token is kept."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import structlog

from callback_server import refusals
from callback_server.signed_in.under_way import UnderWay
from datasource.oauth2.authorize import (
    ReservedParameter,
    authorization_parameters,
    front_url,
    pushed_url,
    s256_challenge,
)
from datasource.oauth2.callback import AuthorizationResponse, RefusedCallback, check_issuer
from datasource.oauth2.errors import MetadataUnavailable, MetadataUnusable, NotDelivered, OAuth2Error, OutcomeUnknown
from datasource.oauth2.id_token import IdentityMismatch, Named, check_claims
from datasource.oauth2.kubernetes_user import ClaimMapping, NobodyKnown, User, user_of
from datasource.oauth2.provider_metadata import ProviderMetadata
from datasource.oauth2.pushed_authorization import pushed_authorization_request
from datasource.oauth2.token_request import Client, ClientAuthentication, authorization_code_request
from datasource.process.sign_in import SignIn, UnusableSignIn
from datasource.process.sign_in_variables import CLIENT_ID, ISSUER
from datasource.providers.discovery import Discovery
from datasource.providers.exchange import push_authorization, request_token
from datasource.providers.transport import Transport
from datasource.providers.verifier import IdTokenVerifier

logger = structlog.get_logger(__name__)

_NAMED = Named(ISSUER, CLIENT_ID, "")


@dataclass(frozen=True, slots=True)
class Issuer:
    """The company's issuer, which says who a person is."""

    settings: SignIn
    transport: Transport
    """A transport of its own, because the issuer's host is open for sign-in only."""
    discovery: Discovery
    verifier: IdTokenVerifier
    tenant: str
    """The namespace on whose behalf requests are sent: our own."""
    now: Callable[[], datetime]

    async def front_url(self, under_way: UnderWay, redirect_uri: str) -> str:
        """The URL at the issuer that the browser is sent to (OIDC Core section 3.1.2.1).

        Raises:
            Refused: the issuer cannot be asked now, or sign-in is not set up correctly.
        """
        with self._told_to_the_platform_team():
            bundle = self.settings.ca_bundle()
            metadata = await self._metadata(bundle)
            parameters = authorization_parameters(
                client_id=self.settings.client_id,
                redirect_uri=redirect_uri,
                state=under_way.state,
                scopes=self.settings.scopes,
                code_challenge=s256_challenge(under_way.code_verifier),
                nonce=under_way.nonce,
            )
            endpoint, pushed = (
                _required(metadata, "authorization_endpoint"),
                metadata.pushed_authorization_request_endpoint,
            )
            if pushed is None or not metadata.require_pushed_authorization_requests:
                return front_url(endpoint, parameters)
            request = pushed_authorization_request(pushed, self._client(metadata), parameters)
            reference = await push_authorization(
                self.transport, request, tenant=self.tenant, now=self.now, ca_bundle=bundle
            )
            return pushed_url(endpoint, client_id=self.settings.client_id, request_uri=reference)

    async def user(self, under_way: UnderWay, response: AuthorizationResponse, redirect_uri: str) -> User:
        """The user who came back from the issuer.

        Raises:
            Refused: the sign-in failed, or the claims name no user that the cluster can know.
        """
        with self._told_to_the_platform_team():
            bundle = self.settings.ca_bundle()
            metadata = await self._metadata(bundle)
            # The issuer is checked first, because an error may be forged, too (RFC 9207 section 2.4).
            check_issuer(
                response.iss,
                expected=self.settings.issuer,
                authorize_url=None,
                required=metadata.authorization_response_iss_parameter_supported,
            )
            if response.error is not None:
                raise refusals.sign_in_was_refused(response.error, response.error_description)
            # Get the keys first: a code must not be spent on an id_token that cannot be verified.
            await self.verifier.prepare(self.settings.issuer, tenant=self.tenant, ca_bundle=bundle)
            request = authorization_code_request(
                _required(metadata, "token_endpoint"),
                self._client(metadata),
                code=response.code or "",
                redirect_uri=redirect_uri,
                code_verifier=under_way.code_verifier,
            )
            reply = await request_token(self.transport, request, tenant=self.tenant, now=self.now, ca_bundle=bundle)
            # Only the id_token is used. The other tokens are dropped.
            return await self._user_in(reply.id_token, under_way, bundle)

    async def _user_in(self, id_token: str | None, under_way: UnderWay, bundle: str | None) -> User:
        if id_token is None:
            raise IdentityMismatch("The issuer sent no id_token.")
        settings = self.settings
        claims = await self.verifier.claims(
            id_token, settings.issuer, tenant=self.tenant, ca_bundle=bundle, is_asked_once=True
        )
        check_claims(
            claims,
            issuer=settings.issuer,
            client_id=settings.client_id,
            nonce=under_way.nonce,
            now=self.now(),
            named=_NAMED,
        )
        mapping = ClaimMapping(
            settings.username_claim, settings.username_prefix, settings.groups_claim, settings.groups_prefix
        )
        return user_of(claims, mapping, client_id=settings.client_id)

    async def _metadata(self, bundle: str | None) -> ProviderMetadata:
        return await self.discovery.metadata(self.settings.issuer, tenant=self.tenant, ca_bundle=bundle)

    def _client(self, metadata: ProviderMetadata) -> Client:
        """The client. It authenticates with Basic, unless the issuer's metadata lists the request body and not Basic.

        Metadata without a list means Basic (RFC 8414 section 2).
        """
        listed = metadata.token_endpoint_auth_methods_supported or ()
        basic, post = ClientAuthentication.CLIENT_SECRET_BASIC, ClientAuthentication.CLIENT_SECRET_POST
        way = post if post in listed and basic not in listed else basic
        return Client(self.settings.client_id, self.settings.client_secret(), way)

    @contextmanager
    def _told_to_the_platform_team(self) -> Iterator[None]:
        """Turn an error into a refusal. Details that only the platform team can use go to the log.

        Raises:
            Refused: with the page for the person.
        """
        try:
            yield
        except NobodyKnown as error:
            logger.warning("the claims name no user", why=error.why.name, claim=error.claim)
            raise refusals.sign_in_names_nobody(error.why, error.claim) from None
        except (IdentityMismatch, RefusedCallback) as error:
            logger.warning("a sign-in could not be verified", error=str(error))
            raise refusals.sign_in_cannot_be_verified(str(error)) from None
        except (MetadataUnusable, ReservedParameter, UnusableSignIn) as error:
            logger.error("sign-in does not work as it is set up", issuer=self.settings.issuer, error=str(error))
            raise refusals.sign_in_is_not_ready() from None
        except (MetadataUnavailable, NotDelivered, OutcomeUnknown) as error:
            logger.warning("the issuer does not answer", issuer=self.settings.issuer, error=str(error))
            raise refusals.sign_in_does_not_answer() from None
        except OAuth2Error as error:
            logger.warning("the issuer did not take a code", issuer=self.settings.issuer, error=str(error))
            raise refusals.sign_in_cannot_be_verified(str(error)) from None


def _required(metadata: ProviderMetadata, member: str) -> str:
    url: str | None = getattr(metadata, member)
    if url is None:
        raise MetadataUnusable(f"The issuer's metadata has no {member}.")
    return url
