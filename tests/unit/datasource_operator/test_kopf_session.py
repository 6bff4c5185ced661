"""What became of kopf's requests, on a real session."""

import asyncio
import json
import tracemalloc
from typing import Any

import pytest
from yarl import URL

from datasource.api.names import Annotation
from datasource.cluster.login import login
from datasource.cluster.resources import DATASOURCES
from datasource_operator.controller import datasource_in
from datasource_operator.kopf_session import DatasourceRequests, lean_list
from datasource_operator.served_scopes import Scope, ServedScopes, Source
from tests.unit.datasource.api_server import ApiServer, Reply, json_reply

ONE = DATASOURCES.path("shop")
ALL = DATASOURCES.path(None)


def heard(path: str, status: int, *scopes: Scope) -> tuple[ServedScopes, DatasourceRequests]:
    served = ServedScopes(scopes or (None,))
    requests = DatasourceRequests(served)
    requests.hear(URL(f"https://api.example.com/behind/a/path{path}"), status, "Reason")
    return served, requests


@pytest.mark.parametrize(("path", "scope"), [(ALL, None), (ONE, "shop")])
def test_a_watch_that_is_answered_says_that_the_list_was_read(path: str, scope: Scope) -> None:
    listed, _ = heard(path, 200, scope)
    watched, _ = heard(f"{path}?watch=true", 200, scope)
    for served in (listed, watched):
        for source in set(Source) - {Source.DATASOURCES}:
            served.listed(scope, source)
    assert listed.unready() == "the lists of Datasources have not been read yet"
    assert watched.unready() is None


@pytest.mark.parametrize(("status", "says_no_api"), [(403, False), (404, True)])
def test_a_refusal_is_told_for_its_namespace(status: int, says_no_api: bool) -> None:
    served, requests = heard(ONE, status, "shop", "other")
    assert served.unreadable() == {"shop": f"Datasources: {status} Reason"}
    assert requests.found_no_api is says_no_api


@pytest.mark.parametrize("status", [401, 410, 429, 500])
def test_what_passes_by_itself_is_no_refusal(status: int) -> None:
    served, requests = heard(ALL, status)
    assert served.unreadable() == {}
    assert not requests.found_no_api


def test_other_requests_tell_nothing_of_datasources() -> None:
    served = ServedScopes((None,))
    moments = iter([1.0, 2.0, 3.0])
    requests = DatasourceRequests(served, lambda: next(moments))
    for path in ("/apis", "/apis/datasource.dev/v1alpha1", "/api/v1/namespaces/datasources", f"{ONE}/calendar/status"):
        requests.hear(URL(f"https://api.example.com{path}"), 404, "Not Found")
    assert (requests.alive_at, requests.found_no_api) == (1.0, False)
    requests.hear(URL(f"https://api.example.com{ALL}"), 500, "broken")
    assert requests.alive_at == 2.0


@pytest.mark.parametrize("path", ["/apis", ALL])
def test_a_login_that_is_refused_is_remembered_for_the_next_one(path: str) -> None:
    _, requests = heard(path, 200)
    assert not requests.login_was_refused
    _, requests = heard(path, 401)
    assert requests.login_was_refused


async def test_a_session_logs_in_and_tells_of_answers_and_of_none() -> None:
    served = ServedScopes((None,))
    moments = iter([1.0, 2.0, 3.0])
    async with ApiServer(json_reply({"kind": "Status"}, status=403)) as server:
        requests = DatasourceRequests(served, lambda: next(moments))
        async with requests.session(await login(str(server.kubeconfig))) as session:
            url = f"{server.url}{ALL}"
            async with session.get(url):
                pass
            assert server.requests[0].token == "token-1"
            assert (requests.alive_at, list(served.unreadable())) == (2.0, ["*"])
            await server.stop()
            with pytest.raises(OSError, match="connect"):
                await session.get(url)
    assert requests.alive_at == 3.0


# Lists.


def _listed(number: int, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "datasource.dev/v1alpha1",
        "kind": "Datasource",
        "metadata": {
            "name": f"d-{number}",
            "namespace": "shop",
            "uid": str(number),
            "resourceVersion": "7",
            **metadata,
        },
        "spec": {"oauth2": {"scopes": ["read"]}},
        "status": {"state": "AUTHORIZED"},
    }


def _list(*items: dict[str, Any]) -> dict[str, Any]:
    told = {"resourceVersion": "9", "continue": "more"}
    return {"apiVersion": "datasource.dev/v1alpha1", "kind": "DatasourceList", "metadata": told, "items": list(items)}


async def _asked(reply: Reply, path: str, times: int = 1) -> list[Any]:
    async with ApiServer(reply) as server:
        async with DatasourceRequests(ServedScopes((None,))).session(await login(str(server.kubeconfig))) as session:

            async def ask() -> Any:
                async with await session.get(f"{server.url}{path}") as response:
                    return await response.json()

            return await asyncio.gather(*(ask() for _ in range(times)))


async def test_a_list_is_what_the_api_server_sent_but_for_what_nobody_reads() -> None:
    usual = _listed(1, generation=3, annotations={Annotation.REFRESH: "now"}, deletionTimestamp="2026-11-27T12:00:00Z")
    unread = {
        "labels": {"a": "b"},
        "managedFields": [{"manager": "x"}],
        "ownerReferences": [{"uid": "1"}],
        "finalizers": ["a/b"],
    }
    large = json.loads(json.dumps(usual))
    large["metadata"] |= unread
    large["metadata"]["annotations"]["example.com/notes"] = "x" * 100_000
    (found,) = await _asked(json_reply(_list(large, _listed(2))), f"{ALL}?limit=2")
    assert found == _list(usual, _listed(2, annotations={}))
    assert datasource_in(found["items"][0]).metadata.annotations == {Annotation.REFRESH: "now"}


async def test_a_list_of_nothing_is_one() -> None:
    (found,) = await _asked(json_reply(_list() | {"items": None}), ONE)
    assert found["items"] == []
    assert found["metadata"]["resourceVersion"] == "9"


@pytest.mark.parametrize("body", [[], {"kind": "Status"}, {"metadata": {}, "items": [{"kind": "Datasource"}]}])
async def test_what_is_no_list_is_as_it_came(body: Any) -> None:
    assert await _asked(json_reply(body), ALL) == [body]


async def test_answers_about_other_things_and_refusals_are_as_they_came() -> None:
    whole = {"metadata": {}, "items": [_listed(1, labels={"a": "b"})]}
    assert await _asked(json_reply(whole), "/apis") == [whole]
    assert await _asked(json_reply(whole, status=403), ALL) == [whole]


async def test_owners_and_fields_of_a_whole_page_take_no_more_memory_than_those_of_one() -> None:
    """25 Datasources of 1.5 MiB each, as dictionaries, would take most of what the operator has."""
    owners = [{"uid": f"{number:x}", "kind": "Pod", "name": "a", "apiVersion": "v1"} for number in range(2_000)]
    body = json.dumps(_list(*(_listed(number, ownerReferences=owners) for number in range(25)))).encode()
    one = json.dumps(_list(_listed(0, ownerReferences=owners))).encode()
    peaks = []
    for each in (one, body):
        tracemalloc.start()
        lean_list(each)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]
