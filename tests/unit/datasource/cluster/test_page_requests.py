"""What people ask for at pages: written by one swap, told apart where it cannot be, never twice."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from datasource.api.requests import HandledSet
from datasource.cluster.api_errors import Forbidden, Unavailable
from datasource.cluster.credential_secrets import CredentialSecrets, Stale
from datasource.cluster.page_requests import NotAsked, PageRequests
from datasource.cluster.resources import SECRETS
from datasource.records.change import Change
from datasource.records.contents import StoredCredential, tombstone
from datasource.records.credential import Facts
from datasource.records.credential_patches import credential_manifest, facts_patch
from datasource.records.history import Act, entry_of, read_history
from datasource.records.link_keys import LinkKeys
from datasource.records.page_request import PageRequest, RequestKind
from datasource.records.standing import Standing
from tests.support.kube_in_memory import Answer, Call, KubeInMemory
from tests.unit.datasource.builders import NOW, UID, credential_data, facts

PLACE = ("shop", "sales")
SECRET = "sales-oauth2-credential"
KEYS = LinkKeys().renewed(NOW, lambda size: b"k" * size)
CLEAR, REFRESH = RequestKind


@dataclass
class LossyKube(KubeInMemory):
    """As the API server, but for answers to patches that are lost, and others who write first."""

    loses: int = 0
    """How many answers to patches are lost after they were carried out."""
    drops: int = 0
    """How many patches never arrive."""
    races: int = 0
    """How often somebody labels the Secret first."""

    async def requested(self, call: Call, answer: Answer) -> Any:
        if call.verb != "merge_patch":
            return await super().requested(call, answer)
        if self.races:
            self.races -= 1
            whole = self.object(SECRETS, call.namespace, call.name)
            del whole["metadata"]["resourceVersion"]
            self.put(SECRETS, call.namespace, call.name, **whole)
        if self.drops:
            self.drops -= 1
            raise Unavailable("cut")
        answered = await super().requested(call, answer)
        if self.loses:
            self.loses -= 1
            raise Unavailable("cut")
        return answered


@dataclass
class World:
    """A credential Secret, and somebody who asks."""

    kube: LossyKube = field(default_factory=LossyKube)
    made: int = 0

    def __post_init__(self) -> None:
        self.secrets = CredentialSecrets(self.kube, "tests", may_list=False)

    def holds(self, what: Facts | None = None, *, uid: str = UID) -> "World":
        manifest = credential_manifest(
            namespace="shop",
            datasource_name="sales",
            datasource_uid=uid,
            facts=what or facts(intent=None, verdict=None),
            data=credential_data(),
        )
        self.kube.put(SECRETS, "shop", SECRET, **manifest)
        return self

    async def ask(
        self, kind: RequestKind = CLEAR, *, user: str = "ada", seen: str = "cred-1"
    ) -> PageRequest | NotAsked:
        requests = PageRequests(self.secrets, lambda: NOW, lambda: KEYS, self._bytes)
        return await requests.ask(PLACE, kind, owner=UID, user=user, seen=seen)

    async def standing(self) -> PageRequest | None:
        found = await self.secrets.facts(*PLACE)
        assert isinstance(found, StoredCredential)
        return found.facts.page_request

    def annotate(self, **annotations: str | None) -> None:
        stored = self.kube.object(SECRETS, "shop", SECRET)
        for key, value in annotations.items():
            stored["metadata"]["annotations"][f"datasource.dev/{key}"] = value

    def _bytes(self, size: int) -> bytes:
        self.made += 1
        return bytes([self.made] * size)


@pytest.mark.parametrize("kind", RequestKind)
async def test_request_stands_on_the_secret_with_a_mark_of_ours(kind: RequestKind) -> None:
    world = World().holds()
    asked = await world.ask(kind)
    assert isinstance(asked, PageRequest)
    assert await world.standing() == asked
    assert asked.by(KEYS, PLACE, NOW) == "ada"


async def test_whoever_asks_for_the_same_is_told_who_was_first() -> None:
    world = World().holds()
    first = await world.ask(user="ada")
    assert await world.ask(user="grace") == first
    assert await world.standing() == first


async def test_clear_takes_the_place_of_a_refresh_and_not_the_other_way_round() -> None:
    world = World().holds()
    await world.ask(REFRESH)
    cleared = await world.ask(CLEAR)
    assert await world.standing() == cleared
    assert await world.ask(REFRESH) is NotAsked.CLEAR_IS_PENDING


@pytest.mark.parametrize(
    ("held", "kind", "answer"),
    [
        (facts(credential_id="cred-2"), CLEAR, NotAsked.REPLACED),
        (facts(has_refresh_token=False, verdict=None), REFRESH, NotAsked.NO_REFRESH_TOKEN),
        (facts(), REFRESH, NotAsked.NO_REFRESH_TOKEN),
        (tombstone(facts(), credential_id="cred-1", handled=HandledSet()), CLEAR, NotAsked.NO_CREDENTIAL),
    ],
    ids=["replaced", "no refresh token", "dead refresh token", "cleared"],
)
async def test_nothing_is_written_where_nothing_can_come_of_it(
    held: Facts, kind: RequestKind, answer: NotAsked
) -> None:
    world = World().holds(held)
    assert await world.ask(kind) is answer
    assert "merge_patch" not in world.kube.verbs


async def test_clear_is_asked_for_where_only_the_refresh_token_is_dead() -> None:
    assert isinstance(await World().holds(facts()).ask(CLEAR), PageRequest)


async def test_nothing_is_written_where_there_is_no_secret_or_somebody_elses() -> None:
    assert await World().ask() is NotAsked.NO_CREDENTIAL
    assert await World().holds(uid="another").ask() is NotAsked.NO_CREDENTIAL
    world = World()
    world.kube.put(SECRETS, "shop", SECRET, type="Opaque")
    assert await world.ask() is NotAsked.NO_CREDENTIAL


async def test_altered_secret_is_told() -> None:
    world = World().holds()
    world.annotate(revision="many")
    assert await world.ask() is NotAsked.UNREADABLE


async def test_others_who_write_meanwhile_are_waited_for_but_not_for_ever() -> None:
    world = World(LossyKube(races=2)).holds()
    assert await world.standing() is None
    asked = await world.ask()
    assert await world.standing() == asked
    with pytest.raises(Stale):
        await World(LossyKube(races=99)).holds().ask()


async def test_lost_answer_is_looked_up() -> None:
    world = World(LossyKube(loses=1)).holds()
    asked = await world.ask()
    assert isinstance(asked, PageRequest)
    assert await world.standing() == asked


async def test_lost_answer_to_what_was_acted_on_already_is_an_answer() -> None:
    world = World(LossyKube(loses=1)).holds()

    class Fast(CredentialSecrets):
        """Between the write and the look the operator acted."""

        async def swap(self, *arguments: Any, **options: Any) -> Any:
            try:
                return await super().swap(*arguments, **options)
            finally:
                found = await world.standing()
                assert found is not None
                left = facts(intent=None, verdict=None, history=found.id)
                patch = facts_patch(datasource_name="sales", resource_version="", facts=left)
                del patch["metadata"]["resourceVersion"]
                await world.kube.merge_patch(SECRETS, "shop", SECRET, patch, object, manager="operator")

    world.secrets = Fast(world.kube, "tests", may_list=False)
    world.kube.loses = 1
    assert isinstance(await world.ask(), PageRequest)


async def test_write_that_never_arrived_is_told() -> None:
    world = World(LossyKube(drops=1)).holds()
    with pytest.raises(Unavailable):
        await world.ask()
    assert await world.standing() is None


async def test_lost_answer_over_a_secret_that_is_gone_is_told() -> None:
    world = World(LossyKube(drops=1)).holds()

    class Gone(CredentialSecrets):
        async def swap(self, *arguments: Any, **options: Any) -> Any:
            world.kube.remove(SECRETS, "shop", SECRET)
            return await super().swap(*arguments, **options)

    world.secrets = Gone(world.kube, "tests", may_list=False)
    with pytest.raises(Unavailable):
        await world.ask()


async def test_refusal_of_the_api_server_is_told() -> None:
    world = World().holds()
    world.kube.failure = Forbidden(403, "Forbidden", "no", None)
    with pytest.raises(Forbidden):
        await world.ask()


async def test_history_is_read_with_the_facts_and_no_token_is() -> None:
    world = World().holds()
    world.kube.object(SECRETS, "shop", SECRET)["data"]["history"] = "W10="
    found = await world.secrets.facts(*PLACE)
    assert isinstance(found, StoredCredential)
    assert found.history == "[]"
    assert "at-1" not in repr(found)
    world.kube.object(SECRETS, "shop", SECRET)["data"]["history"] = "/w=="
    damaged = await world.secrets.facts(*PLACE)
    assert isinstance(damaged, StoredCredential)
    assert damaged.history is None


async def test_what_we_tell_bears_the_mark_of_its_datasource() -> None:
    world = World().holds()
    secrets = CredentialSecrets(world.kube, "tests", may_list=False, link_keys=lambda: KEYS)
    entry = entry_of("act-1", Act.NEW_CREDENTIAL, by="ada", at=NOW)
    before = await secrets.facts(*PLACE)
    assert isinstance(before, StoredCredential)

    def change(found: StoredCredential) -> Change:
        return Change(found.facts).with_entry(found.history, entry)

    await secrets.write_until_it_stands(*PLACE, before, change, lambda _: Standing.LOST)
    whole = await secrets.whole(*PLACE)
    assert whole is not None
    (told,) = read_history(whole.history)
    assert told.is_ours(KEYS, PLACE, NOW)
    (_, more) = read_history(secrets.told(*PLACE, whole.history, entry_of("act-2", Act.CLEAR, by="ada", at=NOW)))
    assert more.is_ours(KEYS, PLACE, NOW)
