"""A cluster in memory behind HTTP, the app before it, and browsers: for whole flows without a control plane."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from aiohttp import web

from callback_server.app import Services, create_app, services
from datasource.api.names import authorization_link, credential_secret_name
from datasource.api.spec_problems import parse_spec
from datasource.process.settings import Settings
from datasource.providers.transport import Transport
from datasource.records.credential import CredentialFacts
from datasource.records.fingerprint import parameters_hash
from datasource.records.ticket import TicketScope, issue_ticket
from tests.support.hostile_provider import ON_LOOPBACK
from tests.support.person import forms_in
from tests.support.refresh import leads_on_to
from tests.unit.callback_server.secrets_server import SecretsServer, failure
from tests.unit.datasource.api_server import ApiServer
from tests.unit.datasource.builders import raw_spec

EXTERNAL = "https://connect.example.com"


@dataclass
class World:
    """A handler for ApiServer: Datasources that are put there, and Secrets."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    secrets: dict[str, SecretsServer] = field(default_factory=dict)
    links: dict[tuple[str, str], str] = field(default_factory=dict)
    services: Services = field(init=False)
    new_client: Callable[[], httpx.AsyncClient] = field(init=False)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        namespace = request.path.split("/namespaces/")[1].split("/")[0]
        if "/secrets" in request.path:
            return await self.secrets.setdefault(namespace, SecretsServer())(request)
        found = self.objects.get(request.path.split("/namespaces/")[1])
        return failure(404, "NotFound") if found is None else web.json_response(found)

    def add(
        self,
        namespace: str,
        name: str,
        *,
        annotations: dict[str, str] | None = None,
        replaces: CredentialFacts | None = None,
        **oauth2: Any,
    ) -> None:
        """A Datasource with its client Secret and its link, and the credential Secret that it has already."""
        spec, uid = raw_spec(**oauth2), f"uid-of-{namespace}-{name}"
        parsed = parse_spec(spec, allow_insecure_http=False, egress=ON_LOOPBACK).oauth2
        assert parsed is not None
        scope = TicketScope(
            uid=uid,
            parameters_hash=parameters_hash(parsed),
            replaces="" if replaces is None else replaces.credential_id,
        )
        link = authorization_link(EXTERNAL, namespace, name, issue_ticket(scope, lambda size: bytes(range(size))))
        self.links[namespace, name] = link
        metadata = {"name": name, "namespace": namespace, "uid": uid, "annotations": annotations or {}}
        self.objects[f"{namespace}/datasources/{name}"] = {
            "metadata": metadata,
            "spec": spec,
            "status": {"state": "NOT AUTHORIZED", "authorizationLink": link},
        }
        held = self.secrets.setdefault(namespace, SecretsServer())
        held.put_what_a_datasource_has(namespace, name, uid, replaces)

    def credential(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The credential Secret."""
        return self.secrets[namespace].secrets.get(credential_secret_name(name))

    async def begin(self, browser: httpx.AsyncClient, namespace: str, name: str) -> httpx.Response:
        """Open the link and choose the button."""
        page = await browser.get(self.links[namespace, name])
        if page.status_code != 200:
            return page
        (form,) = forms_in(page.text)
        return await browser.post(EXTERNAL + form.action, data=form.fields, headers={"Sec-Fetch-Site": "same-origin"})

    async def sent_to(self, browser: httpx.AsyncClient, namespace: str, name: str) -> httpx.URL:
        """The authorize URL to which the browser is sent."""
        page = await self.begin(browser, namespace, name)
        url = leads_on_to(page.text)
        assert url is not None, page.text
        return httpx.URL(url)


async def come_back(browser: httpx.AsyncClient, sent_to: httpx.URL, **changes: str | None) -> str:
    """What the page says once the provider has sent the browser back; `changes` are parameters of the answer."""
    asked = sent_to.params
    answer = {"code": "c-1", "state": asked["state"]} | changes
    given = {name: value for name, value in answer.items() if value is not None}
    response = await browser.get(asked["redirect_uri"], params=given, follow_redirects=True)
    return response.text


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """One that is empty."""
    settings = Settings(external_url=EXTERNAL, system_namespace="datasource-system", egress=ON_LOOPBACK)
    made = World()
    async with ApiServer(made) as server, server.kube() as kube, Transport(ON_LOOPBACK) as transport:
        made.services = services(kube, transport, settings)

        def new_client() -> httpx.AsyncClient:
            app = httpx.ASGITransport(create_app(made.services), raise_app_exceptions=False)
            return httpx.AsyncClient(transport=app, base_url=EXTERNAL)

        made.new_client = new_client
        yield made
