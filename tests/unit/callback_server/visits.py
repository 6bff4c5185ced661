"""A person with a browser before the app, an API server in memory that compares and swaps, and a provider on loopback."""

import dataclasses
import html
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec

from callback_server.app import Services, create_app, services
from callback_server.cookie import COOKIE
from callback_server.long_work import PATIENCE
from datasource.api.names import Annotation, authorization_link, credential_secret_name
from datasource.api.objects import encoded_data
from datasource.api.spec_problems import parse_spec
from datasource.cluster.resources import DATASOURCES, SECRETS
from datasource.process.journal import Journal
from datasource.process.settings import Settings
from datasource.providers.transport import Transport
from datasource.records.credential import CredentialData, CredentialFacts
from datasource.records.credential_patches import credential_manifest
from datasource.records.fingerprint import parameters_hash
from datasource.records.import_secret import ImportedFrom
from datasource.records.ticket import TicketScope, issue_ticket
from tests.support.api_in_memory import Address
from tests.support.api_rules import Manifest
from tests.support.hostile_provider import ON_LOOPBACK, Behaviour, HostileProvider
from tests.support.kube_in_memory import KubeInMemory
from tests.unit.datasource.builders import UID, raw_spec

T = TypeVar("T")

EXTERNAL = "https://connect.example.com"
SYSTEM = "datasource-system"
DATASOURCE = Address(DATASOURCES.plural, "shop", "calendar")
CREDENTIAL = Address(SECRETS.plural, "shop", credential_secret_name("calendar"))


class Connection(KubeInMemory):
    """A connection to an API server in memory whose objects are looked at, and altered, by their addresses."""

    @property
    def objects(self) -> dict[Address, Manifest]:
        """What is stored."""
        return self.server.objects


@dataclass
class Visit:
    """One browser, and what is behind the page that it looks at."""

    kube: Connection
    provider: HostileProvider
    client: httpx.AsyncClient
    sleeps: list[float]
    spec: dict[str, Any]
    transport: Transport
    settings: Settings
    services: Services
    meanwhile: list[Callable[[], Awaitable[None] | None]] = field(default_factory=list)
    """Each happens once, while the done page waits."""

    @property
    def datasource(self) -> dict[str, Any]:
        """The Datasource as it stands, to be changed in place."""
        return self.kube.objects[DATASOURCE]

    @property
    def credential(self) -> dict[str, Any] | None:
        """The credential Secret."""
        return self.kube.objects.get(CREDENTIAL)

    @property
    def flow_records(self) -> list[dict[str, Any]]:
        """The Secrets in our own namespace."""
        return [content for (_, namespace, _), content in self.kube.objects.items() if namespace == SYSTEM]

    async def begin(self) -> str:
        """Open the link and choose the button; returns the state that the provider gets."""
        link = self.datasource["status"]["authorizationLink"]
        page = await self.client.get(link)
        assert page.status_code == 200, page.text
        fields = {
            name: html.unescape(value)
            for name, value in re.findall(r'name="(ticket|token)" value="([^"]*)"', page.text)
        }
        onward = await self.client.post(urlsplit(link).path, data=fields, headers={"Origin": EXTERNAL})
        url = re.search(
            r"https://login\.example\.com/authorize[^\"<]*", onward.headers.get("location", "") + onward.text
        )
        assert url is not None, onward.text
        return parse_qs(urlsplit(html.unescape(url[0])).query)["state"][0]

    async def come_back(self, state: str, **query: str) -> httpx.Response:
        """The provider sends the browser back, with a code unless it is said otherwise."""
        return await self.client.get("/callback/shop", params={"state": state, **(query or {"code": "the-code"})})

    async def end(self, returned: httpx.Response) -> httpx.Response:
        """Follow to the done page."""
        assert returned.status_code in {302, 303}, returned.text
        return await self.client.get(returned.headers["location"])

    async def authorize(self) -> httpx.Response:
        """The whole way; returns the done page."""
        return await self.end(await self.come_back(await self.begin()))

    def take_up(self) -> None:
        """What the operator does once it sees the credential."""
        self.datasource["status"] = {"state": "AUTHORIZED", "tokenSecretName": "calendar-token"}

    def store_another(self) -> None:
        """Somebody else's credential stands there now."""
        annotations = {
            Annotation.DATASOURCE: "calendar",
            Annotation.ROLE: "credential",
            Annotation.CREDENTIAL_ID: "another",
            Annotation.FINGERPRINT: "f",
        }
        owner = {"apiVersion": "datasource.dev/v1alpha1", "kind": "Datasource", "name": "calendar", "uid": UID}
        metadata = {
            "namespace": "shop",
            "name": CREDENTIAL.name,
            "resourceVersion": "9",
            "annotations": dict(annotations),
            "ownerReferences": [owner | {"controller": True}],
        }
        self.kube.put(SECRETS, "shop", CREDENTIAL.name, metadata=metadata, type="datasource.dev/oauth2-credential")

    def store_an_import(self, **changes: Any) -> None:
        """The operator took over a refresh token that somebody imported, and did not send it yet."""
        facts = CredentialFacts(
            credential_id="imported", fingerprint="f", has_refresh_token=True, imported=ImportedFrom("0" * 64, "uid-9")
        )
        data = CredentialData("", "", self.provider.url, "f", "my-app", refresh_token="rt-of-a-script")
        manifest = credential_manifest(
            namespace="shop",
            datasource_name="calendar",
            datasource_uid=UID,
            facts=msgspec.structs.replace(facts, **changes),
            data=data,
        )
        self.kube.put(SECRETS, "shop", CREDENTIAL.name, **manifest)


def new_cookie_jar(visit: Visit) -> None:
    """Another browser, which was given a cookie of its own."""
    visit.client.cookies.clear()
    visit.client.cookies.set(COOKIE, "B" * 43, domain="connect.example.com")


@asynccontextmanager
async def visit(
    *behaviours: Behaviour,
    kube: Connection | None = None,
    journal: Journal | None = None,
    deletion_policy: str | None = None,
    patience: float = PATIENCE,
    monotonic: Callable[[], float] = lambda: 0.0,
    has_metadata: bool = False,
    **oauth2: Any,
) -> AsyncIterator[Visit]:
    """Somebody before a Datasource that waits for a credential."""
    kube, sleeps = kube or Connection(), list[float]()
    async with HostileProvider(*behaviours) as provider, Transport(ON_LOOPBACK) as transport:
        spec = raw_spec(tokenURL=provider.url, **oauth2)
        if has_metadata:
            spec["oauth2"]["issuer"] = provider.origin
        if deletion_policy is not None:
            spec |= {"deletionPolicy": deletion_policy}
        if journal is not None:
            spec["oauth2"]["revocationURL"] = provider.url.replace("/token", "/revoke")
        settings = Settings(EXTERNAL, SYSTEM, allow_insecure_http=True, egress=ON_LOOPBACK)
        wired = services(kube, transport, settings, journal)
        wired.callback.long_work.patience = patience
        came: Visit

        async def sleep(seconds: float) -> None:
            sleeps.append(seconds)
            if came.meanwhile:
                done = came.meanwhile.pop(0)()
                if done is not None:
                    await done

        http = httpx.ASGITransport(create_app(_patient(wired, sleep, monotonic)), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=http, base_url=EXTERNAL) as client:
            came = Visit(kube, provider, client, sleeps, spec, transport, settings, wired)
            _store(kube, spec)
            yield came


def _patient(wired: Services, sleep: Callable[[float], Awaitable[None]], monotonic: Callable[[], float]) -> Services:
    return dataclasses.replace(wired, done=dataclasses.replace(wired.done, sleep=sleep, monotonic=monotonic))


def _store(kube: Connection, spec: dict[str, Any]) -> None:
    oauth2 = parse_spec(spec, allow_insecure_http=True, egress=ON_LOOPBACK).oauth2
    assert oauth2 is not None
    scope = TicketScope(uid=UID, parameters_hash=parameters_hash(oauth2), replaces="")
    ticket = issue_ticket(scope, lambda size: bytes(range(size)))
    link = authorization_link(EXTERNAL, "shop", "calendar", ticket)
    status = {"state": "NOT AUTHORIZED", "authorizationLink": link}
    kube.put(DATASOURCES, "shop", "calendar", metadata={"uid": UID}, spec=spec, status=status)
    kube.put(SECRETS, "shop", "my-app", type="Opaque", data=encoded_data({"client-secret": "app-secret"}))
