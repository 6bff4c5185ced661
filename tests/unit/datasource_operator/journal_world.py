"""Pods of the operator with journals, on an API server in memory and before a provider that rotates; each may be killed.

Who is killed does nothing any more: whatever its code does on the way out, no file and no request to the API server comes of
it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from datasource.api.names import credential_secret_name
from datasource.api.objects import Datasource, Secret, encoded_data
from datasource.api.spec_problems import parse_spec
from datasource.cluster.resources import DATASOURCES, SECRETS
from datasource.process.journal import Journal, open_journal
from datasource.process.settings import Settings
from datasource.providers.discovery import Discovery
from datasource.providers.transport import Transport
from datasource.providers.verifier import IdTokenVerifier
from datasource.records.credential import CredentialData, CredentialFacts, read_facts
from datasource.records.credential_patches import credential_manifest
from datasource.records.intent import Process
from datasource.records.journal_entry import place_of
from datasource_operator.cache import Cache, Key
from datasource_operator.executor import Executor
from datasource_operator.left_intents import LeftIntents
from datasource_operator.refresh_memory import RefreshMemory
from datasource_operator.refresher import Refresher
from datasource_operator.trimming import trimmed
from tests.support.api_in_memory import ApiServerInMemory
from tests.support.builders import NAME, NAMESPACE, NOW, UID, facts, fingerprint_of, raw_spec
from tests.support.hostile_provider import ON_LOOPBACK, HostileProvider
from tests.support.mortal import Fate, Killed, MortalKube
from tests.support.rotating_provider import RotatingProvider
from tests.unit.datasource_operator.stand_ins import Clock

KEY = Key(NAMESPACE, NAME)
SECRET = credential_secret_name(NAME)

__all__ = ["KEY", "SECRET", "Killed", "OperatorProcess", "World", "journal_world"]


@dataclass
class OperatorProcess:
    """One process, from its start on."""

    world: "World"
    pod: str
    fate: Fate
    directory: Path | None
    monotonic: Clock = field(default_factory=Clock)
    cache: Cache = field(default_factory=Cache)

    def __post_init__(self) -> None:
        world = self.world
        self.kube = MortalKube(server=world.server, fate=self.fate)
        self.journal: Journal | None = None
        if self.directory is not None:
            self.journal = open_journal(str(self.directory), fault=self.fate.step)
            world.journals.append(self.journal)
        self.memory = RefreshMemory(self.monotonic, lambda: 0.5)
        discovery = Discovery(world.transport, self.monotonic)
        settings = Settings("https://connect.example.com", "datasource-system", egress=ON_LOOPBACK)
        steps = Executor(self.kube, self.cache, settings, self.memory, discovery, now=world.now)
        self.process = Process(f"process-{next(world.numbers)}", self.pod, journal=self.journal is not None)
        self.refresher = Refresher(
            world.transport,
            steps,
            self.memory,
            self.process,
            IdTokenVerifier(world.transport, discovery, self.monotonic),
            now=world.now,
            monotonic=self.monotonic,
        )
        self.refresher.keep(self.journal)
        self.left = LeftIntents(self.cache, steps.credential_secrets, self.process, self.journal)
        self.handed_over: list[str] = []
        self.look()

    def look(self) -> None:
        """Its watches catch up."""
        datasource = self.world.server.stored(DATASOURCES)
        for each in datasource:
            self.cache.store_datasource(trimmed(msgspec.convert(each, Datasource)))
        secret = self.world.secret
        if secret is not None:
            self.cache.store_secret(secret.metadata)

    async def refresh(self) -> None:
        """Refresh what is due, as somebody who was just told of everything."""
        self.look()
        self.memory.try_now(KEY)
        await self.refresher.refresh(KEY)

    async def hand_over(self) -> None:
        """Tell the leader of what nobody goes on with here."""
        self.look()
        await self.left.hand_over()

    async def replay(self) -> str | None:
        """Deal once with what lies there; why it still does."""
        replays = self.refresher.replays
        assert replays is not None
        self.monotonic.advance(timedelta(minutes=6))
        rest = await replays.replay(self.world.place)
        return None if rest is None else rest.why

    def end(self) -> None:
        """kubelet sees that it is dead."""
        if self.journal is not None and self.journal in self.world.journals:
            self.world.journals.remove(self.journal)
            self.journal.close()

    def trouble(self) -> str:
        """What the status would say of its last failure."""
        found = self.memory.trouble(KEY, self.world.facts, 1, self.world.now())
        return "" if found is None else found.message


@dataclass
class World:
    """A credential that is due, and whoever is to refresh it."""

    tmp_path: Path
    transport: Transport
    url: str
    provider: RotatingProvider
    oauth2: dict[str, Any]
    moment: datetime = NOW
    server: ApiServerInMemory = field(default_factory=ApiServerInMemory)
    numbers: "count[int]" = field(default_factory=lambda: count(1))
    journals: list[Journal] = field(default_factory=list)
    spec: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.spec = raw_spec(**self.oauth2, tokenURL=self.url, revocationURL=self.url.replace("/token", "/revoke"))
        parsed = parse_spec(self.spec, allow_insecure_http=False, egress=ON_LOOPBACK)
        data = CredentialData(
            access_token="at-1",
            token_type="Bearer",
            token_endpoint=self.url,
            fingerprint=fingerprint_of(parsed),
            client_id="my-app",
            refresh_token="rt-1",
            revocation_endpoint=self.url.replace("/token", "/revoke"),
        )
        due = facts(
            obtained_with=parsed,
            has_refresh_token=True,
            refreshed_at=NOW - timedelta(minutes=50),
            expires_at=NOW + timedelta(minutes=10),
        )
        stored = credential_manifest(
            namespace=NAMESPACE, datasource_name=NAME, datasource_uid=UID, facts=due, data=data
        )
        self.server.put(SECRETS, NAMESPACE, SECRET, **stored)
        self.server.put(SECRETS, NAMESPACE, "my-app", type="Opaque", data=encoded_data({"client-secret": "s3cret"}))
        usual = {"uid": UID, "generation": 1}
        self.server.put(DATASOURCES, NAMESPACE, NAME, metadata=usual, spec=self.spec)

    def now(self) -> datetime:
        return self.moment

    def starts(self, pod: str = "pod-1", *, dies_at: int | str = 0, has_journal: bool = True) -> OperatorProcess:
        """A process begins in a pod; its directory is the pod's."""
        directory = self.tmp_path / pod
        directory.mkdir(exist_ok=True)
        return OperatorProcess(self, pod, Fate(dies_at), directory if has_journal else None)

    @property
    def place(self) -> str:
        """How entries stand for the Datasource."""
        return place_of(*KEY)

    @property
    def secret(self) -> Secret | None:
        """The credential Secret."""
        found = [each for each in self.server.stored(SECRETS) if each["metadata"]["name"] == SECRET]
        return msgspec.convert(found[0], Secret) if found else None

    @property
    def facts(self) -> CredentialFacts:
        """What it says."""
        assert self.secret is not None
        found = read_facts(self.secret.metadata.annotations)
        assert isinstance(found, CredentialFacts)
        return found

    @property
    def refresh_token(self) -> str | None:
        """The one that is stored."""
        return None if self.secret is None else self.secret.value("refresh_token")

    @property
    def is_lost(self) -> bool:
        """Whether nothing that is stored gets tokens any more."""
        return not self.provider.works(self.refresh_token)

    def close(self) -> None:
        for journal in self.journals:
            journal.close()


@asynccontextmanager
async def journal_world(
    tmp_path: Path, *, is_strict: bool = True, has_client_secret: bool = False
) -> AsyncIterator[World]:
    provider = RotatingProvider(is_strict)
    oauth2 = {} if has_client_secret else {"clientSecretRef": None}
    async with HostileProvider(provider) as server, Transport(ON_LOOPBACK) as transport:
        world = World(tmp_path, transport, server.url, provider, oauth2)
        try:
            yield world
        finally:
            world.close()
