"""The tenant beside: its apps, which read their token Secrets each second, its provider, and its people, who authorize."""

import asyncio
import base64
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urljoin

from bench.bare import Bare, Refused, load_json
from bench.fleet import Fleet
from bench.objects import DUE_AGE
from bench.world import World
from datasource.api.names import Annotation, default_token_secret_name
from tests.adversary.parameters import DUE_BY, LATE_AFTER, LIFETIME, MOST_EXTRA, Parameters
from tests.adversary.steps import Step, Stopwatch, Way
from tests.support.person import STORED, Person, parameters_of

NAMESPACE = "victim"
PEOPLES_NAMESPACE = "victims-people"
"""The same tenant's, for whoever counts by namespace: nothing that its people do is to be missed for what its apps do."""

_SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets?fieldSelector=type%3Ddatasource.dev/oauth2-token"
_DATASOURCES = f"/apis/datasource.dev/v1alpha1/namespaces/{NAMESPACE}/datasources"

Issued = dict[str, dict[str, float]]
"""When (time) the provider issued each access token: by family, and by number in it."""


@dataclass(slots=True)
class Apps:
    """They use what is mounted, whatever it is. Those of a cluster see a change up to two minutes later: kubelet's delay."""

    load: Bare
    provider: str
    fleet: Fleet
    dead_seconds: float = 0.0
    dead: dict[str, float] = field(default_factory=dict)
    """By token Secret."""
    _looked_at: float = 0.0

    async def run(self) -> None:
        """Look each second, until it is cancelled."""
        self._looked_at = time.time()
        while True:
            await asyncio.sleep(1)
            await self._look()

    async def _look(self) -> None:
        listed: dict[str, Any] = load_json(await self.load.send("GET", _SECRETS))
        now = time.time()
        # After it: a token that came between the two would be one that the provider never issued.
        issued = await issued_by(self.load, self.provider)
        held = {each["metadata"]["name"]: _token_in(each) for each in listed["items"]}
        for name in self.fleet.names:
            secret = default_token_secret_name(name)
            if seconds := seconds_dead(held.get(secret), issued, self._looked_at, now):
                self.dead_seconds += seconds
                self.dead[secret] = self.dead.get(secret, 0.0) + seconds
        self._looked_at = now


def _token_in(secret: dict[str, Any]) -> str:
    return base64.b64decode(secret["data"]["access_token"]).decode()


def seconds_dead(token: str | None, issued: Issued, since: float, now: float) -> float:
    """For how long, since the last look, the app that holds it had no token that works; all times are time.time().

    What ran out while the API server did not answer counts, too.
    """
    return max(now - max(_expiry(token, issued), since), 0.0)


def _expiry(token: str | None, issued: Issued) -> float:
    """By the provider's word; 0 for none, or for one that it never issued."""
    if token is None:
        return 0.0
    family, number, _ = token.split(".")
    return issued.get(family, {}).get(number, -LIFETIME) + LIFETIME


async def issued_by(load: Bare, provider: str) -> Issued:
    """What the provider remembers."""
    async with load.session.get(f"{provider}/issued") as answer:
        issued: Issued = load_json(await answer.read())
    return issued


def late_refreshes(issued: Issued, families: set[str], since: float, now: float) -> int:
    """How many refreshes since a moment (time) came later than they should have, or have not come though they should have."""
    latest = DUE_BY + LATE_AFTER
    late = 0
    for family in families:
        moments = sorted(issued.get(family, {}).values())
        ends = [*moments[1:], now]
        late += sum(end - begin > latest for begin, end in zip(moments, ends, strict=True) if end > since)
    return late


@dataclass(slots=True)
class People:
    """They authorize one Datasource after another, each of them the next as soon as one is done."""

    here: World
    fleet: Fleet
    parameters: Parameters
    seconds: list[float] = field(default_factory=list)
    """For each authorization, from the link to the token Secret."""
    failures: list[str] = field(default_factory=list)
    ways: list[Way] = field(default_factory=list)
    """Where the seconds of each went."""
    _began: float = 0.0

    async def run(self) -> None:
        """Until it is cancelled."""
        names, self._began = self.fleet.names, time.monotonic()
        # Of their own: in asyncio's they waited for those of the hostile tenant's people, and that counted.
        with ThreadPoolExecutor(self.parameters.people) as browsers:
            async with asyncio.TaskGroup() as group:
                for number in range(self.parameters.people):
                    group.create_task(self._person(names[number :: self.parameters.people], browsers))

    async def _person(self, names: list[str], browsers: ThreadPoolExecutor) -> None:
        while True:
            for name in names:
                await self._authorize(name, browsers)
                await asyncio.sleep(1)

    async def _authorize(self, name: str, browsers: ThreadPoolExecutor) -> None:
        begun, patience, watch = time.monotonic(), self.parameters.patience, Stopwatch(time.monotonic)
        came = begun - self._began
        try:
            with watch.step(Step.LINK):
                async with asyncio.timeout(patience):
                    link = await self._link(name)
            before = await self._token(name)
            begun = time.monotonic()
            async with asyncio.timeout(patience):
                await asyncio.get_running_loop().run_in_executor(browsers, _flow, link, watch)
                with watch.step(Step.TOKEN):
                    while await self._token(name) == before:  # noqa: ASYNC110 - it is others who change it
                        await asyncio.sleep(0.1)
        except Exception as error:
            # A refusal, a page without a form, a wait that was too long: a person who did not get what they came for.
            self.failures.append(f"{name}: {type(error).__name__} in step {watch.under_way}: {error}"[:500])
            self.seconds.append(max(time.monotonic() - begun, float(patience)))
        else:
            self.seconds.append(time.monotonic() - begun)
        self.ways.append(Way(name, round(came, 1), round(self.seconds[-1], 3), watch.told(), watch.under_way))

    async def _link(self, name: str) -> str:
        """The link in its status; a Datasource that is authorized is asked for a new one."""
        path = f"/apis/datasource.dev/v1alpha1/namespaces/{self.fleet.namespace}/datasources/{name}"
        status = await self._status(path)
        if status.get("state") == "AUTHORIZED":
            request = {Annotation.NEW_CREDENTIAL: secrets.token_hex(4)}
            await self.here.load.patch(path, {"metadata": {"annotations": request}}, dict)
        while not (link := (await self._status(path)).get("authorizationLink")):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        return str(link)

    async def _status(self, path: str) -> dict[str, Any]:
        datasource: dict[str, Any] = load_json(await self.here.load.send("GET", path))
        status: dict[str, Any] = datasource.get("status", {})
        return status

    async def _token(self, name: str) -> str | None:
        path = f"/api/v1/namespaces/{self.fleet.namespace}/secrets/{default_token_secret_name(name)}"
        try:
            return _token_in(load_json(await self.here.load.send("GET", path)))[:40]
        except Refused as refused:
            if refused.status != 404:
                raise
            return None


def _flow(link: str, watch: Stopwatch) -> None:
    """Open the link, press the button, consent at a provider that asks nothing, come back."""
    with Person() as person:
        with watch.step(Step.OPEN):
            page = person.get(link)
            assert page.status_code == 200, f"{page.status_code}: {page.text[:300]}"
        with watch.step(Step.PRESS):
            asked = parameters_of(person.press(page))
        with watch.step(Step.CONSENT):
            back = urlencode({"code": secrets.token_hex(16), "state": asked["state"]})
        with watch.step(Step.CALLBACK):
            answer = person.looks_until_ready(f"{asked['redirect_uri']}?{back}")
            assert answer.is_redirect, f"{answer.status_code}: {answer.text[:300]}"
        with watch.step(Step.DONE):
            page = person.get(urljoin(str(answer.url), answer.headers["location"]))
            assert STORED in page.text, f"{page.status_code}: {page.text[:300]}"


@dataclass(slots=True)
class Victim:
    """The tenant beside."""

    here: World
    parameters: Parameters
    apps: Apps
    people: People

    @staticmethod
    async def moves_in(here: World, parameters: Parameters) -> "Victim":
        """Its Datasources are AUTHORIZED with tokens that are due, and links wait for its people."""
        fleet = await here.fleet(parameters.datasources, NAMESPACE)
        await fleet.settle(age=DUE_AGE)
        others = await here.fleet(4 * parameters.people, PEOPLES_NAMESPACE)
        await others.apply()
        provider = here.maker.provider
        return Victim(here, parameters, Apps(here.load, provider, fleet), People(here, others, parameters))

    @property
    def families(self) -> set[str]:
        """What its provider calls the grants of its apps."""
        return {each.facts.credential_id for each in self.apps.fleet.members.values() if each.facts is not None}

    async def is_served(self) -> None:
        """Wait until each token was refreshed once: those that it moved in with were never issued."""
        async with asyncio.timeout(MOST_EXTRA):
            while self.families - (await issued_by(self.here.load, self.apps.provider)).keys():  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        # What the provider has issued is in the token Secrets a moment later.
        await asyncio.sleep(1)

    async def states(self) -> dict[str, int]:
        """Of its apps' Datasources."""
        listed: dict[str, Any] = load_json(await self.here.load.send("GET", _DATASOURCES))
        states = [str(each.get("status", {}).get("state")) for each in listed["items"]]
        return {state: states.count(state) for state in sorted(set(states))}

    async def not_yet(self, since: float) -> list[str]:
        """What has not happened since a moment (time), and must."""
        issued = await issued_by(self.here.load, self.apps.provider)
        latest = {family: max(issued.get(family, {"": 0.0}).values()) for family in self.families}
        refreshed = sum(moment > since for moment in latest.values())
        authorized = (await self.states()).get("AUTHORIZED", 0)
        finished = len(self.people.seconds) - len(self.people.failures)
        counts = {
            "Datasources were refreshed": (refreshed, len(latest)),
            "Datasources are AUTHORIZED": (authorized, len(latest)),
            "people have authorized": (finished, self.parameters.people),
        }
        return [f"{count} of {least} {what}" for what, (count, least) in counts.items() if count < least]

    async def late(self, since: float) -> int:
        """Refreshes that came late since a moment (time)."""
        issued = await issued_by(self.here.load, self.apps.provider)
        return late_refreshes(issued, self.families, since, time.time())
