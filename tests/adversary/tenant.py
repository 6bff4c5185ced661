"""The hostile tenant: may create and edit Datasources in one namespace, owns a domain and a provider, consents to himself."""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode

from bench.bare import Bare, Refused, in_flight, load_json
from bench.objects import CLIENT_SECRET, DUE_AGE, LIFETIME
from datasource.api.names import API_VERSION, CALLBACK_FIELD_MANAGER, KIND, Annotation
from datasource.api.objects import Datasource, PartialObject
from datasource.api.spec_problems import parse_spec
from datasource.outbound.egress import EgressPolicy, rules
from datasource.records.credential import CredentialData, CredentialFacts
from datasource.records.credential_patches import credential_manifest
from datasource.records.fingerprint import fingerprint
from deploy.local.cluster import Cluster
from tests.adversary.parameters import Parameters
from tests.adversary.targets import Target, host_of
from tests.support.person import STORED, Person, parameters_of

NAMESPACE = "hostile"
_ACCOUNT = "tenant"
EGRESS_ALLOW = "127.0.0.0/8"
_EGRESS = EgressPolicy(allowed=rules([EGRESS_ALLOW]))
_DATASOURCES = f"/apis/datasource.dev/v1alpha1/namespaces/{NAMESPACE}/datasources"
_SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
_LONG = 200_000
"""Characters of an annotation; the API server takes 256 KiB of them an object."""

WITHOUT_CREDENTIAL = frozenset({Target.ISSUERS, Target.KEYS})
"""Nobody has authorized these: the issuer does not answer, or people are to authorize them again and again."""

_WITH_ISSUER = WITHOUT_CREDENTIAL
_FLOWS = (Target.KEYS, Target.BYTES, Target.NUMBERS, Target.EARLY, Target.HEADERS, Target.HANGS, Target.SILENT)
"""Whose providers the callback server is led to."""


def identity(cluster: Cluster) -> str:
    """Make his namespace, and a ServiceAccount that may there what whoever edits Datasources may; returns its token."""
    cluster.kubectl("create", "namespace", NAMESPACE)
    cluster.kubectl("-n", NAMESPACE, "create", "serviceaccount", _ACCOUNT)
    # What is aggregated to `edit`: the local control plane has no controller that aggregates.
    for role in ("system:aggregate-to-view", "system:aggregate-to-edit", "datasource-editor"):
        cluster.kubectl(
            *("-n", NAMESPACE, "create", "rolebinding", role.replace(":", "-")),
            *(f"--clusterrole={role}", f"--serviceaccount={NAMESPACE}:{_ACCOUNT}"),
        )
    return cluster.service_account_token(NAMESPACE, _ACCOUNT)


@dataclass(slots=True)
class Tenant:
    """What he does all at once while `attack` runs."""

    load: Bare
    """Under his own identity: as an administrator nothing would bound what he asks of the API server."""
    parameters: Parameters
    port: int
    """Of his provider."""
    done: Counter[str] = field(default_factory=Counter)
    """How often he did what, and how often it was refused."""
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.parameters.seed)  # noqa: S311 - an attack that can be repeated

    async def move_in(self) -> None:
        """Make the client Secret."""
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": CLIENT_SECRET, "namespace": NAMESPACE},
            "stringData": {"client-secret": "hostile"},
        }
        await self.load.post(_SECRETS, secret, PartialObject)

    async def attack(self) -> None:
        """Until it is cancelled."""
        doors = self._datasources()
        await in_flight(partial(self._install, target, number) for target, number in doors)
        with ThreadPoolExecutor(self.parameters.hostile_people) as browsers:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._edits(doors))
                for _ in range(self.parameters.hostile_people):
                    group.create_task(self._authorizes(browsers))

    def _datasources(self) -> list[tuple[Target, int]]:
        counts = {Target.HANGS: self.parameters.hosts, Target.REVOCATIONS: self.parameters.hosts // 2}
        return [(each, number) for each in Target for number in range(counts.get(each, self.parameters.each))]

    async def _install(self, target: Target, number: int) -> None:
        """Apply a Datasource, and store what the callback server would have: he consented while his provider was good."""
        created = await self.load.post(_DATASOURCES, self._manifest(target, number), Datasource)
        if target not in WITHOUT_CREDENTIAL:
            await self.load.post(
                f"{_SECRETS}?fieldManager={CALLBACK_FIELD_MANAGER}", _credential(created), PartialObject
            )

    def _manifest(self, target: Target, number: int) -> dict[str, Any]:
        spec: dict[str, Any] = {
            "url": "https://api.example.com/v3",
            "oauth2": self._oauth2(target, number),
        }
        if target is Target.BOMBS:
            spec["tokenSecret"] = {"template": _bomb()}
        if target is Target.REVOCATIONS:
            spec["deletionPolicy"] = "Revoke"
        metadata = {"name": _name(target, number), "namespace": NAMESPACE}
        return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}

    def _oauth2(self, target: Target, number: int) -> dict[str, Any]:
        place = f"http://{host_of(target, number)}:{self.port}/{target}"
        endpoints = {"authorizeURL": f"{place}/authorize", "tokenURL": f"{place}/token"}
        if target in _WITH_ISSUER:
            endpoints = {"issuer": place}
        if target is Target.REVOCATIONS:
            endpoints["revocationURL"] = f"{place}/revoke"
        client = {"clientID": "hostile", "clientSecretRef": {"name": CLIENT_SECRET, "key": "client-secret"}}
        return {**client, **endpoints, "scopes": ["openid", "read"]}

    # Edits.

    async def _edits(self, doors: list[tuple[Target, int]]) -> None:
        edits = (*[self._moves] * 5, self._boasts, self._begins_anew, self._asks_to_clear)
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(1 / self.parameters.edits)
                target, number = self._random.choice(doors)
                group.create_task(self._counted(self._random.choice(edits), target, number))

    async def _counted(self, edit: Callable[[Target, int], Awaitable[None]], target: Target, number: int) -> None:
        name = edit.__name__.strip("_").replace("_", " ")
        try:
            await edit(target, number)
            self.done[name] += 1
        except Refused as refused:
            # Such as a Datasource that another edit has just deleted.
            self.done[f"{name}: {refused.status}"] += 1

    async def _moves(self, target: Target, number: int) -> None:
        """Another issuer, another authorize URL: whatever was found out about the old ones is of no use."""
        place = f"http://{host_of(target, number)}:{self.port}/{target}/{self._random.getrandbits(32)}"
        change = {"issuer": place} if target in _WITH_ISSUER else {"authorizeURL": f"{place}/authorize"}
        await self._patch(target, number, {"spec": {"oauth2": change}})

    async def _boasts(self, target: Target, number: int) -> None:
        """An annotation of 200 kB: a request that is to be remembered, or one of nobody's."""
        key = self._random.choice((Annotation.CLEAR_CREDENTIAL, Annotation.NEW_CREDENTIAL, Annotation.REFRESH, "note"))
        keys: dict[str, str | None] = dict.fromkeys(
            (Annotation.CLEAR_CREDENTIAL, Annotation.NEW_CREDENTIAL, Annotation.REFRESH, "note")
        )
        value = f"{self._random.getrandbits(32)}" + "\u202e" * (_LONG // 3)
        await self._patch(target, number, {"metadata": {"annotations": {**keys, key: value}}})

    async def _begins_anew(self, target: Target, number: int) -> None:
        """Delete it, its tokens to be revoked where nobody answers, and make it again."""
        await self.load.send("DELETE", f"{_DATASOURCES}/{_name(target, number)}")
        for _ in range(20):
            await asyncio.sleep(0.5)
            try:
                await self._install(target, number)
            except Refused as refused:
                if refused.status != 409:
                    raise
            else:
                return
        self.done["begins anew: still being deleted"] += 1

    async def _asks_to_clear(self, target: Target, number: int) -> None:
        value = str(self._random.getrandbits(32))
        await self._patch(target, number, {"metadata": {"annotations": {Annotation.CLEAR_CREDENTIAL: value}}})

    async def _patch(self, target: Target, number: int, patch: dict[str, Any]) -> None:
        await self.load.patch(f"{_DATASOURCES}/{_name(target, number)}", patch, dict)

    # Flows.

    async def _authorizes(self, browsers: ThreadPoolExecutor) -> None:
        while True:
            target = self._random.choice(_FLOWS)
            try:
                outcome = await self._authorizes_one(browsers, target, self._random.randrange(self.parameters.each))
            except Refused as refused:
                outcome = str(refused.status)
            except Exception as error:
                # Whatever the callback server makes of it: a page without a form, a connection that ends.
                outcome = type(error).__name__
            self.done[f"flow of {target}: {outcome}"] += 1
            await asyncio.sleep(0.2)

    async def _authorizes_one(self, browsers: ThreadPoolExecutor, target: Target, number: int) -> str:
        path = f"{_DATASOURCES}/{_name(target, number)}"
        link = load_json(await self.load.send("GET", path)).get("status", {}).get("authorizationLink")
        if link is None:
            value = str(self._random.getrandbits(32))
            await self._patch(target, number, {"metadata": {"annotations": {Annotation.NEW_CREDENTIAL: value}}})
            await asyncio.sleep(1)
            return "no link"
        return await asyncio.get_running_loop().run_in_executor(browsers, _flow, link)


def _flow(link: str) -> str:
    with Person() as person:
        asked = parameters_of(person.begin(link))
        back = urlencode({"code": "c" * 4000, "state": asked["state"]})
        page = person.come_back(f"{asked['redirect_uri']}?{back}")
        return "stored" if STORED in page.text else f"a page ({page.status_code})"


def _name(target: Target, number: int) -> str:
    return f"{target}-{number:04d}"


def _bomb() -> dict[str, Any]:
    """As often as the API server lets a template name the token."""
    naming = "{{access_token}}"
    return {"data": {f"key-{number}": naming * (8192 // len(naming)) for number in range(7)}}


def _credential(datasource: Datasource) -> dict[str, Any]:
    oauth2 = parse_spec(datasource.spec, allow_insecure_http=True, egress=_EGRESS).oauth2
    assert oauth2 is not None
    now, family = datetime.now(UTC), uuid.uuid4().hex
    facts = CredentialFacts(
        credential_id=family,
        fingerprint=fingerprint(oauth2),
        requested_scopes=oauth2.scopes,
        granted_scopes=oauth2.scopes,
        expires_at=now - DUE_AGE + LIFETIME + timedelta(seconds=1),
        refreshed_at=now - DUE_AGE,
        has_refresh_token=True,
        is_revocable=oauth2.revocation_url is not None,
    )
    data = CredentialData(
        access_token="a" * 600,
        token_type="Bearer",
        token_endpoint=oauth2.token_url or "",
        fingerprint=facts.fingerprint,
        client_id=oauth2.client_id or "",
        refresh_token="r" * 60,
        revocation_endpoint=oauth2.revocation_url,
        client_secret="hostile" if oauth2.revocation_url else None,
    )
    metadata = datasource.metadata
    return credential_manifest(
        namespace=metadata.namespace,
        datasource_name=metadata.name,
        datasource_uid=metadata.uid,
        facts=facts,
        data=data,
    )
