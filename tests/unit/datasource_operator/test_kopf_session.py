"""What became of kopf's requests, on a real session."""

import pytest
from yarl import URL

from datasource.cluster.login import login
from datasource.cluster.resources import DATASOURCES
from datasource_operator.kopf_session import DatasourceRequests
from datasource_operator.served_scopes import Scope, ServedScopes, Source
from tests.unit.datasource.api_server import ApiServer, json_reply

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
