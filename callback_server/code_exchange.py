"""I/O: a code exchanged for tokens. A refresh token that can be read in a reply that is otherwise of no use is used at once:
it is the consent, and no code is there to get another."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from callback_server.code_recording import CodeRecording
from datasource.api.spec import OAuth2
from datasource.cluster.clients import ClientMaterial, Clients
from datasource.oauth2.errors import InvalidGrant, OAuth2Error
from datasource.oauth2.token_request import Client, authorization_code_request, refresh_request
from datasource.oauth2.token_response import ReplyOptions, TokenResponse, successor
from datasource.outbound.provider_request import ProviderRequest
from datasource.providers.exchange import Recorder, request_token
from datasource.providers.transport import Transport
from datasource.records.effective import Effective, code_options, refresh_options, reply_options
from datasource.records.flow import Flow

logger = structlog.get_logger(__name__)


class NoTokens(Exception):
    """The exchange came to nothing."""

    def __init__(self, error: OAuth2Error, refresh_token: str | None = None) -> None:
        super().__init__(type(error).__name__)
        self.error = error
        """What the reply to the code lacked."""
        self.refresh_token = refresh_token
        """One that came all the same and will not be used: the grant lives until it is revoked."""


@dataclass(frozen=True, slots=True)
class CodeExchange:
    """Exchanges codes, each once."""

    transport: Transport
    clients: Clients
    now: Callable[[], datetime]

    async def tokens(
        self,
        flow: Flow,
        effective: Effective,
        material: ClientMaterial,
        code: str,
        recording: CodeRecording | None = None,
    ) -> TokenResponse:
        """The tokens for a code. Each reply is given to the recording before anything else is done with it.

        Raises:
            NoTokens: the service gave none that can be used.
        """
        request = authorization_code_request(
            effective.token_url,
            self._client(effective, material),
            code=code,
            redirect_uri=flow.redirect_uri,
            code_verifier=flow.code_verifier,
            options=code_options(effective.parameters),
        )
        try:
            recorder = None if recording is None else recording.recorder()
            return await self._send(flow, material, request, reply_options(effective.parameters), recorder)
        except OAuth2Error as error:
            logger.warning("the exchange failed", datasource=_place(flow), error=str(error))
            if error.refresh_token is None:
                raise NoTokens(error) from None
            return await self._renewed(flow, effective, material, error, error.refresh_token, recording)

    async def _renewed(
        self,
        flow: Flow,
        effective: Effective,
        material: ClientMaterial,
        error: OAuth2Error,
        refresh_token: str,
        recording: CodeRecording | None,
    ) -> TokenResponse:
        """What one refresh makes of the refresh token in a reply that is of no use. It is held to what a reply to a code must
        say: what the person's reply lacked is no less wrong here.

        Raises:
            NoTokens: that came to nothing, either.
        """
        parameters = effective.parameters
        request = refresh_request(
            parameters.refresh_url or effective.token_url,
            self._client(effective, material),
            refresh_token=refresh_token,
            redirect_uri=flow.redirect_uri if parameters.redirect_uri_on_refresh else None,
            options=refresh_options(parameters),
        )
        options = renewal_options(parameters)
        recorder = None if recording is None else recording.recorder(renewed=refresh_token)
        try:
            response = await self._send(flow, material, request, options, recorder)
        except OAuth2Error as second:
            logger.warning("its refresh token was of no use, either", datasource=_place(flow), error=str(second))
            left = None if isinstance(second, InvalidGrant) else refresh_token
            raise NoTokens(error, second.refresh_token or left) from None
        logger.info("tokens came with a refresh, as the exchange had none that can be used", datasource=_place(flow))
        return replace(response, refresh_token=successor(refresh_token, response))

    async def _send(
        self,
        flow: Flow,
        material: ClientMaterial,
        request: ProviderRequest,
        options: ReplyOptions,
        recorder: Recorder | None,
    ) -> TokenResponse:
        return await request_token(
            self.transport,
            request,
            tenant=flow.namespace,
            now=self.now,
            options=options,
            ca_bundle=material.ca_bundle,
            record=recorder,
        )

    def _client(self, effective: Effective, material: ClientMaterial) -> Client:
        """For one request."""
        return self.clients.client(material, token_endpoint=effective.token_url)


def renewal_options(parameters: OAuth2) -> ReplyOptions:
    """How the reply to that refresh is read."""
    return replace(reply_options(parameters), token_path_may_be_missing=True)


def _place(flow: Flow) -> str:
    return f"{flow.namespace}/{flow.name}"
