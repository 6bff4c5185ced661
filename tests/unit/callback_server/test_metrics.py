"""What the callback server counts: routes and kinds, nothing that a request chooses."""

import httpx
import pytest
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from callback_server import refusals
from callback_server.metrics import RequestMetrics, count_refused


async def done(_: Request) -> Response:
    return PlainTextResponse("well", status_code=201)


async def callback(_: Request) -> Response:
    raise RuntimeError("a bug")


async def ask(path: str, method: str = "GET", prefix: str = "") -> None:
    routes = [Route("/done/{id}", done), Route("/callback", callback)]
    app = Starlette(
        routes=[Mount(prefix, routes=routes)] if prefix else routes, middleware=[Middleware(RequestMetrics)]
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        await client.request(method, f"{prefix}{path}")


def counted(route: str, code: str, method: str = "GET") -> float:
    labels = {"route": route, "method": method, "code": code}
    return REGISTRY.get_sample_value("datasource_http_requests_total", labels) or 0.0


@pytest.mark.parametrize(
    ("path", "method", "route", "code"),
    [
        ("/done/secret-id", "GET", "done", "201"),
        ("/callback?code=secret", "GET", "callback", "500"),
        ("/done/secret-id", "POST", "done", "405"),
        ("/secret/path", "GET", "other", "404"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/prefix"])
async def test_request_is_counted_by_route_and_code(prefix: str, path: str, method: str, route: str, code: str) -> None:
    before = counted(route, code, method)
    await ask(path, method, prefix)
    assert counted(route, code, method) == before + 1


async def test_made_up_methods_are_one() -> None:
    before = counted("other", "404", "other")
    await ask("/tea", "BREW")
    await ask("/tea", "WHEN")
    assert counted("other", "404", "other") == before + 2


def test_refusal_is_counted_by_its_kind() -> None:
    def found() -> float:
        labels = {"outcome": "this_link_has_ended"}
        return REGISTRY.get_sample_value("datasource_callback_outcomes_total", labels) or 0.0

    before = found()
    count_refused(refusals.link_has_ended())
    assert found() == before + 1
