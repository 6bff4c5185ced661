"""The Starlette app: routes, and nothing that decides."""

import dataclasses
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callback_server import refusals
from callback_server.callback import CallbackService
from callback_server.credentials import CredentialStore
from callback_server.dialog import LARGEST_FORM, DialogService, parse_form
from callback_server.done import DoneService
from callback_server.flows import FlowStore
from callback_server.pages import dialog_page, message_page
from callback_server.refusals import Refused
from callback_server.revocation import GrantRevoker
from callback_server.security import ALWAYS, cookie_in, is_from_our_page, new_cookie, set_cookie_header
from callback_server.situation import Observer
from datasource.kube import ApiError, Kube, Unavailable
from datasource.oauth2.transport import Transport
from datasource.settings import Settings

logger = structlog.get_logger(__name__)

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes call."""

    dialog: DialogService
    callback: CallbackService
    done: DoneService
    settings: Settings
    token_bytes: Callable[[int], bytes] = secrets.token_bytes


def services(kube: Kube, transport: Transport, settings: Settings) -> Services:
    """Wire everything up."""
    observer = Observer(kube, settings)
    flows = FlowStore(kube, settings.system_namespace, _now)
    return Services(
        dialog=DialogService(kube, settings, observer, flows, _now),
        callback=CallbackService(
            kube, transport, observer, flows, CredentialStore(kube, _now), GrantRevoker(transport, observer, _now), _now
        ),
        done=DoneService(settings, observer, flows),
        settings=settings,
    )


def create_app(served: Services) -> Starlette:
    """The app, below the path of the external URL."""
    settings = served.settings

    async def show(request: Request) -> Response:
        namespace, name = _place(request)
        cookie = cookie_in(request.cookies)
        fresh = cookie or new_cookie(served.token_bytes)
        dialog = await served.dialog.show(namespace, name, request.query_params.get("ticket", ""), fresh)
        response = dialog_page(dialog)
        if cookie is None:
            response.headers["Set-Cookie"] = set_cookie_header(fresh)
        return response

    async def begin(request: Request) -> Response:
        namespace, name = _place(request)
        if not is_from_our_page(request.headers, settings.external_url):
            raise refusals.form_is_not_ours()
        form = parse_form(request.headers.get("content-type", ""), await _body(request))
        target = await served.dialog.begin(namespace, name, form, cookie_in(request.cookies))
        return _see_other(target)

    async def callback(request: Request) -> Response:
        namespace = request.path_params["namespace"]
        query = request.scope["query_string"]
        done_id = await served.callback.finish(namespace, query, cookie_in(request.cookies))
        # A clean URL: code and state leave the address bar and the history.
        return _see_other(f"{settings.external_url}/done/{done_id}")

    async def done(request: Request) -> Response:
        return await served.done.show(request.path_params["done_id"], cookie_in(request.cookies))

    routes = [
        Route("/authorize/{namespace}/{name}", show, methods=["GET"]),
        Route("/authorize/{namespace}/{name}", begin, methods=["POST"]),
        Route("/callback/{namespace}", callback, methods=["GET"]),
        Route("/done/{done_id}", done, methods=["GET"]),
    ]
    prefix = urlsplit(settings.external_url).path
    return Starlette(
        routes=[Mount(prefix, routes=routes)] if prefix else routes,
        middleware=[Middleware(_AlwaysHeaders)],
        exception_handlers={
            Refused: _refused,
            HTTPException: _http_error,
            ApiError: _api_failed,
            Unavailable: _api_failed,
            Exception: _unexpected,
        },
    )


class _AlwaysHeaders:
    """Adds the headers that every answer has, also those that no handler made."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(
                        (name.lower().encode(), value.encode())
                        for name, value in ALWAYS.items()
                        if name.lower().encode() not in present
                    ),
                ]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _place(request: Request) -> tuple[str, str]:
    namespace, name = request.path_params["namespace"], request.path_params["name"]
    if not _NAMESPACE.fullmatch(namespace) or not _NAME.fullmatch(name):
        raise refusals.link_has_ended()
    return namespace, name


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            raise refusals.form_is_not_ours()
    return bytes(body)


def _see_other(target: str) -> Response:
    return RedirectResponse(target, status_code=303)


async def _refused(_: Request, error: Exception) -> Response:
    if not isinstance(error, Refused):
        raise error
    return message_page(error)


async def _http_error(_: Request, error: Exception) -> Response:
    refused = refusals.page_not_found()
    status = getattr(error, "status_code", refused.status)
    return message_page(dataclasses.replace(refused, status=status))


async def _api_failed(request: Request, error: Exception) -> Response:
    # The route, not the URL: a callback's query carries the code.
    logger.warning("the API server refused or did not answer", route=_route(request), error=str(error))
    return message_page(refusals.try_again_later())


async def _unexpected(request: Request, error: Exception) -> Response:
    """A bug: logged with its traceback by uvicorn, to which Starlette raises it again."""
    logger.error("unexpected error", route=_route(request), error=type(error).__name__)
    return message_page(refusals.something_went_wrong())


def _route(request: Request) -> str:
    route: Any = request.scope.get("route")
    return getattr(route, "path", "?")
