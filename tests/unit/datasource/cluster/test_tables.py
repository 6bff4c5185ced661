"""A LIST as the API server prints it."""

import msgspec
import pytest

from datasource.cluster.api_errors import ApiError, Expired
from datasource.cluster.resources import DATASOURCES
from datasource.cluster.tables import TABLE_ONLY, Table, TablePage
from tests.unit.datasource.api_server import ApiServer, fails, json_reply

TABLE = {
    "kind": "Table",
    "metadata": {"resourceVersion": "7", "continue": "next"},
    "columnDefinitions": [{"name": "Name", "type": "string"}, {"name": "State"}, {"name": "Ready"}],
    "rows": [
        {"cells": ["calendar", "AUTHORIZED", None], "object": None},
        {"cells": ["drive", "", 5]},
        {"cells": ["short"]},
    ],
}


def test_cells_are_told_by_the_names_of_their_columns() -> None:
    page = msgspec.convert(TABLE, Table).page()
    assert page == TablePage(
        ({"Name": "calendar", "State": "AUTHORIZED"}, {"Name": "drive"}, {"Name": "short"}), "next"
    )


def test_table_without_rows_is_an_empty_page() -> None:
    assert msgspec.convert({"columnDefinitions": [], "rows": None}, Table).page() == TablePage(())


async def test_page_is_asked_for_as_a_table_without_objects() -> None:
    async with ApiServer(json_reply(TABLE)) as server, server.kube() as kube:
        await kube.table(DATASOURCES, "shop", page_size=100)
        await kube.table(DATASOURCES, "shop", page_size=100, continue_="next")
    first, second = server.requests
    assert first.headers["Accept"] == TABLE_ONLY
    assert first.path == "/apis/datasource.dev/v1alpha1/namespaces/shop/datasources"
    assert first.query == {"limit": "100", "includeObject": "None"}
    assert second.query == {"limit": "100", "includeObject": "None", "continue": "next"}


async def test_all_namespaces_are_asked_for_at_once_and_by_a_state() -> None:
    async with ApiServer(json_reply(TABLE)) as server, server.kube() as kube:
        await kube.table(DATASOURCES, None, page_size=100, field_selector="status.state=NOT AUTHORIZED")
    (request,) = server.requests
    assert request.path == "/apis/datasource.dev/v1alpha1/datasources"
    assert request.query["fieldSelector"] == "status.state=NOT AUTHORIZED"


@pytest.mark.parametrize(("status", "error"), [(410, Expired), (400, ApiError)])
async def test_token_that_is_too_old_or_none_is_told(status: int, error: type[Exception]) -> None:
    async with ApiServer(fails(status, "Expired")) as server, server.kube() as kube:
        with pytest.raises(error):
            await kube.table(DATASOURCES, "shop", page_size=100, continue_="x")
