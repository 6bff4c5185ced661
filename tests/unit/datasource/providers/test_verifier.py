"""Keys of an issuer from a provider on loopback: from where its metadata says, how often, and what a rotation takes."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any

import pytest

from datasource.oauth2.errors import MetadataNotAskedFor, MetadataUnavailable, MetadataUnusable, TooManyLookups
from datasource.oauth2.id_token import IdentityMismatch
from datasource.oauth2.signature import UnknownKey
from datasource.providers import verifier as module
from datasource.providers.discovery import Discovery, Trusted
from datasource.providers.transport import Transport
from datasource.providers.verifier import LIFETIME, LONGEST_GRACE, REFETCH_PAUSE, IdTokenVerifier
from tests.support.hostile_provider import (
    LOOPBACK,
    ON_LOOPBACK,
    Behaviour,
    HostileProvider,
    ReceivedRequest,
    cuts_after_the_request,
    cuts_in_the_body,
    endless_body,
    gzip_bomb,
    redirects,
    replies,
    self_signed,
    speaks_no_http,
)
from tests.support.reachable import reachable
from tests.unit.datasource.oauth2.test_signature import CLAIMS, EC, OTHER_RSA, RSA, key_set, signed

A_SECOND = timedelta(seconds=1)


class Clock:
    """A monotonic clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by.total_seconds()


class Issuer(HostileProvider):
    """Publishes metadata, and at /jwks the keys that it is given one after another; the last ones stay."""

    def __init__(self, *jwks: Behaviour, **metadata: Any) -> None:
        super().__init__(self._behave)
        self._jwks = jwks
        self._metadata = metadata
        self.fetched = 0

    def says(self, **metadata: Any) -> None:
        """Other members of the metadata."""
        self._metadata |= metadata

    async def _behave(self, request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        if request.target == "/jwks":
            behaviour = self._jwks[min(self.fetched, len(self._jwks) - 1)]
            self.fetched += 1
            await behaviour(request, writer)
            return
        document = {"issuer": self.origin, "jwks_uri": f"{self.origin}/jwks"} | self._metadata
        document = {name: value for name, value in document.items() if value is not None}
        await replies(200, json.dumps(document).encode())(request, writer)


def publishes(*keys: Any) -> Behaviour:
    return replies(200, key_set(*keys))


class Bench:
    """A verifier and the issuer that it asks."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer, self.clock = issuer, Clock()
        self.transport = Transport(ON_LOOPBACK)
        self.verifier = IdTokenVerifier(self.transport, Discovery(self.transport, self.clock), self.clock)

    async def __aenter__(self) -> "Bench":
        await self.issuer.__aenter__()
        await self.transport.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.__aexit__()
        await self.issuer.__aexit__()

    async def claims(self, token: str, **options: Any) -> object:
        return await self.verifier.claims(token, self.issuer.origin, tenant="apps", **options)


async def test_keys_are_fetched_once_and_kept() -> None:
    async with Bench(Issuer(publishes(RSA))) as bench:
        await bench.verifier.prepare(bench.issuer.origin, tenant="apps")
        assert await bench.claims(signed()) == CLAIMS
        bench.clock.advance(LIFETIME - A_SECOND)
        assert await bench.claims(signed()) == CLAIMS
        assert bench.issuer.fetched == 1
        bench.clock.advance(2 * A_SECOND)
        assert await bench.claims(signed()) == CLAIMS
        assert bench.issuer.fetched == 2


async def test_many_at_once_ask_once() -> None:
    async with Bench(Issuer(publishes(RSA))) as bench:
        assert await asyncio.gather(*(bench.claims(signed()) for _ in range(10))) == [CLAIMS] * 10
        assert bench.issuer.fetched == 1


async def test_rotated_key_is_found() -> None:
    async with Bench(Issuer(publishes(RSA), publishes(RSA, OTHER_RSA))) as bench:
        await bench.claims(signed())
        bench.clock.advance(REFETCH_PAUSE)
        assert await bench.claims(signed(OTHER_RSA)) == CLAIMS
        assert bench.issuer.fetched == 2


async def test_key_that_was_rotated_twice_within_a_minute_is_found_for_a_code_that_was_spent() -> None:
    """Nobody can ask with that code again. A refresh can wait for the minute."""
    async with Bench(Issuer(publishes(RSA), publishes(OTHER_RSA))) as bench:
        await bench.claims(signed())
        with pytest.raises(UnknownKey):
            await bench.claims(signed(OTHER_RSA))
        assert bench.issuer.fetched == 1
        assert await bench.claims(signed(OTHER_RSA), is_asked_once=True) == CLAIMS
        assert bench.issuer.fetched == 2


async def test_unknown_keys_make_no_storm() -> None:
    async with Bench(Issuer(publishes(RSA))) as bench:
        await bench.claims(signed())
        bench.clock.advance(REFETCH_PAUSE)
        for _ in range(20):
            with pytest.raises(UnknownKey):
                await bench.claims(signed(OTHER_RSA))
        assert bench.issuer.fetched == 2


async def test_token_of_a_stranger_is_refused() -> None:
    async with Bench(Issuer(publishes(RSA))) as bench:
        with pytest.raises(IdentityMismatch, match="signature"):
            await bench.claims(signed(OTHER_RSA, kid="k-1"))


async def test_metadata_says_which_algorithms_there_are() -> None:
    issuer = Issuer(publishes(RSA, EC), id_token_signing_alg_values_supported=["ES256"])
    async with Bench(issuer) as bench:
        assert await bench.claims(signed(EC, "ES256")) == CLAIMS
        with pytest.raises(IdentityMismatch, match="does not list"):
            await bench.claims(signed())


async def test_issuer_without_keys_is_unusable() -> None:
    async with Bench(Issuer(publishes(RSA), jwks_uri=None)) as bench:
        with pytest.raises(MetadataUnusable, match="jwks_uri"):
            await bench.verifier.prepare(bench.issuer.origin, tenant="apps")


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (replies(500), MetadataUnavailable),
        (replies(429), MetadataUnavailable),
        (cuts_after_the_request(), MetadataUnavailable),
        (cuts_in_the_body(), MetadataUnavailable),
        (speaks_no_http(), MetadataUnavailable),
        (endless_body(), MetadataUnavailable),
        (gzip_bomb(size=65_536), MetadataUnusable),
        (redirects("http://127.0.0.1:1/jwks"), MetadataUnusable),
        (replies(404), MetadataUnusable),
        (replies(200, b"<!DOCTYPE html>"), MetadataUnusable),
    ],
)
async def test_keys_that_cannot_be_had_are_told_and_not_asked_for_at_once_again(
    behaviour: Behaviour, expected: type[Exception]
) -> None:
    async with Bench(Issuer(behaviour, publishes(RSA))) as bench:
        for _ in range(3):
            with pytest.raises(expected):
                await bench.verifier.prepare(bench.issuer.origin, tenant="apps")
        assert bench.issuer.fetched == 1
        bench.clock.advance(REFETCH_PAUSE)
        assert await bench.claims(signed()) == CLAIMS


async def test_keys_hold_on_for_a_day_while_their_provider_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Bench(Issuer(publishes(RSA), replies(500))) as bench:
        metadata = await Discovery(bench.transport, bench.clock).metadata(bench.issuer.origin, tenant="apps")

        async def stays(_: str, **_asked: str | None) -> Any:
            return metadata

        monkeypatch.setattr(bench.verifier._discovery, "metadata", stays)
        await bench.claims(signed())
        bench.clock.advance(LIFETIME + LONGEST_GRACE - A_SECOND)
        assert await bench.claims(signed()) == CLAIMS
        bench.clock.advance(2 * A_SECOND)
        with pytest.raises(MetadataUnavailable):
            await bench.claims(signed())


async def test_keys_of_a_place_that_somebody_named_are_no_word_for_whoever_asks_the_issuer() -> None:
    async with Bench(Issuer(publishes(RSA))) as bench, Bench(Issuer(publishes(OTHER_RSA))) as other:
        issuer = bench.issuer.origin
        other.issuer.says(issuer=issuer)
        place = f"{other.issuer.origin}/elsewhere"
        await bench.verifier.prepare(issuer, tenant="apps", discovery_url=place)
        assert await bench.claims(signed(OTHER_RSA), discovery_url=place) == CLAIMS
        assert bench.issuer.requests == []
        with pytest.raises(UnknownKey):
            await bench.claims(signed(OTHER_RSA))
        assert await bench.claims(signed(RSA)) == CLAIMS


async def test_what_one_tenant_trusts_is_no_word_for_another() -> None:
    bundle = self_signed().certificate
    async with Bench(Issuer(publishes(OTHER_RSA), publishes(RSA))) as bench:
        assert await bench.claims(signed(OTHER_RSA), ca_bundle=bundle) == CLAIMS
        assert await bench.claims(signed()) == CLAIMS
        assert bench.issuer.fetched == 2


@pytest.mark.parametrize(("who_asks_elsewhere", "fetched"), [("apps", 2), ("attacker", 1)])
async def test_whoever_names_many_issuers_forgets_his_own_keys(
    monkeypatch: pytest.MonkeyPatch, who_asks_elsewhere: str, fetched: int
) -> None:
    monkeypatch.setattr(module, "KEPT_PER_NAMESPACE", 8192)
    async with Bench(Issuer(publishes(RSA))) as bench, Issuer(publishes(OTHER_RSA)) as other:
        await bench.claims(signed())
        await bench.verifier.claims(signed(OTHER_RSA), other.origin, tenant=who_asks_elsewhere)
        await bench.claims(signed())
        assert bench.issuer.fetched == fetched


async def test_tenant_without_room_to_ask_keeps_no_keys_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    has_room = False

    async def resolve(name: str, _: int) -> Sequence[str]:
        if not has_room:
            raise TooManyLookups(name)
        return (LOOPBACK,)

    issuer = Issuer(publishes(RSA))
    async with issuer, Transport(ON_LOOPBACK, resolve=resolve) as transport:
        issuer._metadata = {"jwks_uri": f"http://login.example.com:{issuer.port}/jwks"}
        verifier = IdTokenVerifier(transport, Discovery(transport, Clock(), allow_insecure_http=True), Clock())
        with pytest.raises(MetadataNotAskedFor):
            await verifier.prepare(issuer.origin, tenant="attacker")
        has_room = True
        await verifier.prepare(issuer.origin, tenant="victim")
        assert issuer.fetched == 1


@pytest.mark.parametrize("behaviour", [replies(404), replies(500), cuts_after_the_request()])
async def test_failure_that_is_kept_holds_nothing_of_what_was_on_the_way(behaviour: Behaviour) -> None:
    async with Bench(Issuer(behaviour)) as bench:
        with pytest.raises((MetadataUnavailable, MetadataUnusable)):
            await bench.verifier.prepare(bench.issuer.origin, tenant="apps")
        kept = bench.verifier._kept.peek(Trusted.by(bench.issuer.origin, None))
        assert kept is not None
        assert kept.failure is not None
        assert not any(isinstance(each, BaseException | TracebackType) for each in reachable(kept.failure))
