"""I/O: many Datasources in a namespace of their own, prepared for a bench, and the raw drivers for them."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode

import msgspec

from bench.bare import APPLY, JSON, MERGE_PATCH, METADATA, Bare, Job, Refused, in_flight
from bench.objects import CLIENT_SECRET, DUE_AGE, LIFETIME, Maker, aged
from datasource.api.names import (
    CALLBACK_FIELD_MANAGER,
    FIELD_MANAGER,
    credential_secret_name,
    default_token_secret_name,
)
from datasource.api.objects import Datasource, PartialObject, Secret
from datasource.records.credential import CredentialData, CredentialFacts, read_data, read_facts
from datasource.records.credential_patches import credential_patch, facts_patch
from datasource.records.intent import Intent
from tests.support.api import Api


@dataclass(slots=True)
class Member:
    """One Datasource, and what the API server answered last about it and its credential."""

    datasource: Datasource
    facts: CredentialFacts | None = None
    data: CredentialData | None = field(default=None, repr=False)
    credential_version: str = ""

    @property
    def name(self) -> str:
        """The name of the Datasource."""
        return self.datasource.metadata.name


class Fleet:
    """`count` Datasources in one namespace. `load` is the session that plays people and prepares things."""

    def __init__(self, load: Bare, maker: Maker, namespace: str, count: int) -> None:
        self.namespace = namespace
        self.names = [f"datasource-{number:05d}" for number in range(count)]
        self.members: dict[str, Member] = {}
        self.maker = maker
        self._load = load
        self._secrets = f"/api/v1/namespaces/{namespace}/secrets"
        self._datasources = f"/apis/datasource.dev/v1alpha1/namespaces/{namespace}/datasources"

    def __len__(self) -> int:
        return len(self.names)

    async def make_namespace(self, api: Api) -> None:
        """Make the namespace, and the client Secret in it."""
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        for each in (manifest, self.maker.client_secret(self.namespace)):
            await asyncio.to_thread(api.create, each)

    async def apply(self, created: Callable[[Member], None] = lambda _: None) -> None:
        """Apply all Datasources; `created` is called with each."""

        async def one(name: str) -> None:
            manifest = self.maker.datasource(self.namespace, name)
            member = Member(await self._load.post(self._datasources, manifest, Datasource))
            self.members[name] = member
            created(member)

        await in_flight(_jobs(one, self.names))

    async def offer_links(self) -> None:
        """Bring all to NOT AUTHORIZED with a link, as the operator does."""
        await in_flight(_jobs(lambda member: self._write_status(self._load, member), self.members.values()))

    async def store_credentials(
        self, age: timedelta = timedelta(0), stored: Callable[[Member], None] = lambda _: None
    ) -> None:
        """Store a credential for each, as the callback server does; `stored` is called with each."""

        async def one(member: Member) -> None:
            member.facts, member.data = self.maker.credential(member.datasource, _now(), age)
            manifest = self.maker.credential_secret(member.datasource, member.facts, member.data)
            path = f"{self._secrets}?fieldManager={CALLBACK_FIELD_MANAGER}"
            created = await self._load.post(path, manifest, PartialObject)
            member.credential_version = created.metadata.resource_version
            stored(member)

        await in_flight(_jobs(one, self.members.values()))

    async def settle(self, age: timedelta = timedelta(0)) -> None:
        """Bring all to AUTHORIZED with everything that belongs to it; the tokens are `age` old."""
        await self.apply()
        await self.store_credentials(age)
        await in_flight(_jobs(lambda member: self._authorize(self._load, member), self.members.values()))

    async def make_due(self, age: timedelta = DUE_AGE, *, only: str | None = None) -> None:
        """Make all tokens, or one Datasource's, old enough to be due for a refresh; nothing else changes."""
        await self._reread()

        async def one(member: Member) -> None:
            facts = aged(_facts(member), _now(), age)
            await self._swap(self._load, member, facts)
            await self._write_status(self._load, member)

        await in_flight(_jobs(one, self.members.values() if only is None else [self.members[only]]))

    @staticmethod
    def expires_at(member: Member) -> datetime:
        """When its token runs out, as this was written or read last."""
        return _facts(member).expires_at or datetime.max.replace(tzinfo=UTC)

    # The raw drivers: what the operator has to ask of the API server, and nothing else.

    async def onboard(self, raw: Bare, member: Member) -> None:
        """Look at the client Secret and at the names that are needed, then write the first status."""
        await raw.send("GET", f"{self._secrets}/{CLIENT_SECRET}")
        for name in (credential_secret_name(member.name), default_token_secret_name(member.name)):
            await _absent(raw, f"{self._secrets}/{name}")
        await self._write_status(raw, member)

    async def authorize(self, raw: Bare, member: Member) -> None:
        """Read the credential, write the token Secret, patch the status."""
        await raw.send("GET", f"{self._secrets}/{credential_secret_name(member.name)}")
        await self._authorize(raw, member)

    async def refresh(self, raw: Bare, member: Member) -> None:
        """Client Secret, intent, token endpoint, store, token Secret, status."""
        await raw.send("GET", f"{self._secrets}/{CLIENT_SECRET}")
        before = _facts(member)
        intent = Intent(id=f"{time.time_ns():024x}", process="raw", pod="raw", at=_now())
        secret = await self._swap(raw, member, msgspec.structs.replace(before, intent=intent))
        data = read_data(secret)
        tokens = await self._token_response(raw, data)
        now = _now()
        facts = msgspec.structs.replace(
            before, revision=before.revision + 1, refreshed_at=now, expires_at=now + LIFETIME, stored_by=intent.id
        )
        stored = msgspec.structs.replace(
            data, access_token=tokens["access_token"], refresh_token=tokens["refresh_token"]
        )
        await self._swap(raw, member, facts, stored)
        await self._apply_token_secret(raw, member)
        await self._write_status(raw, member)

    async def _token_response(self, raw: Bare, data: CredentialData) -> dict[str, Any]:
        body = urlencode({"grant_type": "refresh_token", "refresh_token": data.refresh_token or ""})
        headers = {"Authorization": "Basic YmVuY2g6YmVuY2g=", "Content-Type": "application/x-www-form-urlencoded"}
        async with raw.session.post(data.token_endpoint, data=body, headers=headers) as answer:
            tokens: dict[str, Any] = msgspec.json.decode(await answer.read())
        return tokens

    async def _swap(
        self, api: Bare, member: Member, facts: CredentialFacts, data: CredentialData | None = None
    ) -> Secret:
        names = {"datasource_name": member.name, "resource_version": member.credential_version}
        patch = facts_patch(**names, facts=facts) if data is None else credential_patch(**names, facts=facts, data=data)
        path = f"{self._secrets}/{credential_secret_name(member.name)}?fieldManager={FIELD_MANAGER}"
        secret = await api.patch(path, patch, Secret)
        member.facts, member.credential_version = facts, secret.metadata.resource_version
        member.data = data or member.data
        return secret

    async def _authorize(self, api: Bare, member: Member) -> None:
        manifest = self.maker.token_secret(member.datasource, _facts(member), _data(member))
        path = f"{self._secrets}?fieldManager={FIELD_MANAGER}"
        await api.send("POST", path, msgspec.json.encode(manifest), kind=JSON)
        await self._write_status(api, member)

    async def _apply_token_secret(self, api: Bare, member: Member) -> None:
        manifest = self.maker.token_secret(member.datasource, _facts(member), _data(member))
        path = f"{self._secrets}/{default_token_secret_name(member.name)}?fieldManager={FIELD_MANAGER}&force=true"
        await api.send("PATCH", path, msgspec.json.encode(manifest), kind=APPLY)

    async def _write_status(self, api: Bare, member: Member) -> None:
        patch = self.maker.status(member.datasource, member.facts, _now())
        path = f"{self._datasources}/{member.name}/status?fieldManager={FIELD_MANAGER}"
        content = await api.send("PATCH", path, msgspec.json.encode(patch), kind=MERGE_PATCH)
        member.datasource = msgspec.json.decode(content, type=Datasource)

    async def _reread(self) -> None:
        """Read again what the operator changed meanwhile."""
        datasources = await self._load.send("GET", self._datasources)
        for each in msgspec.json.decode(datasources, type=_Datasources).items:
            self.members[each.metadata.name].datasource = each
        kept = await self._load.send("GET", f"{self._secrets}?fieldSelector=type%3Ddatasource.dev%2Foauth2-credential")
        for secret in msgspec.json.decode(kept, type=_Secrets).items:
            member = self.members[secret.metadata.name.removesuffix(credential_secret_name(""))]
            facts = read_facts(secret.metadata.annotations)
            member.facts = facts if isinstance(facts, CredentialFacts) else None
            member.credential_version = secret.metadata.resource_version


class _Datasources(msgspec.Struct):
    items: list[Datasource]


class _Secrets(msgspec.Struct):
    items: list[PartialObject]


def _jobs(work: Callable[[Any], Any], things: Iterable[Any]) -> Iterable[Job]:
    return (partial(work, thing) for thing in list(things))


async def _absent(raw: Bare, path: str) -> None:
    try:
        await raw.send("GET", path, accept=METADATA)
    except Refused as refused:
        if refused.status != 404:
            raise


def _facts(member: Member) -> CredentialFacts:
    if member.facts is None:
        raise AssertionError("it has no credential yet")
    return member.facts


def _data(member: Member) -> CredentialData:
    if member.data is None:
        raise AssertionError("it has no credential yet")
    return member.data


def _now() -> datetime:
    return datetime.now(UTC)
