"""I/O: revoke what waits for it: the token that a clear left behind, and the tokens of a credential Secret that is going away.

Level-triggered like everything else: what is to be revoked, where, and until when stands on the Secret. So it survives
restarts, and the Datasource need not be there any more.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from prometheus_client import Counter

from datasource.api.names import FIELD_MANAGER, credential_secret_name
from datasource.api.objects import Datasource, Metadata, PartialObject, Secret
from datasource.api.spec import InvalidSpec, OAuth2
from datasource.api.spec_problems import parse_spec
from datasource.cluster.api_errors import ApiError, NotFound, Unavailable
from datasource.cluster.clients import ClientMaterial, ClientMaterialMissing, Clients, Headers
from datasource.cluster.credential_secrets import CredentialSecrets, Stale
from datasource.cluster.kube import Kube
from datasource.cluster.resources import DATASOURCES
from datasource.oauth2.errors import OAuth2Error, Throttled
from datasource.oauth2.revocation import is_worth_another_try, revocation_request
from datasource.oauth2.token_request import WITHOUT_A_SECRET, Client
from datasource.process.clock import utc_now
from datasource.process.settings import Settings
from datasource.providers.exchange import revoke_token
from datasource.providers.transport import Transport
from datasource.records.client_secret import ClientSecret
from datasource.records.credential import UnreadableCredential
from datasource.records.credential_patches import revoked_patch
from datasource.records.effective import read_recorded_client
from datasource.records.fingerprint import fingerprint
from datasource.records.recorded_endpoints import misdirected_endpoint
from datasource.records.revocable_token import RevocableToken, revocable_token, revocation_deadline, revocation_is_due
from datasource_operator.cache import Cache, Key
from datasource_operator.event_recorder import EventRecorder

logger = structlog.get_logger(__name__)

REVOCATIONS = Counter("datasource_revocations", "Revocations by how they ended.", ["result"])

UNLOCKED_PAUSE = timedelta(seconds=5)
"""How soon to look again for a client secret that is missing or rejected."""


class NotRevoked(Exception):
    """The token may still be alive; says why, and whether to try again."""

    def __init__(self, why: str, *, try_again: bool, at_least: timedelta = timedelta(0)) -> None:
        super().__init__(why)
        self.try_again = try_again
        self.at_least = at_least


@dataclass(slots=True)
class Revoker:
    """Revokes the tokens of credential Secrets, only ever at the endpoint recorded with them."""

    kube: Kube
    transport: Transport
    cache: Cache
    settings: Settings
    recorder: EventRecorder
    now: Callable[[], datetime] = utc_now
    token_bytes: Callable[[int], bytes] = secrets.token_bytes
    _clients: Clients = field(init=False, repr=False)
    _secrets: CredentialSecrets = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._secrets = CredentialSecrets(self.kube, FIELD_MANAGER, may_list=True, heard=self.cache.hear)
        self._clients = Clients(self.kube, self.settings.require_allowed_hosts, self.now, self.token_bytes)

    async def revoke(self, key: Key) -> timedelta | None:
        """Revoke what is due for a key; returns after which pause, at least, to come again, None where all is done.

        Raises:
            ApiError, Unavailable: the API server refused or did not answer.
        """
        secret = await self._secrets.whole(*key)
        if secret is None or not revocation_is_due(secret.metadata):
            return None
        try:
            result = await self._revoke_token(key, secret)
        except NotRevoked as failed:
            deadline = revocation_deadline(secret.metadata, self.settings.revocation_patience)
            if failed.try_again and deadline is not None and self.now() < deadline:
                logger.warning("will try to revoke again", datasource=str(key), error=str(failed))
                # The last try falls on the deadline, whatever the provider asks for.
                return min(failed.at_least, max(deadline - self.now(), timedelta(0)))
            result = "given up"
            await self._tell(key, secret, str(failed))
        if not await self._finish(key, secret):
            return timedelta(0)
        REVOCATIONS.labels(result).inc()
        logger.info("a revocation ended", datasource=str(key), result=result)
        return None

    async def _revoke_token(self, key: Key, secret: Secret) -> str:
        """Revoke the token in a Secret; returns how that ended.

        Raises:
            NotRevoked: it may still be alive.
        """
        try:
            token = revocable_token(secret)
        except UnreadableCredential as error:
            raise NotRevoked(f"The credential Secret cannot be read: {error.what}.", try_again=False) from None
        if token is None:
            return "nothing to revoke"
        material = await self._material(key, token)
        client = self._client(material, token)
        request = revocation_request(token.revocation_endpoint, client, token=token.token, hint=token.hint)
        try:
            await revoke_token(
                self.transport, request, tenant=key.namespace, now=self.now, ca_bundle=material.ca_bundle
            )
        except OAuth2Error as error:
            wait = error.retry_after if isinstance(error, Throttled) else None
            raise NotRevoked(str(error), try_again=is_worth_another_try(error), at_least=wait or timedelta(0)) from None
        return "revoked"

    async def _material(self, key: Key, token: RevocableToken) -> ClientMaterial:
        """Who asks, and whom to trust: the client that the token was obtained as.

        What was recorded with the token goes first. The client secret that the Datasource names now is sent only while its
        parameters are those the token was obtained with: another one is no business of that provider.
        """
        same = await self._parameters_of(key, token)
        try:
            ca_bundle = token.ca_bundle
            if ca_bundle is None and same is not None:
                ca_bundle = await self._clients.ca_bundle(key.namespace, same)
            parameters, secret = await self._authentication(key, token, same)
            headers = await self._headers(key, token, same)
        except ClientMaterialMissing as error:
            raise NotRevoked(str(error), try_again=True, at_least=UNLOCKED_PAUSE) from None
        return ClientMaterial(parameters, secret, ca_bundle, headers)

    async def _headers(self, key: Key, token: RevocableToken, same: OAuth2 | None) -> Headers:
        """What was recorded with the token, or what the spec names where it is that of the token."""
        if token.token_headers is not None:
            return Headers.read(token.token_headers)
        if same is None or not same.token_headers:
            return Headers()
        self._require_not_misdirected(key, token, same)
        return await self._clients.headers(key.namespace, same, {"revocationURL": token.revocation_endpoint})

    async def _authentication(
        self, key: Key, token: RevocableToken, same: OAuth2 | None
    ) -> tuple[OAuth2, ClientSecret | None]:
        """How the client authenticates, and with what; `same` is the spec where it is that of the token."""
        recorded = read_recorded_client(token.client_parameters)
        if recorded is not None and token.client_secret is not None:
            return recorded, ClientSecret(credential_secret_name(key.name), token.client_secret)
        if recorded is not None and recorded.effective_client_authentication() in WITHOUT_A_SECRET:
            return recorded, None
        if same is None:
            raise NotRevoked(
                "The OAuth2 parameters changed after the token was obtained, so there is no client secret to revoke it with.",
                try_again=False,
            )
        self._require_not_misdirected(key, token, same)
        endpoints = {"revocationURL": token.revocation_endpoint}
        return same.expanded(), await self._clients.client_secret(key.namespace, same, endpoints)

    def _require_not_misdirected(self, key: Key, token: RevocableToken, same: OAuth2) -> None:
        misdirected = misdirected_endpoint(
            same, token_endpoint=token.token_endpoint, revocation_endpoint=token.revocation_endpoint
        )
        if misdirected is not None:
            raise NotRevoked(
                f"Data key {misdirected} of Secret {credential_secret_name(key.name)} is not what spec.oauth2 names, so the "
                "client secret is not sent there.",
                try_again=False,
            )

    def _client(self, material: ClientMaterial, token: RevocableToken) -> Client:
        try:
            return self._clients.client(material, token_endpoint=token.token_endpoint)
        except InvalidSpec as error:
            raise NotRevoked(str(error), try_again=True, at_least=UNLOCKED_PAUSE) from None

    async def _parameters_of(self, key: Key, token: RevocableToken) -> OAuth2 | None:
        """The parameters of the Datasource, read live, where they are those that the token was obtained with.

        Live, because what the cache does not show may not have been listed yet, and a revocation that is given up is never
        tried again.

        Raises:
            NotRevoked: nobody can say which parameters hold.
        """
        try:
            datasource = await self.kube.get(DATASOURCES, key.namespace, key.name, Datasource)
        except NotFound:
            return None
        try:
            spec = parse_spec(
                datasource.spec, allow_insecure_http=self.settings.allow_insecure_http, egress=self.settings.egress
            )
        except InvalidSpec as error:
            raise NotRevoked(str(error), try_again=True, at_least=UNLOCKED_PAUSE) from None
        return spec.oauth2 if spec.oauth2 is not None and fingerprint(spec.oauth2) == token.fingerprint else None

    async def _finish(self, key: Key, secret: Secret) -> bool:
        """Leave nothing of the token, and let the Secret go; False where somebody wrote meanwhile: look again."""
        try:
            await self._secrets.swap(*key, revoked_patch(secret), PartialObject)
        except Stale:
            return await self._secrets.whole(*key) is None
        return True

    async def _tell(self, key: Key, secret: Secret, why: str) -> None:
        logger.error("gave up to revoke", datasource=str(key), error=why)
        note = (
            f"The tokens of Datasource {key.name} could not be revoked and may still be valid at the service. {why} "
            "Revoke the grant there by hand, in the settings of the account that consented."
        )
        try:
            about, is_secret = await self._subject(key, secret)
        except (ApiError, Unavailable) as error:
            logger.warning("could not record an Event", datasource=str(key), error=str(error))
            return
        await self.recorder.warn(about, is_secret=is_secret, reason="RevocationFailed", action="Revoke", note=note)

    async def _subject(self, key: Key, secret: Secret) -> tuple[Metadata, bool]:
        """What an Event is about: the Datasource, or the Secret where there is none any more."""
        try:
            datasource = await self.kube.get(DATASOURCES, key.namespace, key.name, PartialObject, metadata_only=True)
        except NotFound:
            return secret.metadata, True
        return datasource.metadata, False
