"""people: 200 people who signed in, at the real callback server: what each page asks of the API server, beside a raw driver."""

import html
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
from yarl import URL

from bench.bare import TABLE, in_flight
from bench.browsers import session_of_browsers
from bench.figures import Report, Wanted, at_least, never_above
from bench.fleet import Fleet, Member
from bench.meter import Calls, cpu_seconds
from bench.world import FOLDER, World, world
from bench.writing import RUNS, waiting
from callback_server.cookie import BROWSER
from callback_server.signed_in.sessions import SESSION
from datasource.api.objects import PartialObject
from datasource.oauth2.kubernetes_user import EVERYBODY, User
from datasource.process.clock import utc_now
from datasource.process.installation import SYSTEM_NAMESPACE
from datasource.records.flow import key_hash
from datasource.records.link_keys import LinkKey, LinkKeys, link_keys_manifest
from datasource.records.session import Session, digest_of_settings, new_session_key, session_manifest
from deploy.local.stack import CALLBACK_SERVER
from tests.support.sign_in import with_component

PEOPLE = 200
NAMESPACES = 4

ISSUER, CLIENT, GROUP = "https://127.0.0.1:1", "bench", "bench-people"
"""Nobody signs in here: the sessions are written as the callback server writes them. The issuer is never asked."""

_FORM = re.compile(r'action="([^"]*/authorize)">\s*<input type="hidden" name="token" value="([^"]*)"')
_ONWARD = re.compile(r'<a class="button" href="([^"]*)"')
_SECRETS = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets"


@dataclass(slots=True)
class Someone:
    """A person, their session, and the Datasource that they look after."""

    user: User
    cookie: str
    session: str
    """The name of its Secret."""
    fleet: Fleet
    member: Member
    form: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Of the page of the Datasource."""
        return f"/datasources/{self.fleet.namespace}/{self.member.name}"


async def people(report: Report, *, count: int = PEOPLE, runs: int = RUNS) -> None:
    """Each opens the list of a namespace, then a Datasource of it, and begins an authorization, 32 at a time."""
    secret_file = FOLDER / "people-secret"
    secret_file.parent.mkdir(parents=True, exist_ok=True)
    secret_file.write_text("only-for-the-bench")
    async with world("people", report) as here:
        keys = LinkKeys().renewed(utc_now() - timedelta(days=1), secrets.token_bytes)
        here.api.create(link_keys_manifest(keys, system_namespace=SYSTEM_NAMESPACE))
        (key,) = keys.keys
        settings = {
            "DATASOURCE_SIGN_IN_ISSUER": ISSUER,
            "DATASOURCE_SIGN_IN_CLIENT_ID": CLIENT,
            "DATASOURCE_SIGN_IN_SECRET_FILE": str(secret_file),
            "DATASOURCE_SIGN_IN_USERNAME_PREFIX": "-",
            "DATASOURCE_SIGN_IN_GROUPS_CLAIM": "groups",
        }
        with with_component(here.control_plane.cluster, FOLDER / "people"), here.callback_server(**settings) as pid:
            for number in range(runs):
                crowd = await _crowd(here, key, count, f"run-{number}")
                await _measure(here, pid, crowd)


async def _measure(here: World, pid: int, crowd: list[Someone]) -> None:
    raw = await _raw_rate(here, crowd)
    async with _Browsers(here) as browsers:
        rate = await _step(here, pid, crowd, browsers.list_, "list", _about(3))
        here.add("lists: callback server to raw driver", "ratio", rate / raw, wanted=at_least(0.3))
        await _step(here, pid, crowd, browsers.list_, "list, again within ten seconds")
        await _step(here, pid, crowd, browsers.open, "page of a Datasource", _about(6))
        await _step(here, pid, crowd, browsers.open, "page of a Datasource, again")
        await _step(here, pid, crowd, browsers.begin, "begin", _about(7))


def _about(requests: int) -> Wanted:
    """At most so many, and now and then one of the process's own: it reads the keys of links every half minute."""
    return never_above(requests + 0.05)


async def _step(
    here: World,
    pid: int,
    crowd: list[Someone],
    does: Callable[[Someone], Awaitable[None]],
    name: str,
    wanted: Wanted | None = None,
) -> float:
    """Have everybody do one thing; returns how many of them did it in a second."""
    here.audit.skip()
    cpu, begun = cpu_seconds(pid), time.monotonic()
    await in_flight(partial(does, each) for each in crowd)
    seconds, used = time.monotonic() - begun, cpu_seconds(pid) - cpu
    calls: Calls = here.calls(raw=False, user=CALLBACK_SERVER)
    here.add(f"{name}: requests to the API server", "requests", calls.total() / len(crowd), wanted=wanted)
    here.add(f"{name}: CPU", "ms", 1000 * used / len(crowd))
    here.report.out(f"      {name}: {calls.told(len(crowd))}")
    return len(crowd) / seconds


async def _crowd(here: World, key: LinkKey, count: int, run: str) -> list[Someone]:
    """People of four namespaces, all in one group that may edit Datasources there, each with a session."""
    fleets = [await waiting(here, count // NAMESPACES) for _ in range(NAMESPACES)]
    for fleet in fleets:
        await here.let_callback_server_in(fleet.namespace)
        here.api.create(_binding(fleet.namespace))
    members = [(fleet, member) for fleet in fleets for member in fleet.members.values()]
    crowd = [
        _someone(key, f"person-{number}@{run}.example.com", fleet, member)
        for number, (fleet, member) in enumerate(members)
    ]
    await in_flight(partial(_store, here, manifest) for _, manifest in crowd)
    return [each for each, _ in crowd]


async def _store(here: World, manifest: dict[str, Any]) -> None:
    await here.load.post(_SECRETS, manifest, PartialObject)


def _someone(key: LinkKey, name: str, fleet: Fleet, member: Member) -> tuple[Someone, dict[str, Any]]:
    user = User(name, (GROUP, EVERYBODY))
    made = new_session_key(user, 0, secrets.token_bytes, key)
    by = digest_of_settings(ISSUER, CLIENT, "sub", "", "groups", "")
    manifest = session_manifest(Session(key_hash(made), user, by, utc_now()), made, system_namespace=SYSTEM_NAMESPACE)
    return Someone(user, made.text, manifest["metadata"]["name"], fleet, member), manifest


def _binding(namespace: str) -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": GROUP, "namespace": namespace},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "datasource-editor"},
        "subjects": [{"kind": "Group", "apiGroup": group, "name": GROUP}],
    }


class _Browsers:
    """Those of all people. Use it as an async context manager."""

    def __init__(self, here: World) -> None:
        self._external = here.stack.external_url

    async def __aenter__(self) -> "_Browsers":
        self._session = session_of_browsers()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def list_(self, someone: Someone) -> None:
        """The list of a namespace; the person's own Datasource is in it."""
        page = await self._answer("GET", f"/datasources/{someone.fleet.namespace}", someone.cookie)
        if f'"{someone.path}"' not in page:
            raise AssertionError(f"the list does not lead to {someone.path}: {page}")

    async def open(self, someone: Someone) -> None:
        """The page of the Datasource, and what its form holds."""
        page = await self._answer("GET", someone.path, someone.cookie)
        forms = _FORM.findall(page)
        if not forms:
            raise AssertionError(f"there is no button: {page}")
        someone.form = {"token": forms[0][1]}

    async def begin(self, someone: Someone) -> None:
        """The button; it leads on to the provider."""
        page = await self._answer("POST", f"{someone.path}/authorize", someone.cookie, form=someone.form)
        (onward,) = _ONWARD.findall(page)
        if "state=" not in html.unescape(onward):
            raise AssertionError(f"nothing was begun: {page}")

    async def _answer(self, method: str, path: str, cookie: str, *, form: dict[str, str] | None = None) -> str:
        headers = {
            "Cookie": f"{SESSION.name}={cookie}; {BROWSER.name}={'b' * 43}",
            "Sec-Fetch-Site": "same-origin",
            "Origin": self._external,
        }
        url = URL(self._external + path, encoded=True)
        async with self._session.request(method, url, headers=headers, data=form, allow_redirects=False) as answer:
            text = await answer.text()
        if answer.status != 200:
            raise AssertionError(f"{method} {path}: {answer.status}: {text}")
        return text


async def _raw_rate(here: World, crowd: list[Someone]) -> float:
    """The three requests that a list takes, without pages."""
    begun = time.monotonic()
    await in_flight(partial(_raw_list, here, someone) for someone in crowd)
    return len(crowd) / (time.monotonic() - begun)


async def _raw_list(here: World, someone: Someone) -> None:
    raw, namespace = here.raw_callback, someone.fleet.namespace
    await raw.send("GET", f"{_SECRETS}/{someone.session}")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "LocalSubjectAccessReview",
        "metadata": {"namespace": namespace},
        "spec": {
            "user": someone.user.name,
            "groups": list(someone.user.groups),
            "resourceAttributes": {
                "group": "datasource.dev",
                "resource": "datasources",
                "verb": "list",
                "namespace": namespace,
            },
        },
    }
    await raw.send(
        "POST",
        f"/apis/authorization.k8s.io/v1/namespaces/{namespace}/localsubjectaccessreviews",
        msgspec.json.encode(review),
    )
    path = f"/apis/datasource.dev/v1alpha1/namespaces/{namespace}/datasources?limit=100&includeObject=None"
    await raw.send("GET", path, accept=TABLE)
