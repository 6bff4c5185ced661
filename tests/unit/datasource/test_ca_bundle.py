"""The CA bundle of a Datasource: inline, or in a ConfigMap that is read at each use."""

from typing import Any

import pytest

from datasource.ca_bundle import read_ca_bundle
from datasource.kube import Forbidden
from datasource.spec import InvalidSpec
from tests.support.hostile_provider import self_signed
from tests.unit.datasource.api_server import ApiServer, fails, json_reply
from tests.unit.datasource.builders import oauth2

PEM = self_signed().certificate
REF = {"name": "company-ca"}


def config_map(data: Any) -> dict[str, Any]:
    return {"metadata": {"name": "company-ca"}, "data": data}


@pytest.mark.parametrize(("fields", "bundle"), [({}, None), ({"caBundle": PEM}, PEM)])
async def test_without_a_reference_nothing_is_read(fields: dict[str, Any], bundle: str | None) -> None:
    async with ApiServer() as server, server.kube() as kube:
        assert await read_ca_bundle(kube, "shop", oauth2(**fields)) == bundle
    assert server.requests == []


async def test_bundle_is_read_from_its_config_map_at_each_use() -> None:
    other = self_signed().certificate
    replies = json_reply(config_map({"ca.crt": PEM})), json_reply(config_map({"ca.crt": other}))
    async with ApiServer(*replies) as server, server.kube() as kube:
        bundles = [await read_ca_bundle(kube, "shop", oauth2(caBundleRef=REF)) for _ in range(2)]
    assert bundles == [PEM, other]
    assert [request.path for request in server.requests] == ["/api/v1/namespaces/shop/configmaps/company-ca"] * 2


async def test_bundle_may_stand_under_another_key() -> None:
    async with ApiServer(json_reply(config_map({"root.pem": PEM}))) as server, server.kube() as kube:
        assert await read_ca_bundle(kube, "shop", oauth2(caBundleRef=REF | {"key": "root.pem"})) == PEM


async def test_config_map_that_is_not_there_is_told_with_the_command_that_creates_it() -> None:
    async with ApiServer(fails(404, "NotFound")) as server, server.kube() as kube:
        with pytest.raises(InvalidSpec, match="names ConfigMap company-ca, which does not exist") as caught:
            await read_ca_bundle(kube, "shop", oauth2(caBundleRef=REF))
    assert "kubectl create configmap company-ca -n shop --from-file=ca.crt=..." in str(caught.value)


@pytest.mark.parametrize("data", [None, {}, {"other": PEM}])
async def test_key_that_is_not_there_is_told_with_the_remedy(data: Any) -> None:
    async with ApiServer(json_reply(config_map(data))) as server, server.kube() as kube:
        with pytest.raises(InvalidSpec, match=r"names key ca\.crt, which ConfigMap company-ca does not have"):
            await read_ca_bundle(kube, "shop", oauth2(caBundleRef=REF))


async def test_broken_bundle_in_a_config_map_is_told_by_its_place() -> None:
    async with ApiServer(json_reply(config_map({"ca.crt": "x"}))) as server, server.kube() as kube:
        with pytest.raises(InvalidSpec, match=r"key ca\.crt of ConfigMap company-ca is not a list of certificates"):
            await read_ca_bundle(kube, "shop", oauth2(caBundleRef=REF))


async def test_refusal_of_the_api_server_is_passed_on() -> None:
    async with ApiServer(fails(403, "Forbidden")) as server, server.kube() as kube:
        with pytest.raises(Forbidden):
            await read_ca_bundle(kube, "shop", oauth2(caBundleRef=REF))
