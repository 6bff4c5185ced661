"""A company: an issuer that signs, an API server with rights, and browsers of its people. All of it in this process."""

import asyncio
import json
import re
import secrets
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from aiohttp import web

from callback_server.app import Services, create_app, services
from callback_server.cookie import BROWSER
from callback_server.security import token_for
from callback_server.signed_in.wiring import egress_to_issuer
from datasource.api.names import authorization_link, credential_secret_name
from datasource.api.spec_problems import parse_spec
from datasource.outbound.egress import EgressPolicy
from datasource.process.clock import utc_now
from datasource.process.settings import Settings
from datasource.process.sign_in import SignIn
from datasource.providers.transport import Transport
from datasource.records.credential import CredentialFacts
from datasource.records.link_keys import LinkKeys
from datasource.records.ticket import issue_ticket, ticket_scope
from tests.support.hostile_provider import GOOD_REPLY, ON_LOOPBACK, HostileProvider, ReceivedRequest, replies
from tests.support.person import Form, forms_in
from tests.support.refresh import leads_on_to
from tests.unit.callback_server.secrets_server import SecretsServer, failure
from tests.unit.datasource.api_server import ApiServer
from tests.unit.datasource.builders import raw_spec
from tests.unit.datasource.oauth2.test_signature import RSA, key_set, signed

EXTERNAL = "https://connect.example.com"
SYSTEM = "datasource-system"
ALL = "all namespaces"
"""What is asked about a namespace that nobody can have made, and so about all of them."""

_UNGUESSED = re.compile("[0-9a-f]{62}")
CLIENT = "connect"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Everything here speaks http. To read the system's authorities four times takes most of the time of a test."""

FROM_OUR_PAGE = {"Sec-Fetch-Site": "same-origin", "Origin": EXTERNAL}


class CompanyIssuer(HostileProvider):
    """Says that whoever comes is whom `claims` name; everybody is let in at once. Codes are not told apart."""

    def __init__(self) -> None:
        super().__init__(self._behave)
        self.claims: dict[str, Any] = {"sub": "ada", "groups": ["dev"]}
        self.key = RSA
        self.kid = "k-1"
        self.keys = key_set(RSA)
        """What it publishes."""
        self.metadata: dict[str, Any] = {}
        self.token_reply: tuple[int, bytes] | None = None
        self.nonce = ""

    async def _behave(self, request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        if request.target == "/jwks":
            await replies(200, self.keys)(request, writer)
        elif request.method == "POST":
            status, body = self.token_reply or (200, self.tokens())
            await replies(status, body)(request, writer)
        else:
            told = {
                "issuer": self.origin,
                "jwks_uri": f"{self.origin}/jwks",
                "authorization_endpoint": f"{self.origin}/authorize",
                "token_endpoint": f"{self.origin}/token",
            }
            await replies(200, json.dumps(told | self.metadata).encode())(request, writer)

    def tokens(self) -> bytes:
        """A reply to a code."""
        now = utc_now()
        usual = {
            "iss": self.origin,
            "aud": CLIENT,
            "nonce": self.nonce,
            "iat": now.timestamp(),
            "exp": (now + timedelta(minutes=5)).timestamp(),
        }
        id_token = signed(self.key, payload=json.dumps(usual | self.claims).encode(), kid=self.kid)
        return json.dumps({"access_token": "at", "token_type": "Bearer", "id_token": id_token}).encode()

    @property
    def codes(self) -> list[str]:
        """Those that were sent to it."""
        return [request.form["code"] for request in self.requests if request.method == "POST"]


@dataclass
class Cluster:
    """The API server: Datasources, Secrets, and who may do what where, by `user:verb:namespace`; None: in all namespaces."""

    rights: set[tuple[str, str, str | None]] = field(default_factory=set)
    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    secrets: dict[str, SecretsServer] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """What was asked of it: method and path, without those of our own Secrets."""
    has_namespaces_in_lists: bool = True
    """As the CRD of this version says; false: it is an older one."""
    answered: int = 0
    """How often anything was asked of it."""
    reviews: list[dict[str, Any]] = field(default_factory=list)
    expired_tokens: set[str] = field(default_factory=set)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.answered += 1
        if "/namespaces/" not in request.path:
            return await self._of_all(request)
        namespace, _, rest = request.path.split("/namespaces/")[1].partition("/")
        if _UNGUESSED.fullmatch(namespace):
            namespace = ALL
        if namespace != SYSTEM:
            self.asked.append((request.method, f"{namespace}/{rest}"))
        if rest.startswith("secrets"):
            return await self.secrets.setdefault(namespace, SecretsServer())(request)
        if rest == "localsubjectaccessreviews":
            return await self._review(request)
        if rest == "datasources":
            return self._table(namespace, request.query)
        found = self.objects.get((namespace, rest.removeprefix("datasources/")))
        return failure(404, "NotFound") if found is None else web.json_response(found)

    async def _of_all(self, request: web.Request) -> web.StreamResponse:
        rest = request.path.rpartition("/")[2]
        self.asked.append((request.method, rest))
        return self._table(None, request.query)

    async def _review(self, request: web.Request) -> web.Response:
        review = await request.json()
        self.reviews.append(review)
        spec = review["spec"]
        what = spec["resourceAttributes"]
        holders = (spec["user"], *spec["groups"])
        # A right in all namespaces holds in one that does not exist, too, and no other does.
        where = None if _UNGUESSED.fullmatch(what["namespace"]) else what["namespace"]
        allowed = any((holder, what["verb"], where) in self.rights for holder in holders)
        return web.json_response(review | {"status": {"allowed": allowed}}, status=201)

    def _table(self, namespace: str | None, query: Mapping[str, str]) -> web.Response:
        if query.get("continue") in self.expired_tokens:
            return failure(410, "Expired")
        if query.get("continue", "0").isdecimal() is False:
            return failure(400, "BadRequest")
        wanted = query.get("fieldSelector", "").removeprefix("status.state=")
        names = sorted(
            (place, name)
            for (place, name), found in self.objects.items()
            if namespace in {None, place} and wanted in {"", found["status"].get("state")}
        )
        start, limit = int(query.get("continue", "0")), int(query["limit"])
        rows = []
        for place, name in names[start : start + limit]:
            status = self.objects[place, name]["status"]
            cells = [name, status.get("state"), None, status.get("expiresAt"), status.get("authorizedAs"), place]
            rows.append({"cells": cells})
        names_of_columns = ["Name", "State", "Ready", "Expires", "Authorized as"]
        names_of_columns += ["Namespace"] if self.has_namespaces_in_lists else []
        columns = [{"name": each} for each in names_of_columns]
        rest = str(start + limit) if start + limit < len(names) else ""
        return web.json_response({"columnDefinitions": columns, "rows": rows, "metadata": {"continue": rest}})

    def allow(self, holder: str, *verbs: str, namespace: str | None = "shop") -> None:
        """Give rights to a user or a group."""
        self.rights |= {(holder, verb, namespace) for verb in verbs}

    def forbid(self, holder: str, *verbs: str, namespace: str = "shop") -> None:
        """Take them away."""
        self.rights -= {(holder, verb, namespace) for verb in verbs}

    def add(self, namespace: str, name: str, *, replaces: CredentialFacts | None = None, **oauth2: Any) -> None:
        """A Datasource, and the credential that it has already."""
        uid = f"uid-of-{namespace}-{name}"
        status: dict[str, Any] = {"state": "NOT AUTHORIZED"}
        if replaces is not None:
            status = {"state": "AUTHORIZED", "authorizedAs": "grace@example.com", "expiresAt": "2026-07-01T13:00:00Z"}
        self.objects[namespace, name] = {
            "metadata": {"name": name, "namespace": namespace, "uid": uid},
            "spec": raw_spec(**oauth2),
            "status": status,
        }
        held = self.secrets.setdefault(namespace, SecretsServer())
        held.put_what_a_datasource_has(namespace, name, uid, replaces)

    def credential(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The credential Secret."""
        return self.secrets[namespace].secrets.get(credential_secret_name(name))

    @property
    def sessions(self) -> list[dict[str, Any]]:
        """Those that are stored."""
        held = self.secrets.setdefault(SYSTEM, SecretsServer()).secrets.values()
        return [each for each in held if each["type"] == "datasource.dev/session"]


@dataclass
class Company:
    """All of it."""

    cluster: Cluster
    issuer: CompanyIssuer
    provider: HostileProvider
    served: Services

    def browser(self) -> "Browser":
        """Somebody's."""
        app = httpx.ASGITransport(create_app(self.served), raise_app_exceptions=False)
        return Browser(self, httpx.AsyncClient(transport=app, base_url=EXTERNAL))

    async def signed_in(self, name: str = "ada", *groups: str) -> "Browser":
        """That of somebody who has signed in."""
        browser = self.browser()
        self.issuer.claims = {"sub": name, "groups": list(groups)}
        response = await browser.sign_in()
        assert response.status_code == 303, response.text
        return browser

    def add(self, name: str = "calendar", **options: Any) -> None:
        """A Datasource in namespace shop whose provider is on loopback."""
        endpoints = {"authorizeURL": f"{self.provider.origin}/a/authorize", "tokenURL": self.provider.url}
        self.cluster.add("shop", name, **(endpoints | options))


@dataclass
class Browser:
    """A browser, with its cookies."""

    company: Company
    client: httpx.AsyncClient

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Open a page of ours."""
        return await self.client.get(path, headers=headers)

    async def post(self, path: str, fields: Mapping[str, str], **headers: str) -> httpx.Response:
        """Send a form, as if from a page of ours."""
        return await self.client.post(path, data=dict(fields), headers=FROM_OUR_PAGE | headers)

    async def submit(self, page: httpx.Response, action: str, **changes: str) -> httpx.Response:
        """Send the form of a page that goes there."""
        form = form_of(page, action)
        return await self.post(form.action, form.fields | changes)

    async def sign_out(self, page: httpx.Response | None = None) -> httpx.Response:
        """Choose the button on a page, or on the first one; returns where that ends."""
        out = await self.submit(page or await self.get("/"), "/sign-out")
        assert out.status_code == 303, out.text
        return await self.get(out.headers["location"])

    async def begin_sign_in(self, path: str = "/") -> httpx.URL:
        """Choose the button; returns where the browser is sent."""
        page = await self.get(path)
        return self.sent_to((await self.submit(page, "/sign-in")).text)

    def sent_to(self, page: str) -> httpx.URL:
        """Where a page leads on to; the issuer hears of the nonce."""
        url = leads_on_to(page)
        assert url is not None, page
        sent_to = httpx.URL(url)
        self.company.issuer.nonce = sent_to.params["nonce"]
        return sent_to

    async def begin_sign_in_again(self) -> httpx.URL:
        """The same in a tab that was open before: its page still has the button."""
        browser = self.cookies[BROWSER.name]
        fields = {"to": "/", "token": token_for(browser, "sign-in", "/")}
        return self.sent_to((await self.post("/sign-in", fields)).text)

    async def come_back(self, sent_to: httpx.URL, **changes: str | None) -> httpx.Response:
        """From the issuer; `changes` are parameters of its answer."""
        answer = {"code": secrets.token_hex(8), "state": sent_to.params["state"]} | changes
        given = {name: value for name, value in answer.items() if value is not None}
        return await self.client.get(sent_to.params["redirect_uri"], params=given)

    async def sign_in(self, path: str = "/") -> httpx.Response:
        """The whole way; returns the redirect to the page."""
        return await self.come_back(await self.begin_sign_in(path))

    async def begin(self, name: str = "calendar") -> httpx.URL:
        """Choose *Get new credential*; returns where the browser is sent."""
        page = await self.get(f"/datasources/shop/{name}")
        onward = await self.submit(page, f"/datasources/shop/{name}/authorize")
        url = leads_on_to(onward.text)
        assert url is not None, onward.text
        return httpx.URL(url)

    async def end(self, sent_to: httpx.URL) -> httpx.Response:
        """Come back from the provider with a code, and follow to the page that tells what came of it."""
        back = await self.client.get(
            sent_to.params["redirect_uri"], params={"code": "c-1", "state": sent_to.params["state"]}
        )
        return back if back.status_code != 303 else await self.client.get(urljoin(EXTERNAL, back.headers["location"]))

    @property
    def cookies(self) -> dict[str, str]:
        """By name."""
        return {cookie.name: cookie.value or "" for cookie in self.client.cookies.jar}

    def forget(self, *names: str) -> None:
        """Lose cookies."""
        for cookie in list(self.client.cookies.jar):
            if cookie.name in names:
                self.client.cookies.jar.clear(cookie.domain, cookie.path, cookie.name)


def form_of(page: httpx.Response, action: str) -> Form:
    """The form of a page that goes there."""
    found = [form for form in forms_in(page.text) if urlsplit(form.action).path == action]
    assert found, f"no form goes to {action}: {page.status_code} {page.text}"
    return found[0]


def link_with_ticket(cluster: Cluster, namespace: str, name: str) -> str:
    """The link in the status of a Datasource for a person without an account."""
    found = cluster.objects[namespace, name]
    parsed = parse_spec(found["spec"], allow_insecure_http=False, egress=ON_LOOPBACK).oauth2
    scope = ticket_scope(found["metadata"]["uid"], parsed, None)
    link = authorization_link(EXTERNAL, namespace, name, issue_ticket(scope, secrets.token_bytes))
    found["status"]["authorizationLink"] = link
    return link


@asynccontextmanager
async def patched(name: str, value: Any) -> AsyncIterator[None]:
    """Have something be another thing for a while."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(name, value)
        yield


@asynccontextmanager
async def company(
    secret_file: Path, *, namespaces: tuple[str, ...] = (), external_url: str = EXTERNAL, **sign_in: Any
) -> AsyncIterator[Company]:
    """One in which nobody may anything yet."""
    secret_file.write_text("s3cret-of-sign-in\n")  # noqa: ASYNC240 - a few bytes
    cluster = Cluster()
    issuer = CompanyIssuer()
    async with issuer, HostileProvider(replies(200, GOOD_REPLY)) as provider:
        usual: dict[str, Any] = {
            "issuer": issuer.origin,
            "client_id": CLIENT,
            "secret_file": secret_file,
            "groups_claim": "groups",
        }
        how = SignIn(**(usual | sign_in))
        settings = Settings(external_url, SYSTEM, namespaces, egress=ON_LOOPBACK, sign_in=how)
        async with (
            patched("datasource.cluster.connection.ssl_context", lambda _: NO_TLS),
            ApiServer(cluster) as server,
            server.kube() as kube,
            Transport(ON_LOOPBACK, verify=NO_TLS) as transport,
            Transport(egress_to_issuer(EgressPolicy(), how), verify=NO_TLS) as to_issuer,
        ):
            served = services(kube, transport, settings, to_issuer=to_issuer)
            served.link_keys.current = LinkKeys().renewed(utc_now() - timedelta(days=1), secrets.token_bytes)
            yield Company(cluster, issuer, provider, served)
