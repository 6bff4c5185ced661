"""The Starlette app: routes, and nothing that decides."""

import dataclasses
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from urllib.parse import urlsplit

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route, Router

from callback_server import refusals
from callback_server.acceptance import Acceptance
from callback_server.always_headers import AlwaysHeaders
from callback_server.callback import CallbackService
from callback_server.code_exchange import CodeExchange
from callback_server.cookie import BROWSER, new_cookie, set_cookie_header
from callback_server.credentials import CredentialStore
from callback_server.crowd_pages import CrowdPages
from callback_server.dialog import DialogService, parse_form
from callback_server.done import DoneService
from callback_server.fair_reads import FairReads
from callback_server.flows import FlowStore
from callback_server.form_body import body_of
from callback_server.granted import NotGranted, PatientReads
from callback_server.identity import IdentityCheck
from callback_server.limits import Bulkhead, Clicks, Exceeded, JunkLimit, RateLimiter
from callback_server.metrics import RequestMetrics, count_refused, route_of
from callback_server.named_place import named_place, place_of
from callback_server.pages import dialog_page, onward_page, refusal_page
from callback_server.presentation import presentations
from callback_server.references import new_reference
from callback_server.refusals import Kind, Refused
from callback_server.replayer import CodeReplayer
from callback_server.revocation import GrantRevoker
from callback_server.security import is_from_our_page, is_navigation
from callback_server.shared_reads import Lane, Lanes
from callback_server.signed_in.destinations import NAME, NAMESPACE, Destination
from callback_server.signed_in.routes import People, people_routes
from callback_server.signed_in.visitors import SignInNeeded, cookie_of
from callback_server.signed_in.wiring import people
from callback_server.situation import Observer
from datasource.api.names import CALLBACK_FIELD_MANAGER, authorization_link
from datasource.cluster.api_errors import ApiError, Forbidden, Invalid, Unavailable
from datasource.cluster.clients import Clients
from datasource.cluster.credential_secrets import CredentialSecrets
from datasource.cluster.dropped_grants import DroppedGrants
from datasource.cluster.kube import Kube
from datasource.cluster.link_keys import LinkKeyStore
from datasource.cluster.replays import Replays
from datasource.cluster.secrets_api import SecretsApi
from datasource.process.clock import utc_now
from datasource.process.journal import Journal
from datasource.process.settings import Settings
from datasource.providers.discovery import Discovery
from datasource.providers.transport import Transport
from datasource.providers.verifier import IdTokenVerifier
from datasource.records.ticket import is_ticket

logger = structlog.get_logger(__name__)

BODY_TIMEOUT = 10.0
"""Seconds for a form of a few hundred bytes."""

EXCHANGES_PER_NAMESPACE = 16
"""Authorizations of one namespace that are worked on at one time; thirty people of one course click at the same time."""

LOOKS_PER_NAMESPACE = 8
"""People of one namespace who wait for the metadata of a provider at one time."""

PLACES = 256
RESERVED_PLACES = 192
"""Of each kind in all, and how many of them are for namespaces that hold none: to hold them all takes about 200 namespaces."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes call."""

    dialog: DialogService
    callback: CallbackService
    done: DoneService
    settings: Settings
    junk: JunkLimit
    link_keys: LinkKeyStore
    replays: Replays | None = None
    """What becomes of replies that lie in the journal; None where there is none."""
    people: People | None = None
    """What people who sign in have; None where nobody does."""
    token_bytes: Callable[[int], bytes] = secrets.token_bytes


def bulkhead(*, per_namespace: int) -> Bulkhead:
    """Who waits for a provider that hangs holds a connection and 90 KiB, and nobody up: there may be many."""
    return Bulkhead(
        in_all=PLACES, per_namespace=per_namespace, reserved=RESERVED_PLACES, longest_wait=5.0, longest_line=48
    )


def services(
    kube: Kube,
    transport: Transport,
    settings: Settings,
    journal: Journal | None = None,
    to_issuer: Transport | None = None,
) -> Services:
    """Wire everything up; `to_issuer` sends the requests of sign-in, where people sign in."""
    discovery = Discovery(transport, time.monotonic, allow_insecure_http=settings.allow_insecure_http)
    # A look takes 15 s where an issuer hangs at each of its places.
    lookups = bulkhead(per_namespace=LOOKS_PER_NAMESPACE)
    # Before a code is spent, reads take turns. After that nobody can begin again: they are done, however much there is.
    patient, fair = PatientReads(kube), FairReads(kube)
    fair_and_patient = PatientReads(fair)
    link_keys = LinkKeyStore(kube, settings.system_namespace, utc_now)
    credential_secrets = CredentialSecrets(patient, CALLBACK_FIELD_MANAGER, may_list=False, link_keys=link_keys.known)

    def new_observer(reads: SecretsApi) -> Observer:
        found = CredentialSecrets(reads, CALLBACK_FIELD_MANAGER, may_list=False)
        return Observer(fair, found, settings, discovery, lookups)

    # Strangers are to cost no waiting.
    observer, glance = new_observer(fair_and_patient), new_observer(fair)
    clients = Clients(fair_and_patient, settings.require_allowed_hosts, utc_now)
    clients_afterwards = dataclasses.replace(clients, kube=patient)
    flows = FlowStore(kube, settings.system_namespace, utc_now)

    def new_lane() -> Lane:
        return Lane(glance, flows, RateLimiter(time.monotonic, per_second=100, burst=100, longest_wait=5.0))

    lanes = Lanes(new_lane)
    # An exchange with a provider that hangs takes 20 s: it must not hold the places of other tenants.
    exchanges = bulkhead(per_namespace=EXCHANGES_PER_NAMESPACE)
    acceptance = Acceptance(
        CredentialStore(credential_secrets, utc_now),
        GrantRevoker(DroppedGrants(transport, clients_afterwards, credential_secrets, utc_now), kube),
        IdentityCheck(IdTokenVerifier(transport, discovery, time.monotonic), utc_now),
    )
    replayer = CodeReplayer(kube, credential_secrets, clients_afterwards, acceptance, flows)
    replays = None if journal is None else Replays(journal, replayer.replay)
    dialog = DialogService(
        clients, transport, settings, observer, flows, lanes, Clicks(time.monotonic), exchanges, link_keys, utc_now
    )
    signing_in = (
        None
        if settings.sign_in is None or to_issuer is None
        else people(kube, to_issuer, settings, settings.sign_in, dialog, credential_secrets, link_keys)
    )
    return Services(
        dialog=dialog,
        callback=CallbackService(
            clients,
            CodeExchange(transport, clients, utc_now),
            observer,
            flows,
            lanes,
            exchanges,
            link_keys,
            acceptance,
            utc_now,
            replays,
            None if signing_in is None else signing_in.gate,
        ),
        done=DoneService(settings, observer, flows, lanes, link_keys),
        settings=settings,
        junk=JunkLimit(time.monotonic),
        link_keys=link_keys,
        replays=replays,
        people=signing_in,
    )


def create_app(served: Services) -> Starlette:
    """The app, below the path of the external URL."""
    settings, crowd_pages = served.settings, CrowdPages(served.settings.branding)
    refused_on = partial(refusal_page, branding=settings.branding)

    async def show(request: Request) -> Response:
        namespace, name = place_of(request)
        if not is_navigation(request.headers):
            raise refusals.form_is_not_ours()
        cookie = _cookie(request)
        fresh = cookie or new_cookie(served.token_bytes)
        ticket = request.state.ticket = request.query_params.get("ticket", "")
        if served.people is not None and not ticket:
            # Whoever may get a credential signs in for it; the link says where.
            page = served.people.visitors.page(Destination(namespace, name))
            return RedirectResponse(page, HTTPStatus.SEE_OTHER)
        dialog = await served.dialog.show(namespace, name, ticket, fresh)
        response = dialog_page(dialog)
        if cookie is None:
            response.headers["Set-Cookie"] = set_cookie_header(fresh)
        return response

    async def begin(request: Request) -> Response:
        namespace, name = place_of(request)
        if not is_from_our_page(request.headers, settings.external_url):
            raise refusals.form_is_not_ours()
        cookie = _cookie(request)
        form = parse_form(request.headers.get("content-type", ""), await body_of(request, seconds=BODY_TIMEOUT))
        request.state.ticket = form.get("ticket", "")
        return onward_page(await served.dialog.begin(namespace, name, form, cookie))

    async def authorize(request: Request) -> Response:
        try:
            return await (begin if request.method == "POST" else show)(request)
        except Refused as error:
            done_id = await used_here(request) if error.kind is Kind.THIS_LINK_HAS_ENDED else None
            if done_id is None:
                raise
            return RedirectResponse(f"{settings.external_url}/done/{done_id}", HTTPStatus.SEE_OTHER)

    async def used_here(request: Request) -> str | None:
        namespace, name = place_of(request)
        ticket, cookie = getattr(request.state, "ticket", ""), _cookie(request)
        return None if cookie is None else await served.dialog.done_with(namespace, name, ticket, cookie)

    async def callback(request: Request) -> Response:
        namespace, name = request.path_params["namespace"], request.path_params.get("name")
        if not NAMESPACE.fullmatch(namespace) or not (name is None or NAME.fullmatch(name)):
            raise refusals.unknown_flow()
        query, cookie = request.scope["query_string"], _cookie(request)
        signed_in_as = None if served.people is None else await served.people.name_of(request)
        done_id = await served.callback.finish(namespace, name, query, cookie, signed_in_as)
        # A clean URL: code and state leave the address bar and the history.
        return RedirectResponse(f"{settings.external_url}/done/{done_id}", HTTPStatus.SEE_OTHER)

    async def done(request: Request) -> Response:
        done_id = request.path_params["done_id"]
        if served.people is None:
            return await served.done.show(done_id, _cookie(request))
        return await served.done.show(done_id, _cookie(request), partial(served.people.check_may_see, request))

    def refusal(request: Request, error: Refused) -> Response:
        count_refused(error)
        namespace, name = named_place(request)
        place = (namespace, name) if namespace and name else None
        ticket = getattr(request.state, "ticket", "")
        again = authorization_link(settings.external_url, *place, ticket) if place and is_ticket(ticket) else None
        way_on = None if served.people is None else served.people.way_on(request, error, (namespace, name))
        is_crowd = error.status is HTTPStatus.TOO_MANY_REQUESTS
        if is_crowd and (way_on is None or way_on.account is None):
            return crowd_pages.page(error, place, again, reloads=request.method == "GET")
        reference = ""
        # What is refused for its number would make as many lines.
        if not is_crowd:
            reference = new_reference(served.token_bytes)
            where = {"datasource": f"{namespace}/{name}"} if place else {"namespace": namespace or ""}
            logger.info("refused", **where, kind=error.kind.value, reference=reference)
        if place:
            error = error.about(*place)
        return refused_on(error, reference=reference, again=again, reloads=request.method == "GET", way_on=way_on)

    async def exceeded(request: Request, error: Exception) -> Response:
        if not isinstance(error, Exceeded):
            raise error
        return refusal(request, refusals.busy(_whole_seconds(error)))

    async def api_failed(request: Request, error: Exception) -> Response:
        # The route, not the URL: a callback's query carries the code.
        logger.warning("the API server refused or did not answer", route=route_of(request.scope), error=str(error))
        if isinstance(error, NotGranted):
            return refusal(request, refusals.may_not_read_yet(error.what, error.namespace))
        refused = refusals.cluster_refused() if isinstance(error, Forbidden | Invalid) else refusals.try_again_later()
        return refusal(request, refused)

    async def unexpected(request: Request, error: Exception) -> Response:
        """A bug: logged with its traceback by uvicorn, to which Starlette raises it again."""
        logger.error("unexpected error", route=route_of(request.scope), error=type(error).__name__)
        return refusal(request, refusals.something_went_wrong())

    async def refused(request: Request, error: Exception) -> Response:
        if not isinstance(error, Refused):
            raise error
        if error.is_miss:
            try:
                served.junk.count(*named_place(request))
            except Exceeded as exceeded:
                return refusal(request, refusals.too_many_misses(_whole_seconds(exceeded)))
        return refusal(request, error)

    async def sign_in_needed(request: Request, error: Exception) -> Response:
        if served.people is None or not isinstance(error, SignInNeeded):
            raise error
        return served.people.sign_in_page(request, error)

    async def http_error(request: Request, error: Exception) -> Response:
        page = refusals.page_not_found()
        answer = await refused(request, dataclasses.replace(page, status=getattr(error, "status_code", page.status)))
        # Which methods there are, of a page that has not this one (RFC 9110 section 15.5.6).
        answer.headers.update(getattr(error, "headers", None) or {})
        return answer

    ways_back = [Route("/callback/{namespace}", callback), Route("/callback/{namespace}/{name}", callback)]
    for way_back in ways_back:
        # Starlette adds HEAD to GET. Whoever looks at a link before it is opened, as scanners do, must not spend the code.
        way_back.methods = {"GET"}
    routes = [
        Route("/authorize/{namespace}/{name}", authorize, methods=["GET", "POST"]),
        *ways_back,
        Route("/done/{done_id}", done),
        *(() if served.people is None else people_routes(served.people)),
    ]
    # A path with one slash more is another path: the redirect that Starlette makes of it is built from the Host header.
    router = Router(routes, redirect_slashes=False)
    prefix = urlsplit(settings.external_url).path
    app = Starlette(
        routes=[Mount(prefix, app=router)] if prefix else routes,
        middleware=[
            Middleware(RequestMetrics),
            Middleware(AlwaysHeaders, presentations=presentations(settings.branding)),
        ],
        exception_handlers={
            Refused: refused,
            Exceeded: exceeded,
            SignInNeeded: sign_in_needed,
            HTTPException: http_error,
            ApiError: api_failed,
            Unavailable: api_failed,
            Exception: unexpected,
        },
    )
    app.router.redirect_slashes = False
    return app


def _cookie(request: Request) -> str | None:
    return cookie_of(request, BROWSER)


def _whole_seconds(exceeded: Exceeded) -> timedelta:
    """What Retry-After can say."""
    return timedelta(seconds=math.ceil(exceeded.retry_after))
