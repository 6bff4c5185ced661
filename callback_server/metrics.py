"""The callback server's metrics: what people asked for and how it ended.

Labels are routes, methods and kinds of refusals, never a path or anything else that a request chooses.
"""

import time

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callback_server.refusals import Refused

ROUTES = frozenset({"authorize", "callback", "done"}) | {
    # Of people who sign in.
    *("home", "find", "listing", "datasource", "get_credential", "clear", "refresh", "sign_in", "signed_in", "sign_out")
}
"""The names of endpoints, which tell routes apart."""

OTHER = "other"

_METHODS = frozenset({"GET", "HEAD", "POST"})

_OUTCOMES = Counter(
    "datasource_callback_outcomes",
    "Authorizations started and stored, and what was refused, on the way or at its end, by kind.",
    ["outcome"],
)
_REQUESTS = Counter("datasource_http_requests", "Requests for pages.", ["route", "method", "code"])
_SECONDS = Histogram(
    "datasource_http_request_duration_seconds",
    "Seconds until a page was sent; an exchange with the provider is part of the callback's.",
    ["route", "method"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30),
)
for _outcome in ("begun", "stored"):
    # There from the start: a rate needs a zero to rise from.
    _OUTCOMES.labels(_outcome)


def count_begun() -> None:
    """A person was sent to the provider."""
    _OUTCOMES.labels("begun").inc()


def count_stored() -> None:
    """A credential was stored."""
    _OUTCOMES.labels("stored").inc()


def count_refused(refused: Refused) -> None:
    """Something was refused."""
    _OUTCOMES.labels(refused.kind).inc()


class RequestMetrics:
    """Middleware that counts and times requests."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and count how it was answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, code = time.monotonic(), 500

        async def send_and_see(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_see)
        finally:
            route, method = route_of(scope), scope["method"] if scope["method"] in _METHODS else OTHER
            _REQUESTS.labels(route, method, str(code)).inc()
            _SECONDS.labels(route, method).observe(time.monotonic() - began)


def route_of(scope: Scope) -> str:
    """The route that a request was for, once it was routed; `other` for none of ours."""
    name = getattr(scope.get("endpoint"), "__name__", "")
    return name if name in ROUTES else OTHER
