"""I/O: what is known of a Datasource: from the cache, or read live where a step asks for it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

import msgspec

from datasource.api.objects import Datasource, LastAuthorization, Secret
from datasource.api.requests import requests_in
from datasource.api.spec import InvalidSpec, Spec, SpecProblem
from datasource.api.spec_problems import parse_spec
from datasource.cluster.api_errors import NotFound
from datasource.cluster.credential_secrets import CredentialSecrets, Stale
from datasource.cluster.kube import Kube
from datasource.cluster.resources import DATASOURCES
from datasource.concurrency.fair_cache import FairCache
from datasource.outbound.reach import Reach
from datasource.process.settings import Settings
from datasource.records.contents import Leaving, Readable, StoredCredential, contents_in, seen_from
from datasource.records.credential import CredentialFacts, Unreadable, UnreadableCredential
from datasource.records.history import By, read_history
from datasource.records.link_keys import LinkKeys
from datasource_operator.cache import Cache, Key
from datasource_operator.decisions.observed import HistoryRead, Observed, Probed, SeenImport
from datasource_operator.decisions.renames import name_it_moves_to, stands_in_ring
from datasource_operator.refresh_memory import RefreshMemory
from datasource_operator.trimming import PackedSpec, trimmed

PARSED_SPECS_IN_ALL = 32 * 2**20
"""Bytes that parsed specs take at most, and few take a quarter of what they are counted for; equal ones count once."""

PARSED_SPECS_PER_NAMESPACE = 4 * 2**20

PARSED_GROWTH = 12
"""How many bytes a parsed spec takes at most for one of its JSON: many short strings take most."""

SMALLEST_PARSED = 2048


class DatasourceGone(Exception):
    """A live read found no Datasource, or another one of the same name."""


@dataclass(slots=True)
class Observer:
    """Observes Datasources, and keeps the cache at least as new as what it read."""

    kube: Kube
    cache: Cache
    settings: Settings
    memory: RefreshMemory
    credential_secrets: CredentialSecrets
    now: Callable[[], datetime]
    failed_authorization: Callable[[Key], LastAuthorization | None] = lambda _: None
    """The last failure that a flow record told of."""
    reach: Callable[[Key, Spec | SpecProblem], Reach | None] = lambda _, __: None
    """Whether the provider can be reached, where that is known."""
    probed: Callable[[Key, Observed], Probed] = lambda _, __: Probed()
    """What spec.probe has shown, where a Datasource has one."""
    link_keys: Callable[[], LinkKeys] = LinkKeys
    """The keys that there are at this moment."""
    _unwritten: dict[Key, HistoryRead] = field(default_factory=dict, repr=False)
    """What people did, where the data do not tell the act that the annotation names: somebody altered it, or v0.1.0 did."""
    imported: Callable[[Key], SeenImport | None] = lambda _: None
    """The import Secret of a Datasource, where there is one."""
    _parsed_specs: FairCache[bytes, Spec | SpecProblem] = field(
        default_factory=lambda: FairCache(PARSED_SPECS_IN_ALL, PARSED_SPECS_PER_NAMESPACE), repr=False
    )
    """A Datasource is looked at several times in a row while it is worked on."""

    def observe(self, key: Key, *, look_around: bool = False) -> Observed:
        """What the cache shows of a Datasource.

        Raises:
            DatasourceGone: it shows none.
        """
        seen = self._observe(key, look_around=look_around)
        return replace(seen, stands_in_ring=True) if self._stands_in_ring(key, seen) else seen

    def _stands_in_ring(self, key: Key, seen: Observed) -> bool:
        if name_it_moves_to(seen) is None:
            return False

        def moves_to(each: Key) -> str | None:
            return None if self.cache.datasource(each) is None else name_it_moves_to(self._observe(each))

        return stands_in_ring(key, moves_to, lambda name: self.cache.holder(key.namespace, name))

    def _observe(self, key: Key, *, look_around: bool = False) -> Observed:
        datasource = self.cache.datasource(key)
        if datasource is None:
            raise DatasourceGone(str(key))
        now, credential = self.now(), seen_from(self.cache.credential(key), datasource.metadata.uid)
        generation = datasource.metadata.generation
        facts = credential.facts if isinstance(credential, StoredCredential) else None
        spec = self._parsed(datasource)
        seen = Observed(
            namespace=key.namespace,
            name=key.name,
            uid=datasource.metadata.uid,
            generation=generation,
            being_deleted=datasource.metadata.deletion_timestamp is not None,
            spec=spec,
            requests=requests_in(datasource.metadata.annotations),
            status=datasource.status,
            credential=credential,
            token_secrets=self.cache.token_secrets(key),
            now=now,
            failed_authorization=self.failed_authorization(key),
            reach=self.reach(key, spec),
            imported=self.imported(key),
            look_around=look_around,
            rights_outlive_namespace=self.settings.rights_outlive_namespaces,
            trouble=None if facts is None else self.memory.trouble(key, facts, generation, now),
            first_seen=None if facts is None else self.memory.first_seen(key, facts, now),
            page_request_by=self._by(key, facts, now),
            history=self._unwritten.get(key),
        )
        return replace(seen, probed=self.probed(key, seen)) if isinstance(spec, Spec) and spec.probe else seen

    async def read_live(self, key: Key, seen: Observed) -> Observed:
        """First the Secret, then the Datasource: a credential newer than the spec read is then impossible."""
        await self.credential_secrets.facts(*key)
        try:
            live = await self.kube.get(DATASOURCES, key.namespace, key.name, Datasource)
        except NotFound:
            self.cache.drop_datasource(key)
            raise DatasourceGone(str(key)) from None
        self.cache.store_datasource(trimmed(live))
        # What was seen around it was seen for another spec, perhaps: look again.
        return replace(self.again(key, seen), is_live=True, surroundings=None)

    def again(self, key: Key, seen: Observed) -> Observed:
        """Observe anew, keeping what was learnt live in this run."""
        return replace(
            self.observe(key, look_around=seen.look_around),
            surroundings=seen.surroundings,
            is_live=seen.is_live,
            names_looked_at=seen.names_looked_at,
            history=seen.history,
            import_waits=seen.import_waits,
        )

    def _by(self, key: Key, facts: CredentialFacts | None, now: datetime) -> str:
        request = None if facts is None else facts.page_request
        return By.UNPROVEN if request is None else request.by(self.link_keys(), key, now)

    async def read_history(self, key: Key, seen: Observed) -> Observed:
        """What people did, as the credential Secret tells it. What it does not tell is not looked for again.

        Raises:
            Stale: there is none of ours.
        """
        secret = await self.credential(key)
        found = contents_in(secret.metadata)
        entry_id = found.facts.history if isinstance(found, Readable) else None
        read = HistoryRead(entry_id, read_history(secret.history))
        if read.entries and read.entries[-1].id == entry_id:
            self.forget(key)
        else:
            self._unwritten[key] = read
        return replace(self.again(key, seen), history=read)

    def forget(self, key: Key) -> None:
        """The Datasource is gone."""
        self._unwritten.pop(key, None)

    async def credential(self, key: Key) -> Secret:
        """The credential Secret as it stands, tokens included.

        Raises:
            Stale: there is none of ours.
        """
        secret = await self.credential_secrets.whole(*key)
        if secret is None:
            raise Stale("the credential Secret is gone, or not ours")
        return secret

    async def unchanged(self, key: Key, credential: Readable) -> Secret:
        """The same, where it still says what was seen of it.

        Raises:
            Stale: it says something else, is being deleted, or there is none of ours.
            UnreadableCredential: somebody altered it.
        """
        secret = await self.credential(key)
        found = contents_in(secret.metadata)
        if isinstance(found, Unreadable):
            raise UnreadableCredential(found.what)
        if isinstance(found, Leaving) or found.facts != credential.facts:
            raise Stale("the credential changed meanwhile")
        return secret

    def _parsed(self, datasource: Datasource) -> Spec | SpecProblem:
        packed, namespace = PackedSpec(datasource.spec).packed, datasource.metadata.namespace
        parsed = self._parsed_specs.get(packed, namespace)
        if parsed is None:
            parsed = self._newly_parsed(packed)
            self._parsed_specs.put(packed, parsed, namespace, cost=SMALLEST_PARSED + PARSED_GROWTH * len(packed))
        return parsed

    def _newly_parsed(self, spec: bytes) -> Spec | SpecProblem:
        allow_insecure_http, egress = self.settings.allow_insecure_http, self.settings.egress
        try:
            return parse_spec(msgspec.json.decode(spec), allow_insecure_http=allow_insecure_http, egress=egress)
        except InvalidSpec as error:
            return error.problem
