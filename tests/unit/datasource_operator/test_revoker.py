"""What waits for its revocation: sent where, as whom, how often, and what is left of it. The provider is on loopback."""

from base64 import b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from datasource.api.clock import rfc3339
from datasource.api.names import REVOKE_FINALIZER, SecretType, credential_secret_name
from datasource.api.objects import Metadata, Secret
from datasource.api.requests import HandledSet
from datasource.cluster.resources import DATASOURCES, EVENTS, SECRETS
from datasource.process.settings import Settings
from datasource.providers.transport import Transport
from datasource.records.contents import tombstone
from datasource.records.credential import CredentialData
from datasource.records.credential_patches import credential_manifest
from datasource.records.effective import recorded_client
from datasource.records.revocable_token import RevocableToken, revocable_token
from datasource_operator.cache import Cache, Key
from datasource_operator.event_recorder import EventRecorder
from datasource_operator.revoker import Revoker
from tests.support.builders import NAME, NAMESPACE, NOW, UID, facts, fingerprint_of, raw_spec, spec
from tests.support.hostile_provider import ON_LOOPBACK, Behaviour, HostileProvider, replies
from tests.support.kube_in_memory import KubeInMemory

KEY = Key(NAMESPACE, NAME)
CREDENTIAL = credential_secret_name(NAME)
DONE = replies(200, b"")
OVERLOADED = replies(503, b"", headers=("Retry-After: 7",))
REFUSED = replies(400, b'{"error": "unsupported_token_type"}')


@dataclass
class Bench:
    """A revoker, the API server and the provider around it. Use it as an async context manager."""

    provider: HostileProvider
    kube: KubeInMemory = field(default_factory=KubeInMemory)
    cache: Cache = field(default_factory=Cache)
    now: datetime = NOW

    @classmethod
    def that(cls, *behaviours: Behaviour) -> "Bench":
        return cls(HostileProvider(*behaviours))

    async def __aenter__(self) -> "Bench":
        await self.provider.__aenter__()
        self.transport = Transport(ON_LOOPBACK)
        await self.transport.__aenter__()
        settings = Settings("https://connect.example.com", "datasource-system", egress=ON_LOOPBACK)
        recorder = EventRecorder(self.kube, "operator-1", lambda: self.now)
        self.revoker = Revoker(self.kube, self.transport, self.cache, settings, recorder, now=lambda: self.now)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.__aexit__()
        await self.provider.__aexit__()

    def data(self, **changes: Any) -> CredentialData:
        usual: dict[str, Any] = {
            "access_token": "at-1",
            "token_type": "Bearer",
            "token_endpoint": "https://login.example.com/token",
            "fingerprint": fingerprint_of(spec()),
            "client_id": "my-app",
            "refresh_token": "rt-1",
            "revocation_endpoint": self.provider.url,
        }
        return CredentialData(**(usual | changes))

    def has_tombstone(self, **changes: Any) -> None:
        """A clear left a token; it is given up five minutes from now."""
        token = revocable_token(self._secret(self.data(**changes)))
        left = tombstone(
            facts(), credential_id="tombstone-1", handled=HandledSet(), revoke_until=self.now + timedelta(minutes=5)
        )
        self._put(left, token)

    def has_deleted(self, *finalizers: str, **changes: Any) -> None:
        """Somebody deleted the credential Secret, and it stands because of finalizers."""
        self._put(
            facts(is_revocable=True),
            self.data(**changes),
            finalizers=list(finalizers),
            deletionTimestamp=rfc3339(self.now),
        )

    def has_datasource(self, **oauth2: Any) -> None:
        """It stands in the API server; the cache shows it only once it was listed, and here it never is."""
        self.kube.put(DATASOURCES, NAMESPACE, NAME, spec=raw_spec(**oauth2), metadata={"uid": UID})

    def has_client_secret(self, value: str = "s3cret", name: str = "my-app") -> None:
        encoded = b64encode(value.encode()).decode()
        self.kube.put(SECRETS, NAMESPACE, name, type="Opaque", data={"client-secret": encoded})

    async def revoke(self) -> timedelta | None:
        return await self.revoker.revoke(KEY)

    @property
    def is_gone(self) -> bool:
        """Nothing holds the Secret any more, so the API server let it go."""
        return not self.kube.stored(SECRETS)

    @property
    def stored(self) -> dict[str, Any]:
        return self.kube.object(SECRETS, NAMESPACE, CREDENTIAL)

    @property
    def sent(self) -> list[dict[str, str]]:
        return [request.form for request in self.provider.requests]

    @property
    def events(self) -> list[dict[str, Any]]:
        return self.kube.stored(EVENTS)

    def _secret(self, data: CredentialData) -> Secret:
        encoded = {key: value for key, value in self._encoded(data).items() if value is not None}
        return Secret(Metadata(name=CREDENTIAL), SecretType.CREDENTIAL, encoded)

    def _encoded(self, data: CredentialData | RevocableToken | None) -> dict[str, str | None]:
        values = {} if data is None else msgspec.structs.asdict(data)
        return {key: None if value is None else b64encode(value.encode()).decode() for key, value in values.items()}

    def _put(self, left: Any, data: CredentialData | RevocableToken | None, **metadata: Any) -> None:
        manifest = credential_manifest(
            namespace=NAMESPACE, datasource_name=NAME, datasource_uid=UID, facts=left, data=None
        )
        manifest["data"] = {key: value for key, value in self._encoded(data).items() if value is not None}
        manifest["metadata"] |= {"uid": "uid-of-credential"} | metadata
        self.kube.put(SECRETS, NAMESPACE, CREDENTIAL, **manifest)


async def test_token_of_a_tombstone_is_revoked_and_nothing_is_left_of_it() -> None:
    async with Bench.that(DONE) as bench:
        bench.has_tombstone()
        bench.has_datasource()
        bench.has_client_secret()
        assert await bench.revoke() is None
        assert [(each["token"], each["token_type_hint"]) for each in bench.sent] == [("rt-1", "refresh_token")]
        assert not bench.stored.get("data")
        assert "datasource.dev/revoke-until" not in bench.stored["metadata"]["annotations"]
        assert await bench.revoke() is None
        assert len(bench.sent) == 1


async def test_overloaded_provider_is_asked_again_when_it_says() -> None:
    async with Bench.that(OVERLOADED, DONE) as bench:
        bench.has_tombstone()
        bench.has_datasource()
        bench.has_client_secret()
        assert await bench.revoke() == timedelta(seconds=7)
        assert bench.stored["data"]
        assert await bench.revoke() is None
        assert bench.events == []


async def test_last_try_falls_on_the_deadline_and_then_it_is_given_up_and_told() -> None:
    async with Bench.that(OVERLOADED) as bench:
        bench.has_tombstone()
        bench.has_datasource()
        bench.has_client_secret()
        bench.now = NOW + timedelta(minutes=4, seconds=58)
        assert await bench.revoke() == timedelta(seconds=2)
        bench.now = NOW + timedelta(minutes=5)
        assert await bench.revoke() is None
        assert not bench.stored.get("data")
        (event,) = bench.events
        assert (event["type"], event["reason"], event["regarding"]["kind"]) == (
            "Warning",
            "RevocationFailed",
            "Datasource",
        )


async def test_however_late_it_is_tried_once() -> None:
    async with Bench.that(DONE) as bench:
        bench.has_deleted(REVOKE_FINALIZER, client_secret="s3cret", client_parameters=recorded_parameters())
        bench.now = NOW + timedelta(days=3)
        assert await bench.revoke() is None
        assert len(bench.sent) == 1
        assert bench.events == []


async def test_refusal_is_given_up_at_once() -> None:
    async with Bench.that(REFUSED) as bench:
        bench.has_tombstone()
        bench.has_datasource()
        bench.has_client_secret()
        assert await bench.revoke() is None
        assert "unsupported_token_type" in bench.events[0]["note"]
        assert "rt-1" not in str(bench.events)


def recorded_parameters(**changes: Any) -> str:
    oauth2 = spec(**changes).oauth2
    assert oauth2 is not None
    return recorded_client(oauth2)


async def test_deleted_secret_is_revoked_without_the_datasource_and_foreign_finalizers_stay() -> None:
    async with Bench.that(DONE) as bench:
        post = recorded_parameters(clientAuthentication="client_secret_post")
        bench.has_deleted("example.com/backup", REVOKE_FINALIZER, client_secret="recorded", client_parameters=post)
        assert await bench.revoke() is None
        (sent,) = bench.sent
        assert (sent["token"], sent["client_secret"]) == ("rt-1", "recorded")
        assert bench.stored["metadata"]["finalizers"] == ["example.com/backup"]
        assert await bench.revoke() is None
        assert len(bench.sent) == 1


async def test_public_client_is_revoked_by_its_recorded_id_alone() -> None:
    async with Bench.that(DONE) as bench:
        bench.has_deleted(REVOKE_FINALIZER, client_parameters=recorded_parameters(clientSecretRef=None))
        assert await bench.revoke() is None
        assert bench.sent == [{"token": "rt-1", "token_type_hint": "refresh_token", "client_id": "my-app"}]


async def test_new_client_secret_is_never_sent_to_the_old_endpoint() -> None:
    async with Bench.that(DONE) as bench:
        bench.has_tombstone(client_parameters=recorded_parameters())
        bench.has_datasource(tokenURL="https://new.example.com/token")
        bench.has_client_secret("new secret")
        assert await bench.revoke() is None
        assert bench.provider.requests == []
        assert "changed after the token was obtained" in bench.events[0]["note"]
        assert not bench.stored.get("data")


async def test_recorded_client_secret_goes_before_the_one_there_is_now() -> None:
    async with Bench.that(DONE) as bench:
        post = recorded_parameters(clientAuthentication="client_secret_post")
        bench.has_tombstone(client_secret="recorded", client_parameters=post)
        bench.has_datasource(clientID="another", tokenURL="https://new.example.com/token")
        bench.has_client_secret("new secret")
        assert await bench.revoke() is None
        (sent,) = bench.sent
        assert (sent["client_id"], sent["client_secret"]) == ("my-app", "recorded")


async def test_client_secret_is_bound_to_its_hosts_here_too() -> None:
    async with Bench.that(DONE) as bench:
        bench.has_tombstone()
        bench.has_datasource()
        bench.has_client_secret()
        secret = bench.kube.object(SECRETS, NAMESPACE, "my-app")
        secret["metadata"]["annotations"] = {"datasource.dev/allowed-hosts": "login.example.com"}
        assert await bench.revoke() == timedelta(seconds=5)
        assert bench.provider.requests == []


async def test_datasource_that_the_cache_does_not_show_yet_is_read() -> None:
    """At a start the revocations are due before the Datasources were listed; what is given up is never tried again."""
    async with Bench.that(DONE) as bench:
        bench.has_tombstone()
        bench.has_datasource()
        bench.has_client_secret()
        assert bench.cache.datasource(KEY) is None
        assert await bench.revoke() is None
        (sent,) = bench.sent
        assert sent["token"] == "rt-1"
        assert bench.events == []


async def test_parameters_that_cannot_be_read_are_waited_for() -> None:
    """Whether they are those of the token nobody can say until somebody corrects them."""
    async with Bench.that(DONE) as bench:
        bench.has_tombstone()
        bench.has_datasource(tokenURL="not a URL")
        bench.has_client_secret()
        assert await bench.revoke() == timedelta(seconds=5)
        assert bench.sent == []
        bench.has_datasource()
        assert await bench.revoke() is None
        assert len(bench.sent) == 1


async def test_client_secret_that_is_missing_is_waited_for() -> None:
    async with Bench.that(DONE) as bench:
        bench.has_tombstone()
        bench.has_datasource()
        assert await bench.revoke() == timedelta(seconds=5)
        bench.has_client_secret()
        assert await bench.revoke() is None
        assert len(bench.sent) == 1


async def test_secret_that_cannot_be_read_blocks_nobody() -> None:
    async with Bench.that(DONE) as bench:
        bench.has_deleted(REVOKE_FINALIZER)
        del bench.stored["data"]["client_id"]
        assert await bench.revoke() is None
        assert bench.is_gone
        assert bench.events[0]["regarding"]["kind"] == "Secret"


async def test_deleted_secret_with_nothing_to_revoke_goes_quietly() -> None:
    async with Bench.that(DONE) as bench:
        bench.has_deleted(REVOKE_FINALIZER, revocation_endpoint=None)
        assert await bench.revoke() is None
        assert bench.is_gone
        assert bench.events == []
        assert bench.provider.requests == []


async def test_secret_of_somebody_else_is_left_alone() -> None:
    async with Bench.that(DONE) as bench:
        bench.has_deleted(REVOKE_FINALIZER)
        bench.stored["type"] = "Opaque"
        assert await bench.revoke() is None
        bench.kube.remove(SECRETS, NAMESPACE, CREDENTIAL)
        assert await bench.revoke() is None
        assert bench.provider.requests == []
        assert set(bench.kube.verbs) == {"get"}


async def test_client_secret_is_not_sent_to_a_revocation_endpoint_that_the_spec_does_not_name() -> None:
    """A forged credential Secret has the fingerprint, which is public; the spec names where tokens are revoked."""
    named = {"revocationURL": "https://login.example.com/revoke"}
    async with Bench.that(DONE) as bench:
        bench.has_client_secret()
        bench.has_datasource(**named)
        bench.has_tombstone()
        assert await bench.revoke() is None

        assert bench.sent == []
        (event,) = bench.events
        assert "Data key revocation_endpoint of Secret" in event["note"]
        assert "the client secret is not sent there" in event["note"]


GATEWAY = [{"name": "X-Api-Key", "secretRef": {"name": "my-app", "key": "client-secret"}}]


async def test_header_for_a_gateway_is_sent_where_the_spec_names_it() -> None:
    public: dict[str, Any] = {"clientSecretRef": None, "tokenHeaders": GATEWAY}
    async with Bench.that(DONE) as bench:
        bench.has_tombstone(client_parameters=recorded_parameters(**public))
        bench.has_datasource(**public)
        assert await bench.revoke() == timedelta(seconds=5), "its Secret is waited for"
        bench.has_client_secret("k3y")
        assert await bench.revoke() is None
        (request,) = bench.provider.requests
        assert request.headers["x-api-key"] == "k3y"


async def test_header_that_is_recorded_outlives_its_secret_and_the_datasource() -> None:
    async with Bench.that(DONE) as bench:
        parameters = recorded_parameters(clientSecretRef=None)
        bench.has_deleted(
            REVOKE_FINALIZER, client_parameters=parameters, token_headers='{"X-Api-Key": "k3y", "User-Agent": "my-app"}'
        )
        assert await bench.revoke() is None
        (request,) = bench.provider.requests
        assert (request.headers["x-api-key"], request.headers["user-agent"]) == ("k3y", "my-app")


async def test_header_is_not_sent_to_a_revocation_endpoint_that_the_spec_does_not_name() -> None:
    public: dict[str, Any] = {"clientSecretRef": None, "tokenHeaders": GATEWAY}
    async with Bench.that(DONE) as bench:
        bench.has_client_secret("k3y")
        bench.has_datasource(**public, revocationURL="https://login.example.com/revoke")
        bench.has_tombstone(client_parameters=recorded_parameters(**public))
        assert await bench.revoke() is None
        assert bench.provider.requests == []
