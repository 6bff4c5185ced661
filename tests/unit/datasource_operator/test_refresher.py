"""A refresh from the first look to the last write, on an API server in memory and a provider on loopback."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from datasource.api.clock import rfc3339
from datasource.api.names import Annotation, credential_secret_name
from datasource.api.objects import Datasource, Secret
from datasource.api.spec import OAuth2, RedirectURI, redirect_uri_of
from datasource.api.spec_problems import parse_spec
from datasource.api.states import Reason
from datasource.cluster.api_errors import ApiError, Forbidden, Invalid, Unavailable
from datasource.cluster.resources import SECRETS
from datasource.process.settings import Settings
from datasource.providers.discovery import Discovery
from datasource.providers.transport import Transport
from datasource.providers.verifier import IdTokenVerifier
from datasource.records.credential import CredentialData, read_facts
from datasource.records.credential_patches import credential_manifest
from datasource.records.intent import SLOWEST_START, Process
from datasource_operator.cache import Cache, Key
from datasource_operator.decisions.findings import finding_of
from datasource_operator.decisions.status import wanted_status
from datasource_operator.decisions.timing import next_refresh
from datasource_operator.executor import Executor
from datasource_operator.refresh_memory import RefreshMemory
from datasource_operator.refresher import Refresher
from tests.support.builders import NAME, NAMESPACE, NOW, UID, facts, fingerprint_of, raw_spec, status_settings
from tests.support.hostile_provider import ON_LOOPBACK, Behaviour, HostileProvider, replies
from tests.support.kube_in_memory import Answer, Call, KubeInMemory
from tests.unit.datasource_operator.stand_ins import Clock

KEY = Key(NAMESPACE, NAME)
PUBLIC = {"clientSecretRef": None}
ANSWER = b'{"access_token": "at-2", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "rt-2"}'


@dataclass
class ApiServer(KubeInMemory):
    """Calls `written` after each write."""

    written: Callable[[], None] = lambda: None

    async def requested(self, call: Call, answer: Answer) -> Any:
        answered = await super().requested(call, answer)
        if call.verb == "merge_patch":
            self.written()
        return answered


@dataclass
class Bench:
    """A refresher, and one credential that is due."""

    provider: HostileProvider
    transport: Transport
    recorded: str | None = None
    """The token endpoint in the credential Secret, where it is not the provider's."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of spec.oauth2, besides."""
    kube: ApiServer = field(default_factory=ApiServer)
    memory: RefreshMemory = field(init=False)

    def __post_init__(self) -> None:
        cache = Cache()
        settings = Settings("https://connect.example.com", "datasource-system", egress=ON_LOOPBACK)
        memory = self.memory = RefreshMemory(Clock(), lambda: 0.5)
        discovery = Discovery(self.transport, Clock())
        steps = Executor(self.kube, cache, settings, memory, discovery, now=lambda: NOW)
        verifier = IdTokenVerifier(self.transport, discovery, Clock())
        process = Process(process="process-1", pod="pod-1")
        self.refresher = Refresher(self.transport, steps, memory, process, verifier, now=lambda: NOW)
        oauth2: dict[str, Any] = PUBLIC | {"tokenURL": self.provider.url} | self.options
        parsed = parse_spec(raw_spec(**oauth2), allow_insecure_http=False, egress=ON_LOOPBACK)
        data = CredentialData(
            access_token="at-1",
            token_type="Bearer",
            token_endpoint=self.recorded or self.provider.url,
            fingerprint=fingerprint_of(parsed),
            client_id="my-app",
            refresh_token="rt-1",
        )
        due = facts(
            obtained_with=parsed,
            has_refresh_token=True,
            refreshed_at=NOW - timedelta(hours=2),
            expires_at=NOW - timedelta(hours=1),
        )
        stored = credential_manifest(
            namespace=NAMESPACE, datasource_name=NAME, datasource_uid=UID, facts=due, data=data
        )
        metadata = stored["metadata"] | {"resourceVersion": "7"}
        self.kube.put(SECRETS, NAMESPACE, credential_secret_name(NAME), **stored | {"metadata": metadata})
        cache.store_secret(self.secret.metadata)
        raw = {"metadata": {"name": NAME, "namespace": NAMESPACE, "uid": UID, "generation": 1, "resourceVersion": "5"}}
        cache.store_datasource(msgspec.convert(raw | {"spec": raw_spec(**oauth2)}, Datasource))

    @property
    def secret(self) -> Secret:
        """The credential Secret as it stands."""
        return msgspec.convert(self.kube.object(SECRETS, NAMESPACE, credential_secret_name(NAME)), Secret)

    @property
    def stored(self) -> Any:
        """What its annotations say."""
        return read_facts(self.secret.metadata.annotations)


@asynccontextmanager
async def bench(*behaviours: Behaviour, recorded: str | None = None, **options: Any) -> AsyncIterator[Bench]:
    async with HostileProvider(*behaviours) as provider, Transport(ON_LOOPBACK) as transport:
        yield Bench(provider, transport, recorded, options)


async def test_credential_that_is_due_is_refreshed_and_stored_as_the_next_revision() -> None:
    async with bench(replies(200, ANSWER)) as each:
        await each.refresher.refresh(KEY)
        assert [request.form["refresh_token"] for request in each.provider.requests] == ["rt-1"]
        assert (each.secret.value("access_token"), each.secret.value("refresh_token")) == ("at-2", "rt-2")
        assert (each.stored.revision, each.stored.intent) == (2, None)


async def test_end_that_a_refresh_tells_is_stored_with_how_long_the_grant_lasts_and_makes_the_next_one_due_before() -> (
    None
):
    """As Keycloak has it: idle after half an hour, though the access token lasts for an hour."""
    told = b'{"access_token": "at-2", "token_type": "Bearer", "expires_in": 3600, "refresh_expires_in": 1800}'
    async with bench(replies(200, told)) as each:
        await each.refresher.refresh(KEY)
        half_an_hour = timedelta(minutes=30)
        assert (each.stored.grant_expires_at, each.stored.grant_lifetime) == (NOW + half_an_hour, half_an_hour)
        seen = each.refresher.steps.observer.observe(KEY)
        due = next_refresh(seen)
        assert due is not None
        assert NOW < due <= NOW + timedelta(minutes=20)
        settled = wanted_status(seen, finding_of(seen), status_settings())
        assert settled.grant_expires_at == "2026-07-01T12:30:00Z"
        assert settled.condition("GrantExpiring") is None


async def test_limit_of_the_session_that_replies_count_down_is_told_before_it_comes() -> None:
    """As Keycloak has it: every reply tells what is left of the session, and no refresh moves that."""
    told = b'{"access_token": "at-2", "token_type": "Bearer", "expires_in": 300, "refresh_expires_in": 1800}'
    async with bench(replies(200, told)) as each:
        metadata = each.kube.object(SECRETS, NAMESPACE, credential_secret_name(NAME))["metadata"]
        metadata["annotations"] |= {
            Annotation.GRANT_EXPIRES_AT: rfc3339(NOW + timedelta(minutes=30)),
            Annotation.GRANT_LIFETIME: "36000",
        }
        metadata["resourceVersion"] = "8"
        each.refresher.steps.cache.store_secret(each.secret.metadata)
        await each.refresher.refresh(KEY)
        assert each.stored.grant_lifetime == timedelta(hours=10)
        seen = each.refresher.steps.observer.observe(KEY)
        condition = wanted_status(seen, finding_of(seen), status_settings()).condition("GrantExpiring")
        assert condition is not None
        assert condition.reason == "EndsSoon"


async def test_forged_endpoint_under_the_right_fingerprint_is_sent_nothing_and_the_state_says_so() -> None:
    """Whoever may create Secrets can copy the public fingerprint; the spec's own token URL they cannot change with it."""
    async with bench(replies(200, ANSWER)) as provider_of_the_forger:
        forged = provider_of_the_forger.provider
        async with bench(recorded=forged.url) as each:
            await each.refresher.refresh(KEY)
            assert (forged.requests, each.provider.requests) == ([], [])
            assert (each.stored.revision, each.stored.intent) == (1, None)
            trouble = each.refresher.memory.trouble(KEY, each.stored, 1, NOW)
            assert trouble is not None
            assert trouble.reason is Reason.CREDENTIAL_UNREADABLE
            assert "data key token_endpoint is not what spec.oauth2 names" in trouble.message


async def test_process_that_stops_begins_no_refresh() -> None:
    """kubelet does not wait for ever: what is begun late may be cut off between the provider's answer and its store."""
    async with bench(replies(200, ANSWER)) as each:
        each.refresher.is_stopping = True
        await each.refresher.refresh(KEY)
        assert each.provider.requests == []
        assert {call.verb for call in each.kube.calls if call.resource == SECRETS} <= {"get"}


async def test_process_that_stops_while_its_intent_is_written_takes_it_back_and_sends_nothing() -> None:
    async with bench(replies(200, ANSWER)) as each:
        each.kube.written = lambda: setattr(each.refresher, "is_stopping", True)
        await each.refresher.refresh(KEY)
        assert each.provider.requests == []
        assert (each.stored.revision, each.stored.intent) == (1, None)
        each.kube.written = lambda: None
        each.refresher.is_stopping = False
        await each.refresher.refresh(KEY)
        assert each.secret.value("access_token") == "at-2"


async def test_request_that_was_sent_is_seen_through_though_the_process_stops() -> None:
    async with bench(replies(200, ANSWER)) as each:
        each.refresher.sender.answered = lambda _: setattr(each.refresher, "is_stopping", True)
        await each.refresher.refresh(KEY)
        assert each.secret.value("refresh_token") == "rt-2"


@pytest.mark.parametrize("redirect_uri", ["PerNamespace", "PerDatasource"])
async def test_redirect_uri_that_no_authorization_recorded_is_the_one_in_the_status(redirect_uri: str) -> None:
    """The option may come later than the credential, and an imported credential never had one."""
    options: dict[str, Any] = {"redirectURIOnRefresh": True, "redirectURI": redirect_uri}
    async with bench(replies(200, ANSWER), **options) as each:
        await each.refresher.refresh(KEY)
        oauth2 = OAuth2(redirect_uri=RedirectURI(redirect_uri))
        (request,) = each.provider.requests
        told = redirect_uri_of(oauth2, "https://connect.example.com", NAMESPACE, NAME)
        assert request.form["redirect_uri"] == told
        assert told.endswith(f"/{NAMESPACE}/{NAME}") is (redirect_uri == "PerDatasource")


async def test_dead_grant_is_never_sent_again() -> None:
    async with bench(replies(400, b'{"error": "invalid_grant"}')) as each:
        await each.refresher.refresh(KEY)
        await each.refresher.refresh(KEY)
        assert len(each.provider.requests) == 1
        assert each.stored.verdict is Reason.GRANT_REVOKED


@pytest.mark.parametrize(
    "refusal",
    [
        Forbidden(403, "Forbidden", "exceeded quota: secrets"),
        Invalid(422, "Invalid", "denied by a policy"),
        ApiError(500, "InternalError", "failed calling webhook"),
        Unavailable("etcdserver: mvcc: database space exceeded"),
    ],
)
async def test_api_server_that_refuses_an_intent_is_remembered_as_a_failure_and_asked_less_and_less(
    refusal: Exception,
) -> None:
    async with bench(replies(200, ANSWER)) as each:
        each.kube.failure = refusal
        pauses = []
        for _ in range(3):
            await each.refresher.refresh(KEY)
            trouble = each.memory.trouble(KEY, each.stored, 1, NOW)
            assert trouble is not None
            assert trouble.reason is Reason.REFRESH_FAILING
            assert str(refusal).rpartition(": ")[2] in trouble.message
            pauses.append(trouble.try_again_at - NOW)
            each.memory.try_now(KEY)
        assert pauses == sorted(set(pauses))
        assert each.provider.requests == []
        each.kube.failure = None
        await each.refresher.refresh(KEY)
        assert each.secret.value("access_token") == "at-2"
        assert each.memory.trouble(KEY, each.stored, 1, NOW) is None


async def test_intent_whose_write_nobody_answered_counts_as_no_send() -> None:
    """Else a grant that somebody revoked reads as one that we lost."""

    def unanswered() -> None:
        raise Unavailable("no answer")

    async with bench(replies(400, b'{"error": "invalid_grant"}')) as each:
        each.kube.written = unanswered
        await each.refresher.refresh(KEY)
        assert each.provider.requests == []
        each.kube.written = lambda: None
        await each.refresher.steps.credential_secrets.facts(*KEY)
        assert each.stored.intent is not None
        each.memory.try_now(KEY)
        await each.refresher.refresh(KEY)
        assert len(each.provider.requests) == 1
        assert each.stored.verdict is Reason.GRANT_REVOKED


async def test_late_answer_is_waited_for_while_this_process_leads() -> None:
    async with bench() as each:
        assert each.refresher.sender.may_wait()
        each.refresher.is_stopping = True
        assert not each.refresher.sender.may_wait()


async def test_nothing_is_sent_after_an_intent_that_took_so_long_that_another_may_take_it_over() -> None:
    clock = Clock()
    async with bench(replies(200, ANSWER)) as each:
        each.refresher.monotonic = clock
        each.kube.written = lambda: clock.advance(SLOWEST_START + timedelta(seconds=1))
        await each.refresher.refresh(KEY)
        assert each.provider.requests == []
        assert (each.stored.revision, each.stored.intent) == (1, None)
        each.kube.written = lambda: None
        each.memory.try_now(KEY)
        await each.refresher.refresh(KEY)
        assert each.secret.value("access_token") == "at-2"


async def test_reply_that_is_not_taken_says_that_the_operator_must_not_be_restarted() -> None:
    async with bench(replies(200, ANSWER)) as each:
        told: list[str] = []
        clock = Clock()

        async def pause(_: float) -> None:
            clock.advance(timedelta(seconds=3))
            trouble = each.memory.trouble(KEY, facts_before, 1, NOW)
            assert trouble is not None
            told.append(trouble.message)
            if len(told) == 4:
                each.kube.failure = None

        each.refresher.waiting.monotonic = clock
        each.refresher.outcomes.credential_secrets = replace(each.refresher.outcomes.credential_secrets, sleep=pause)
        facts_before = each.stored
        each.refresher.sender.answered = lambda _: setattr(
            each.kube, "failure", Invalid(422, "Invalid", "denied by a policy")
        )
        changed: list[Key] = []
        each.refresher.waiting.changed = changed.append
        await each.refresher.refresh(KEY)
        assert "do not restart the operator" in told[0]
        assert "denied by a policy" in told[0]
        assert changed == [KEY]
        assert each.secret.value("refresh_token") == "rt-2"
        assert len(each.refresher.waiting) == 0
        assert len(each.provider.requests) == 1
