"""callback: whole flows through one callback server, from the dialog to the done page."""

import asyncio
import html
import re
import secrets
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import msgspec
from multidict import CIMultiDictProxy
from yarl import URL

from bench.bare import MERGE_PATCH, Bare, Refused, in_flight, load_json
from bench.browsers import session_of_browsers
from bench.figures import Report, at_least, at_most
from bench.fleet import Fleet, Member
from bench.meter import cpu_seconds
from bench.objects import CLIENT_SECRET
from bench.world import World, world
from bench.writing import RUNS, Run, add_limit, waiting
from callback_server.cookie import COOKIE, cookie_hash
from datasource.api.names import CALLBACK_FIELD_MANAGER, credential_secret_name, redirect_uri, ticket_in
from datasource.api.objects import PartialObject
from datasource.api.requests import Requests
from datasource.process.installation import SYSTEM_NAMESPACE
from datasource.records import flow as records
from datasource.records.credential import CredentialFacts
from datasource.records.credential_patches import credential_manifest
from datasource.records.flow import FLOW_LIFETIME, Flow, Outcome, key_hash, new_flow_key
from datasource.records.ticket import ticket_hash
from deploy.local.stack import CALLBACK_SERVER
from tests.support.person import STORED

_FIELD = re.compile(r'name="(ticket|token)" value="([^"]*)"')
_ONWARD = re.compile(r'<a class="button" href="([^"]*)"')
_FLOWS = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets"
_MANAGED = f"fieldManager={CALLBACK_FIELD_MANAGER}"


NAMESPACES = 4
"""People come from several namespaces: a callback server works on no more than 16 authorizations of one namespace at a time."""

Crowd = list[tuple[Fleet, Member]]


async def callback(report: Report, *, count: int = 500, runs: int = RUNS) -> None:
    """Flows with 32 people at once; then at half that rate, how long a person waits for an answer.

    No operator runs: the bench itself writes the state that the done page waits for, as the operator would, and as it does
    for the raw driver.
    """
    async with world("callback", report) as here:
        with here.callback_server() as pid:
            for _ in range(runs):
                raw = await flows_raw(here, await _crowd(here, count))
                await _measure(here, pid, raw, count)


async def _measure(here: World, pid: int, raw: Run, count: int) -> None:
    run = await flows(here, pid, count)
    here.add("raw driver", "flows/s", raw.rate)
    here.add("callback server", "flows/s", run.rate)
    here.add("callback server to raw driver", "ratio", run.rate / raw.rate, wanted=at_least(0.7))
    here.add("CPU a flow", "ms", run.cpu)
    add_limit(here, run, raw)
    here.report.out(f"      a flow: {run.calls.told(count)}")
    crowd = await _crowd(here, count)
    async with People(here) as calm:
        await _at_rate(run.rate / 2, [partial(calm.authorize, *each) for each in crowd])
    here.add("p99 of an answer at half that load", "ms", 1000 * _p99(calm.latencies), wanted=at_most(250))


async def flows(here: World, pid: int, count: int) -> Run:
    """One run of ours, with 32 people at once; `pid` is that of the callback server."""
    crowd = await _crowd(here, count)
    here.audit.skip()
    cpu, before, begun = cpu_seconds(pid), here.spent(), time.monotonic()
    async with People(here) as people:
        await in_flight(partial(people.authorize, *each) for each in crowd)
    seconds, used, spent = time.monotonic() - begun, cpu_seconds(pid) - cpu, here.spent(before)
    return Run(count, seconds, here.calls(raw=False, user=CALLBACK_SERVER), used, spent)


async def _at_rate(rate: float, jobs: list[Callable[[], Awaitable[None]]]) -> None:
    """Begin `rate` jobs a second, however long each takes."""
    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number, job in enumerate(jobs):
            await asyncio.sleep(max(begun + number / rate - time.monotonic(), 0))
            group.create_task(_awaited(job))


async def _awaited(job: Callable[[], Awaitable[None]]) -> None:
    await job()


def _p99(samples: list[float]) -> float:
    return statistics.quantiles(samples, n=100)[98]


async def _crowd(here: World, count: int) -> Crowd:
    """`count` people with a link, from the namespaces in turn."""
    fleets = [await waiting(here, count // NAMESPACES) for _ in range(NAMESPACES)]
    for fleet in fleets:
        await here.let_callback_server_in(fleet.namespace)
    by_namespace = [[(fleet, member) for member in fleet.members.values()] for fleet in fleets]
    return [each for turn in zip(*by_namespace, strict=True) for each in turn]


async def _show_authorized(here: World, fleet: Fleet, member: Member) -> None:
    """What the operator does once it sees the credential."""
    path = f"/apis/datasource.dev/v1alpha1/namespaces/{fleet.namespace}/datasources/{member.name}/status"
    patch = {"status": {"state": "AUTHORIZED", "authorizationLink": None}}
    await here.load.send("PATCH", path, msgspec.json.encode(patch), kind=MERGE_PATCH)


@dataclass(slots=True)
class People:
    """Each with a browser of their own; `latencies` are seconds that they waited for an answer of the callback server."""

    here: World
    latencies: list[float] = field(default_factory=list)
    _session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "People":
        self._session = session_of_browsers()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def authorize(self, fleet: Fleet, member: Member) -> None:
        """Open the link, get a credential, come back, read the done page."""
        external = self.here.stack.external_url
        link = member.datasource.status.authorization_link or ""
        page, headers = await self._answer("GET", link, 200)
        cookie = headers["Set-Cookie"].partition(";")[0]
        browser = {"Cookie": cookie, "Sec-Fetch-Site": "same-origin", "Origin": external}
        page, _ = await self._answer(
            "POST", link.partition("?")[0], 200, headers=browser, form=dict(_FIELD.findall(page))
        )
        (onward,) = _ONWARD.findall(page)
        (state,) = parse_qs(urlsplit(html.unescape(onward)).query)["state"]
        query = urlencode({"code": secrets.token_hex(16), "state": state})
        back = f"{external}/callback/{fleet.namespace}?{query}"
        _, headers = await self._answer("GET", back, 303, headers={"Cookie": cookie})
        await _show_authorized(self.here, fleet, member)
        page, _ = await self._answer("GET", headers["Location"], 200, headers={"Cookie": cookie})
        if STORED not in page:
            raise AssertionError(f"no credential was stored: {page}")

    async def _answer(
        self,
        method: str,
        url: str,
        status: int,
        *,
        headers: dict[str, str] | None = None,
        form: dict[str, str] | None = None,
    ) -> tuple[str, CIMultiDictProxy[str]]:
        assert self._session is not None
        begun = time.monotonic()
        async with self._session.request(
            method, URL(url, encoded=True), headers=headers, data=form, allow_redirects=False
        ) as answer:
            text = await answer.text()
        self.latencies.append(time.monotonic() - begun)
        if answer.status != status:
            raise AssertionError(f"{method} {urlsplit(url).path}: {answer.status}: {text}")
        return text, answer.headers


async def flows_raw(here: World, crowd: Crowd) -> Run:
    """One run of the raw driver."""
    here.audit.skip()
    before, begun = here.spent(), time.monotonic()
    await in_flight(partial(RawFlows(here, here.raw_callback, fleet).authorize, member) for fleet, member in crowd)
    seconds, spent = time.monotonic() - begun, here.spent(before)
    calls = here.calls(raw=True, user=CALLBACK_SERVER)
    here.report.out(f"      a flow of the raw driver: {calls.told(len(crowd))}")
    return Run(len(crowd), seconds, calls, spent=spent)


@dataclass(slots=True)
class RawFlows:
    """The requests that the callback server has to make for a whole flow, and no pages."""

    here: World
    raw: Bare
    fleet: Fleet

    async def authorize(self, member: Member) -> None:
        """Dialog, begin, callback, done."""
        await self._read(member)
        await self._read(member)
        await self._client_secret()
        flow, path, version = await self._begin(member)
        await self.raw.send("GET", path)
        await self._read(member)
        await self._client_secret()
        secrets_path = f"/api/v1/namespaces/{self.fleet.namespace}/secrets?{_MANAGED}"
        await self._rehearse(member, secrets_path)
        claimed = msgspec.structs.replace(flow, claim=flow.state_hash[:32])
        version = await self._write_flow(path, claimed, version)
        facts, data = self.here.maker.credential(member.datasource, _now(), timedelta(0))
        data = msgspec.structs.replace(data, access_token=await self._exchange())
        credential = self.here.maker.credential_secret(member.datasource, facts, data)
        await self.raw.post(secrets_path, credential, PartialObject)
        await self._write_flow(path, msgspec.structs.replace(claimed, outcome=Outcome.STORED), version)
        await _show_authorized(self.here, self.fleet, member)
        await self.raw.send("GET", path)
        await self._read(member, credential_is_there=True)

    async def _read(self, member: Member, *, credential_is_there: bool = False) -> None:
        namespace = self.fleet.namespace
        await self.raw.send("GET", f"/apis/datasource.dev/v1alpha1/namespaces/{namespace}/datasources/{member.name}")
        try:
            await self.raw.send("GET", f"/api/v1/namespaces/{namespace}/secrets/{credential_secret_name(member.name)}")
        except Refused as refused:
            if refused.status != 404 or credential_is_there:
                raise

    async def _client_secret(self) -> None:
        await self.raw.send("GET", f"/api/v1/namespaces/{self.fleet.namespace}/secrets/{CLIENT_SECRET}")

    async def _begin(self, member: Member) -> tuple[Flow, str, str]:
        uid, ticket = member.datasource.metadata.uid, ticket_in(member.datasource.status.authorization_link) or ""
        flow = Flow(
            state_hash=key_hash(new_flow_key(uid, 0, secrets.token_bytes)),
            done_id=new_flow_key(uid, 0, secrets.token_bytes).text,
            code_verifier=secrets.token_hex(32),
            nonce=None,
            namespace=self.fleet.namespace,
            name=member.name,
            uid=uid,
            parameters_hash=secrets.token_hex(32),
            replaces="",
            requests=Requests(),
            cookie_hash=cookie_hash(COOKIE),
            ticket_hash=ticket_hash(ticket),
            redirect_uri=redirect_uri(self.here.stack.external_url, self.fleet.namespace),
            created_at=_now(),
            expires_at=_now() + FLOW_LIFETIME,
        )
        manifest = records.flow_manifest(flow, system_namespace=SYSTEM_NAMESPACE, slot=0)
        created = await self.raw.post(f"{_FLOWS}?{_MANAGED}", manifest, PartialObject)
        return flow, f"{_FLOWS}/{created.metadata.name}", created.metadata.resource_version

    async def _rehearse(self, member: Member, path: str) -> None:
        facts = CredentialFacts(credential_id="rehearsal", fingerprint="rehearsal")
        manifest = credential_manifest(
            namespace=self.fleet.namespace,
            datasource_name=member.name,
            datasource_uid=member.datasource.metadata.uid,
            facts=facts,
            data=None,
        )
        await self.raw.post(path + "&dryRun=All", manifest, PartialObject)

    async def _write_flow(self, path: str, flow: Flow, version: str) -> str:
        patch = records.replacement_patch(flow, slot=0, resource_version=version)
        written = await self.raw.patch(f"{path}?{_MANAGED}", patch, PartialObject)
        return written.metadata.resource_version

    async def _exchange(self) -> str:
        form = {"grant_type": "authorization_code", "code": secrets.token_hex(16)}
        async with self.raw.session.post(f"{self.here.maker.provider}/token", data=form) as answer:
            return str(load_json(await answer.read())["access_token"])


def _now() -> datetime:
    return datetime.now(UTC)
