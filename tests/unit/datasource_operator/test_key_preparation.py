"""What a refresh has at hand before it sends: while a reply is in memory alone, nobody is waited for."""

import pytest

from datasource.api.spec import OAuth2
from datasource.cluster.clients import ClientMaterial, Clients
from datasource.providers.discovery import Discovery
from datasource.providers.transport import Transport
from datasource.providers.verifier import IdTokenVerifier
from datasource_operator.cache import Key
from datasource_operator.refresh_sender import RefreshSender
from tests.support.builders import NOW, facts
from tests.support.hostile_provider import ON_LOOPBACK, Behaviour, replies
from tests.support.kube_in_memory import KubeInMemory
from tests.unit.datasource.oauth2.test_signature import RSA
from tests.unit.datasource.providers.test_verifier import Issuer, publishes
from tests.unit.datasource_operator.stand_ins import Clock

KEY = Key("shop", "calendar")
OPENID = facts(requested_scopes=("openid", "offline_access"))


def sender_on(transport: Transport, verifier: IdTokenVerifier) -> RefreshSender:
    clients = Clients(KubeInMemory(), require_allowed_hosts=False, now=lambda: NOW)
    return RefreshSender(transport, clients, verifier, lambda: NOW)


@pytest.mark.parametrize(("requested", "fetched"), [(("openid",), 1), (("read",), 0)])
async def test_keys_are_fetched_before_and_only_where_an_id_token_may_come(
    requested: tuple[str, ...], fetched: int
) -> None:
    issuer = Issuer(publishes(RSA))
    async with issuer, Transport(ON_LOOPBACK) as transport:
        verifier = IdTokenVerifier(transport, Discovery(transport, Clock()), Clock())
        material = ClientMaterial(OAuth2(issuer=issuer.origin))
        sender = sender_on(transport, verifier)
        for _ in range(2):
            await sender.prepare(KEY, facts(requested_scopes=requested), material)
        assert issuer.fetched == fetched


@pytest.mark.parametrize("behaviour", [replies(500), replies(404)])
async def test_a_refresh_waits_for_no_keys_that_are_not_to_be_had(behaviour: Behaviour) -> None:
    issuer = Issuer(behaviour)
    async with issuer, Transport(ON_LOOPBACK) as transport:
        verifier = IdTokenVerifier(transport, Discovery(transport, Clock()), Clock())
        material = ClientMaterial(OAuth2(issuer=issuer.origin))
        await sender_on(transport, verifier).prepare(KEY, OPENID, material)
        assert issuer.fetched == 1


async def test_a_provider_without_an_issuer_is_asked_for_nothing() -> None:
    async with Transport(ON_LOOPBACK) as transport:
        verifier = IdTokenVerifier(transport, Discovery(transport, Clock()), Clock())
        await sender_on(transport, verifier).prepare(KEY, OPENID, ClientMaterial(OAuth2()))
