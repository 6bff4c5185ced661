"""Where our rights come from."""

import pytest

from datasource.process.settings import Settings
from datasource_operator.rights import REVIEWS, rights_outlive_namespaces
from tests.unit.datasource.api_server import ApiServer, json_reply

EVERYWHERE = Settings(external_url="https://connect.example.com", system_namespace="datasource-system")
LISTED = Settings(
    external_url="https://connect.example.com", system_namespace="datasource-system", namespaces=("shop",)
)


@pytest.mark.parametrize("allowed", [True, False])
async def test_the_api_server_tells_whether_rights_outlive_a_namespace(allowed: bool) -> None:
    async with ApiServer(json_reply({"status": {"allowed": allowed}}, status=201)) as server, server.kube() as kube:
        assert await rights_outlive_namespaces(kube, LISTED) is allowed
    (request,) = server.requests
    assert request.path == REVIEWS.path(None)
    assert "namespace" not in request.body["spec"]["resourceAttributes"]


@pytest.mark.parametrize(("settings", "outlive"), [(EVERYWHERE, True), (LISTED, False)])
async def test_where_nobody_tells_the_list_of_namespaces_does(settings: Settings, outlive: bool) -> None:
    async with ApiServer(json_reply({"reason": "Forbidden"}, status=403)) as server, server.kube() as kube:
        assert await rights_outlive_namespaces(kube, settings) is outlive
