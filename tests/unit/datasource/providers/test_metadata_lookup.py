"""Whether a provider's metadata are asked for, and for whom it matters that they cannot be had."""

from typing import Any

import pytest

from datasource.api.spec import InvalidSpec, OAuth2
from datasource.api.spec_problems import parse_spec
from datasource.oauth2.errors import MetadataUnavailable
from datasource.providers.discovery import Discovery
from datasource.providers.metadata_lookup import look_up_metadata
from datasource.providers.transport import Transport
from tests.support.hostile_provider import ON_LOOPBACK, HostileProvider, closed_port, replies
from tests.unit.datasource.builders import oauth2, raw_spec


def by_issuer(issuer: str, **changes: Any) -> OAuth2:
    """Parameters whose issuer is on loopback."""
    raw = raw_spec(issuer=issuer, **changes)
    parsed = parse_spec(raw, allow_insecure_http=False, egress=ON_LOOPBACK).oauth2
    assert parsed is not None
    return parsed


async def test_without_an_issuer_nobody_is_asked() -> None:
    async with Transport(ON_LOOPBACK) as transport:
        assert await look_up_metadata(Discovery(transport, lambda: 0.0), oauth2(), tenant="apps") is None


async def test_provider_that_is_down_matters_only_to_who_depends_on_it() -> None:
    with closed_port() as port:
        issuer = f"http://127.0.0.1:{port}"
        async with Transport(ON_LOOPBACK) as transport:
            discovery = Discovery(transport, lambda: 0.0)
            assert await look_up_metadata(discovery, by_issuer(issuer), tenant="apps") is None
            with pytest.raises(MetadataUnavailable):
                await look_up_metadata(discovery, by_issuer(issuer, tokenURL=None), tenant="apps")


async def test_metadata_that_cannot_be_believed_matters_only_to_who_depends_on_it() -> None:
    async with HostileProvider(replies(404, b"")) as provider, Transport(ON_LOOPBACK) as transport:
        discovery = Discovery(transport, lambda: 0.0)
        assert await look_up_metadata(discovery, by_issuer(provider.origin), tenant="apps") is None
        with pytest.raises(InvalidSpec, match=r"spec\.oauth2\.issuer gives no endpoints: .*answered 404"):
            await look_up_metadata(discovery, by_issuer(provider.origin, tokenURL=None), tenant="apps")


async def test_document_that_stands_elsewhere_is_told_by_the_field_that_says_where() -> None:
    async with HostileProvider(replies(404, b"")) as provider, Transport(ON_LOOPBACK) as transport:
        elsewhere = by_issuer("https://login.example.com", tokenURL=None, discoveryURL=f"{provider.origin}/meta")
        with pytest.raises(InvalidSpec, match=r"spec\.oauth2\.discoveryURL gives no endpoints: .*answered 404"):
            await look_up_metadata(Discovery(transport, lambda: 0.0), elsewhere, tenant="apps")
