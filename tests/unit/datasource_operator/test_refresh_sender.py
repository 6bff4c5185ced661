"""One refresh token goes to where it came from, and whose the tokens are that come back is seen before anybody uses them."""

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from datasource.api.requests import Requests
from datasource.api.spec_problems import parse_spec
from datasource.cluster.clients import ClientMaterial, Clients, Headers
from datasource.oauth2.errors import InvalidClient, InvalidGrant, NotDelivered, OAuth2Error, OutcomeUnknown
from datasource.oauth2.extra_headers import ExtraHeader
from datasource.oauth2.id_token import IdentityMismatch
from datasource.oauth2.identity import IdentityChanged
from datasource.oauth2.token_response import TokenResponse
from datasource.providers.discovery import Discovery
from datasource.providers.transport import Transport
from datasource.providers.verifier import IdTokenVerifier
from datasource.records.client_secret import ClientSecret
from datasource.records.credential import CredentialData
from datasource.records.intent import Intent
from datasource.records.turn import Turn
from datasource_operator import refresh_sender
from datasource_operator.cache import Key
from datasource_operator.decisions.refresh_outcome import Answer, UnverifiedReply
from datasource_operator.refresh_sender import RefreshSender
from tests.support.builders import NAME, NAMESPACE, NOW, facts, raw_spec
from tests.support.hostile_provider import (
    ON_LOOPBACK,
    Behaviour,
    HostileProvider,
    ReceivedRequest,
    closed_port,
    cuts_after_the_request,
    replies,
)
from tests.support.kube_in_memory import KubeInMemory
from tests.unit.datasource.oauth2.test_signature import OTHER_RSA, RSA, signed
from tests.unit.datasource.providers.test_verifier import Issuer, publishes
from tests.unit.datasource_operator.stand_ins import Clock

KEY = Key(NAMESPACE, NAME)


@dataclass
class Bench:
    """A sender, and the turn of one credential."""

    provider: HostileProvider
    sender: RefreshSender
    answered: list[Key] = field(default_factory=list)

    async def send(self, **changes: Any) -> Answer:
        """Send; changes are those of the credential's data."""
        given: dict[str, Any] = {
            "access_token": "at-1",
            "token_type": "Bearer",
            "token_endpoint": self.provider.url,
            "fingerprint": "f",
            "client_id": "my-app",
            "refresh_token": "rt-1",
        }
        data = CredentialData(**(given | changes))
        intent = Intent(id="intent-1", process="process-1", pod="pod-1", at=NOW, sends=1)
        turn = Turn(
            namespace=NAMESPACE,
            name=NAME,
            facts=msgspec.structs.replace(facts(), intent=intent),
            intent=intent,
            resource_version="7",
            requests=Requests(),
            data=data,
            client_secret_name="my-app",
        )
        return await self.sender.send(KEY, turn, self.material)

    material: ClientMaterial = field(init=False)

    def given(self, **oauth2: Any) -> "Bench":
        """With other parameters in the spec."""
        raw = raw_spec(**({"tokenURL": self.provider.url} | oauth2))
        parsed = parse_spec(raw, allow_insecure_http=True, egress=ON_LOOPBACK).oauth2
        assert parsed is not None
        self.material = ClientMaterial(parsed.expanded(), ClientSecret("my-app", "app-secret"), None)
        return self


@asynccontextmanager
async def bench(*behaviours: Behaviour, **oauth2: Any) -> AsyncIterator[Bench]:
    async with HostileProvider(*behaviours) as provider, Transport(ON_LOOPBACK) as transport:
        verifier = IdTokenVerifier(transport, Discovery(transport, Clock(), allow_insecure_http=True), Clock())
        clients = Clients(KubeInMemory(), False, lambda: NOW)
        sender = RefreshSender(transport, clients, verifier, lambda: NOW)
        made = Bench(provider, sender)
        sender.answered = made.answered.append
        yield made.given(**oauth2)


def granting(**changes: Any) -> Behaviour:
    """A provider that answers with tokens."""
    reply = {"access_token": "at-2", "token_type": "Bearer", "expires_in": 60, "refresh_token": "rt-2"}
    return replies(200, json.dumps(reply | changes).encode())


async def test_refresh_token_goes_to_the_endpoint_that_is_recorded_with_it() -> None:
    """Whatever the spec says by now: it was given out by that provider and is nobody else's business."""
    async with bench(granting()) as here, HostileProvider(replies(200)) as elsewhere:
        here.given(tokenURL=elsewhere.url)
        answer = await here.send()
        assert elsewhere.requests == []
        (request,) = here.provider.requests
    assert (request.form["grant_type"], request.form["refresh_token"]) == ("refresh_token", "rt-1")
    assert isinstance(answer, TokenResponse)
    assert (answer.access_token, answer.refresh_token) == ("at-2", "rt-2")
    assert answer.expires_at == NOW + timedelta(seconds=60)


async def test_late_answer_is_waited_for_where_nobody_else_may_send(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh_sender, "REQUEST_DEADLINE", timedelta(milliseconds=50))
    late = asyncio.Event()

    async def answers_late(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        await late.wait()
        await granting()(request, writer)

    def may_wait() -> bool:
        late.set()
        return True

    async with bench(answers_late) as here:
        here.sender.may_wait = may_wait
        answer = await here.send()
    assert isinstance(answer, TokenResponse)


async def test_refresh_endpoint_is_used_where_one_is_recorded() -> None:
    async with bench(granting()) as here, HostileProvider(granting(access_token="elsewhere")) as refreshes:
        answer = await here.send(refresh_endpoint=refreshes.url)
        assert (len(refreshes.requests), here.provider.requests) == (1, [])
    assert isinstance(answer, TokenResponse)
    assert answer.access_token == "elsewhere"


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        pytest.param(replies(400, b'{"error": "invalid_grant"}'), InvalidGrant, id="the grant is dead"),
        pytest.param(replies(401, b'{"error": "invalid_client"}'), InvalidClient, id="the client is refused"),
        pytest.param(cuts_after_the_request(), OutcomeUnknown, id="nobody knows"),
        pytest.param(replies(200, b"{}"), OAuth2Error, id="an empty reply"),
    ],
)
async def test_whatever_the_protocol_ends_with_is_an_answer_and_the_place_at_the_provider_is_free(
    behaviour: Behaviour, kind: type[OAuth2Error]
) -> None:
    async with bench(behaviour) as here:
        assert isinstance(await here.send(), kind)
        assert here.answered == [KEY]


async def test_provider_that_is_not_there_is_an_answer_too() -> None:
    with closed_port() as port:
        async with bench() as here:
            answer = await here.send(token_endpoint=f"http://127.0.0.1:{port}/token")
            assert isinstance(answer, NotDelivered)
            assert here.answered == [KEY]


async def test_nothing_of_what_is_sent_or_comes_back_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    async with bench(replies(400, b'{"error": "invalid_grant", "error_description": "rt-1 is dead"}')) as here:
        answer = await here.send()
    printed = capsys.readouterr()
    assert isinstance(answer, InvalidGrant)
    assert "app-secret" not in f"{printed.out}{printed.err}{answer}"


# Whose tokens they are.


def id_token(**claims: Any) -> str:
    """One that nobody signed."""

    def part(value: dict[str, Any]) -> str:
        return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'RS256', 'kid': 'k'})}.{part(claims)}.{part({})}"


async def came_back(kept: dict[str, Any] | None, *, expected: dict[str, str] | None = None, **changes: Any) -> Answer:
    """The answer of an issuer whose keys are not to be had, with an id_token about somebody."""
    async with HostileProvider(replies(404, b"")) as issuer:
        claims: dict[str, Any] = {
            "iss": issuer.origin,
            "sub": "ada",
            "aud": "my-app",
            "exp": NOW.timestamp() + 60,
            "iat": NOW.timestamp(),
        }
        identity = None if kept is None else json.dumps({"iss": issuer.origin, "sub": "ada"} | kept)
        async with bench(granting(id_token=id_token(**(claims | changes)))) as here:
            here.given(issuer=issuer.origin, scopes=["openid"], expectedIdentity=expected)
            return await here.send(identity=identity)


async def test_tokens_about_the_one_who_authorized_are_taken_while_no_keys_are_to_be_had() -> None:
    """The refresh token is spent by now: the TLS of the token endpoint stands in for the signature."""
    assert isinstance(await came_back({}), TokenResponse)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        pytest.param({"sub": "eve"}, IdentityChanged, id="about somebody else"),
        pytest.param({"iss": "https://evil.example.com"}, IdentityChanged, id="of another issuer"),
        pytest.param({"aud": "another-app"}, IdentityMismatch, id="for another app"),
        pytest.param({"exp": 0}, IdentityMismatch, id="of long ago"),
        pytest.param({"exp": "soon"}, IdentityMismatch, id="that does not say until when"),
        pytest.param({"sub": None}, IdentityChanged, id="about nobody"),
    ],
)
async def test_tokens_that_are_not_of_the_one_who_authorized_are_not_taken(
    changes: dict[str, Any], kind: type[Exception]
) -> None:
    answer = await came_back({}, expected={"email": "ada@example.com"}, **changes)
    assert isinstance(answer, UnverifiedReply)
    assert isinstance(answer.error, kind)
    assert answer.response.refresh_token == "rt-2", "the old one is spent: this one is what the grant hangs on"


async def test_where_nobody_is_known_nobody_is_compared() -> None:
    assert isinstance(await came_back(None, sub="eve"), TokenResponse)


async def test_where_nobody_is_expected_only_somebody_elses_name_keeps_the_tokens_from_apps() -> None:
    """Providers send id_tokens with a refresh that are old, or for another client of theirs."""
    assert isinstance(await came_back({}, exp=0), TokenResponse)
    assert isinstance(await came_back({}, aud="another-app"), TokenResponse)
    assert isinstance(await came_back({}, exp=0, sub="eve"), UnverifiedReply)


async def test_keys_for_an_id_token_of_a_refresh_are_had_from_where_the_spec_says() -> None:
    """The issuer itself is not asked: nothing of it stands where it says."""
    issuer = "https://login.example.com/shop/v2.0"
    claims = {"iss": issuer, "sub": "ada", "aud": "my-app", "exp": NOW.timestamp() + 60, "iat": NOW.timestamp()}
    published = Issuer(publishes(RSA), issuer="https://login.example.com/{tenantid}/v2.0")
    signed_by = {"ours": RSA, "a stranger's": OTHER_RSA}
    for whose, key in signed_by.items():
        token = signed(key, payload=json.dumps(claims).encode())
        async with published, bench(granting(id_token=token)) as here:
            raw = {"issuer": issuer, "discoveryURL": f"{published.origin}/common", "scopes": ["openid"]}
            here.given(**raw, expectedIdentity={"sub": "ada"})
            await here.sender.prepare(KEY, facts(requested_scopes=("openid",)), here.material)
            answer = await here.send(identity=json.dumps({"iss": issuer, "sub": "ada"}))
            assert isinstance(answer, TokenResponse if whose == "ours" else UnverifiedReply), whose


async def test_header_for_a_gateway_is_sent_and_its_value_is_in_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    said = b'{"error": "invalid_grant", "error_description": "no key k3y-of-the-gateway here"}'
    async with bench(replies(400, said)) as here:
        headers = Headers((ExtraHeader("X-Api-Key", "k3y-of-the-gateway"),))
        here.material = replace(here.material, headers=headers)
        answer = await here.send()
        (request,) = here.provider.requests
    assert request.headers["x-api-key"] == "k3y-of-the-gateway"
    printed = capsys.readouterr()
    assert isinstance(answer, InvalidGrant)
    assert "k3y" not in f"{printed.out}{printed.err}{answer}"
