"""The room of the credential Secrets: what counts as ours, what is heard of it, and writes that end as they should."""

import asyncio
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.names import SecretType
from datasource.api.objects import Metadata, PartialObject, Secret
from datasource.api.requests import HandledSet
from datasource.cluster.api_errors import Forbidden, Unavailable
from datasource.cluster.credential_secrets import STORE_BACKOFF, CredentialSecrets, Found, NotOurs, Stale
from datasource.cluster.resources import SECRETS
from datasource.concurrency.backoff import no_jitter
from datasource.records.change import Change
from datasource.records.contents import Leaving, StoredCredential
from datasource.records.credential import CredentialFacts, Unreadable
from datasource.records.standing import Absent, Standing, Written, standing
from tests.support.kube_in_memory import Answer, Call, KubeInMemory
from tests.unit.datasource.api_server import ApiServer, Reply, cuts, fails, json_reply
from tests.unit.datasource.builders import credential_data

WHOLE_PAUSES = dataclasses.replace(STORE_BACKOFF, jitter=no_jitter)

# What a re-read says about a write whose answer was a conflict, or none.


def stored(credential_id: str, resource_version: str = "1") -> StoredCredential:
    return StoredCredential(CredentialFacts(credential_id=credential_id), resource_version, owners=())


# Reads, on an API server on loopback.

SECRET = "sales-oauth2-credential"
PATH = f"/api/v1/namespaces/shop/secrets/{SECRET}"
OURS = {"datasource.dev/datasource": "sales", "datasource.dev/role": "credential"}
READABLE = OURS | {"datasource.dev/credential-id": "old", "datasource.dev/fingerprint": "fp-1"}
Heard = tuple[str, str, str | None]


def secret_object(
    annotations: Mapping[str, str] = READABLE, *, type_: str = SecretType.CREDENTIAL, **metadata: Any
) -> dict[str, Any]:
    """A Secret as the API server returns it."""
    usual = {"name": SECRET, "namespace": "shop", "resourceVersion": "7", "annotations": dict(annotations)}
    return {"metadata": usual | metadata, "type": type_, "data": {"access_token": "YXQtMQ=="}}


def listed(*objects: Mapping[str, Any]) -> Reply:
    """What a LIST of metadata answers."""
    items = [{"metadata": each["metadata"]} for each in objects]
    return json_reply({"metadata": {"resourceVersion": "9"}, "items": items})


@dataclass
class Room:
    """The room of the credential Secrets, with what was heard and slept there. Use it as an async context manager."""

    server: ApiServer
    may_list: bool = False
    heard: list[Heard] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    @classmethod
    def that(cls, *replies: Reply, may_list: bool = False) -> "Room":
        return cls(ApiServer(*replies), may_list)

    async def __aenter__(self) -> "Room":
        await self.server.__aenter__()
        self.kube = self.server.kube()
        await self.kube.__aenter__()
        self.secrets = CredentialSecrets(
            self.kube, "tests", self.may_list, heard=self._hear, sleep=self._sleep, backoff=WHOLE_PAUSES
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kube.__aexit__()
        await self.server.__aexit__()

    @property
    def asked(self) -> list[str]:
        """The verbs and places of all requests."""
        return [f"{request.method} {request.path}" for request in self.server.requests]

    async def facts(self, owner: str | None = None) -> Found:
        return await self.secrets.facts("shop", "sales", owner=owner)

    def _hear(self, namespace: str, name: str, metadata: Metadata | None) -> None:
        self.heard.append((namespace, name, None if metadata is None else metadata.resource_version))

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def owned_by(uid: str) -> dict[str, Any]:
    return {"ownerReferences": [{"uid": uid, "kind": "Datasource", "name": "sales"}]}


GONE = fails(404, "NotFound")
DELETED = {"deletionTimestamp": "2026-07-01T12:00:00Z"}


@pytest.mark.parametrize("may_list", [False, True])
async def test_facts_of_ours_are_read_and_heard(may_list: bool) -> None:
    reply = listed(secret_object()) if may_list else json_reply(secret_object())
    async with Room.that(reply, may_list=may_list) as room:
        found = await room.facts()
    assert isinstance(found, StoredCredential)
    assert (found.facts.credential_id, found.resource_version) == ("old", "7")
    assert room.heard == [("shop", "sales", "7")]
    assert len(room.asked) == 1


async def test_who_may_list_never_reads_a_value_to_tell_a_type() -> None:
    metadata_only = json_reply({"metadata": secret_object(type_="Opaque")["metadata"]})
    async with Room.that(listed(), metadata_only, may_list=True) as room:
        assert await room.facts() == NotOurs()
    first, second = room.server.requests
    assert first.query["fieldSelector"] == f"metadata.name={SECRET},type={SecretType.CREDENTIAL}"
    for request in (first, second):
        assert "PartialObjectMetadata" in request.headers["Accept"]


@pytest.mark.parametrize(("may_list", "replies"), [(False, (GONE,)), (True, (listed(), GONE))])
async def test_nothing_there_is_heard_too(may_list: bool, replies: tuple[Reply, ...]) -> None:
    async with Room.that(*replies, may_list=may_list) as room:
        assert await room.facts() is None
    assert room.heard == [("shop", "sales", None)]


@pytest.mark.parametrize(
    "there",
    [
        pytest.param(secret_object(type_="Opaque"), id="of another type"),
        pytest.param(secret_object(READABLE | {"datasource.dev/datasource": "else"}), id="of another Datasource"),
        pytest.param(secret_object(READABLE | {"datasource.dev/role": "token"}), id="in another role"),
        pytest.param(secret_object({}), id="of nobody"),
    ],
)
async def test_what_is_not_ours_is_told_as_such_and_never_handed_out(there: dict[str, Any]) -> None:
    async with Room.that(json_reply(there)) as room:
        told = NotOurs(has_our_type=there["type"] == SecretType.CREDENTIAL)
        assert await room.facts() == told
        assert await room.facts(owner="uid-1") == told
        assert await room.secrets.whole("shop", "sales") is None
    assert room.heard == [("shop", "sales", None)] * 3


@pytest.mark.parametrize(
    ("metadata", "owner", "is_leaving"),
    [
        pytest.param(owned_by("uid-1"), "uid-1", False, id="its own Datasource asks"),
        pytest.param(owned_by("uid-0"), "uid-1", True, id="it belongs to an earlier one"),
        pytest.param({}, "uid-1", False, id="a restore dropped the owner"),
        pytest.param(owned_by("uid-1") | DELETED, "uid-1", True, id="it is being deleted"),
        pytest.param(owned_by("uid-0"), None, False, id="nobody says who asks"),
        pytest.param(owned_by("uid-0") | DELETED, None, True, id="it is being deleted, whoever asks"),
    ],
)
async def test_whether_it_is_leaving_is_told_to_who_says_which_datasource_asks(
    metadata: dict[str, Any], owner: str | None, is_leaving: bool
) -> None:
    async with Room.that(json_reply(secret_object(**metadata))) as room:
        assert isinstance(await room.facts(owner), Leaving if is_leaving else StoredCredential)


async def test_unreadable_facts_are_a_value_and_heard_all_the_same() -> None:
    async with Room.that(json_reply(secret_object(READABLE | {"datasource.dev/revision": "many"}))) as room:
        assert await room.facts() == Unreadable(
            "annotation datasource.dev/revision cannot be read", handled=HandledSet()
        )
    assert room.heard == [("shop", "sales", "7")]


async def test_refusals_and_silence_are_passed_on() -> None:
    async with Room.that(fails(403, "Forbidden")) as room:
        with pytest.raises(Forbidden):
            await room.facts()
        with pytest.raises(Forbidden):
            await room.secrets.whole("shop", "sales")
    assert room.heard == []


async def test_patient_read_asks_until_there_is_an_answer_and_longer_each_time() -> None:
    async with Room.that(fails(503, "Down"), fails(500, "InternalError"), json_reply(secret_object())) as room:
        assert isinstance(await room.secrets.facts_until_answered("shop", "sales"), StoredCredential)
    assert room.slept == [0.4, 0.8]


async def test_pauses_stay_short_however_long_an_outage_lasts() -> None:
    async with Room.that(*[fails(503, "Down")] * 40, json_reply(secret_object())) as room:
        await room.secrets.facts_until_answered("shop", "sales")
    assert max(room.slept) == 5.0
    assert len(room.slept) == 40


async def test_patient_read_ends_at_what_its_caller_gives_up_at() -> None:
    async with Room.that(fails(500, "InternalError"), fails(403, "Forbidden")) as room:
        with pytest.raises(Forbidden):
            await room.secrets.facts_until_answered(
                "shop", "sales", gives_up=lambda error: isinstance(error, Forbidden)
            )
    assert len(room.slept) == 1


async def test_whole_secret_is_read_with_its_data() -> None:
    async with Room.that(json_reply(secret_object())) as room:
        found = await room.secrets.whole("shop", "sales")
    assert found is not None
    assert found.value("access_token") == "at-1"
    assert room.heard == [("shop", "sales", "7")]


async def test_whole_secret_that_is_gone_is_none() -> None:
    async with Room.that(GONE) as room:
        assert await room.secrets.whole("shop", "sales") is None
    assert room.heard == [("shop", "sales", None)]


# Writes.

PATCH = {"metadata": {"resourceVersion": "7"}}


async def test_swap_answers_with_what_stands_then() -> None:
    async with Room.that(json_reply(secret_object(resourceVersion="8"))) as room:
        written = await room.secrets.swap("shop", "sales", PATCH, Secret)
    assert written.value("access_token") == "at-1"
    assert room.heard == [("shop", "sales", "8")]
    (request,) = room.server.requests
    assert (request.method, request.path, request.body) == ("PATCH", PATH, PATCH)
    assert request.query == {"fieldManager": "tests"}


@pytest.mark.parametrize("reply", [fails(409, "Conflict"), GONE])
async def test_lost_swap_is_stale(reply: Reply) -> None:
    async with Room.that(reply) as room:
        with pytest.raises(Stale, match=f"Secret {SECRET} changed meanwhile"):
            await room.secrets.swap("shop", "sales", PATCH, PartialObject)
    assert room.heard == []


async def test_rehearsal_changes_nothing_and_nobody_hears_of_it() -> None:
    async with Room.that(json_reply(secret_object(resourceVersion="8"))) as room:
        await room.secrets.swap("shop", "sales", PATCH, PartialObject, dry_run=True)
        await room.secrets.create("shop", "sales", Absent("uid-1"), Change(CredentialFacts("new")), dry_run=True)
    assert [request.query["dryRun"] for request in room.server.requests] == ["All", "All"]
    assert room.heard == []


# Until it stands.

NEW = Change(CredentialFacts(credential_id="new", fingerprint="fp-1"), credential_data())
STANDS_NEW = json_reply(secret_object(READABLE | {"datasource.dev/credential-id": "new"}, resourceVersion="8"))
LABELLED = json_reply(secret_object(resourceVersion="9"))
ANOTHER = json_reply(secret_object(READABLE | {"datasource.dev/credential-id": "another"}))


async def put(room: Room, before: StoredCredential | Absent, **changes: Any) -> Written:
    """Put a new credential over what was seen."""
    return await room.secrets.write_until_it_stands(
        "shop",
        "sales",
        before,
        lambda _: NEW,
        lambda found: standing(found, before=before, ours="new"),
        **changes,
    )


async def test_write_that_is_answered_stands_at_the_version_of_the_answer() -> None:
    async with Room.that(STANDS_NEW) as room:
        assert await put(room, stored("old")) == Written(True, "8", NEW.data)
    (request,) = room.server.requests
    assert request.method == "PATCH"
    assert request.body["metadata"]["resourceVersion"] == "1"
    assert request.body["data"]["access_token"] == "YXQtMQ=="
    assert room.heard == [("shop", "sales", "8")]


async def test_whoever_writes_hears_what_keeps_it_from_standing() -> None:
    heard: list[str] = []
    async with Room.that(fails(409, "Conflict"), LABELLED, fails(422, "Invalid"), LABELLED, STANDS_NEW) as room:
        assert (await put(room, stored("old"), failed=lambda error: heard.append(str(error)))).stands
    assert len(heard) == 1
    assert heard[0].startswith("422 Invalid")


async def test_without_data_the_tokens_are_left_alone() -> None:
    async with Room.that(STANDS_NEW) as room:
        await room.secrets.write_until_it_stands(
            "shop", "sales", stored("old"), lambda _: Change(NEW.facts), lambda _: Standing.LOST
        )
    assert "data" not in room.server.requests[0].body


async def test_where_nothing_stood_it_is_made_for_its_datasource() -> None:
    async with Room.that(STANDS_NEW) as room:
        assert await put(room, Absent("uid-1")) == Written(True, "8", NEW.data)
    (request,) = room.server.requests
    assert request.method == "POST"
    assert request.body["metadata"]["ownerReferences"][0]["uid"] == "uid-1"


async def test_somebody_merely_labelled_it_so_it_is_written_again_at_once() -> None:
    async with Room.that(fails(409, "Conflict"), LABELLED, STANDS_NEW) as room:
        assert await put(room, stored("old")) == Written(True, "8", NEW.data)
    assert room.server.requests[-1].body["metadata"]["resourceVersion"] == "9"
    assert room.slept == []


async def test_somebody_who_labels_it_all_the_time_is_not_raced() -> None:
    labels = [reply for _ in range(3) for reply in (fails(409, "Conflict"), LABELLED)]
    async with Room.that(*labels, STANDS_NEW) as room:
        assert (await put(room, stored("old"))).stands
    assert len(room.slept) == 2


async def test_write_whose_answer_was_lost_is_read_back_and_not_repeated() -> None:
    async with Room.that(cuts(), STANDS_NEW) as room:
        assert await put(room, stored("old")) == Written(True)
    assert [request.method for request in room.server.requests] == ["PATCH", "GET"]


async def test_create_that_never_arrived_is_sent_again() -> None:
    async with Room.that(cuts(), GONE, STANDS_NEW) as room:
        assert (await put(room, Absent("uid-1"))).stands
    assert [request.method for request in room.server.requests] == ["POST", "GET", "POST"]


async def test_read_back_is_waited_for_too() -> None:
    async with Room.that(cuts(), fails(503, "Down"), fails(500, "InternalError"), STANDS_NEW) as room:
        assert (await put(room, stored("old"))).stands
    assert [request.method for request in room.server.requests] == ["PATCH", "GET", "GET", "GET"]


@pytest.mark.parametrize(
    "there",
    [
        pytest.param(ANOTHER, id="another credential"),
        pytest.param(GONE, id="nothing"),
        pytest.param(json_reply(secret_object(type_="Opaque")), id="something of somebody else"),
    ],
)
async def test_nothing_newer_is_written_over(there: Reply) -> None:
    async with Room.that(fails(409, "Conflict"), there) as room:
        assert await put(room, stored("old")) == Written(False)
    assert [request.method for request in room.server.requests] == ["PATCH", "GET"]


@pytest.mark.parametrize(
    "there",
    [
        pytest.param(json_reply(secret_object(OURS)), id="one that cannot be read"),
        pytest.param(json_reply(secret_object({})), id="one without annotations"),
        pytest.param(json_reply(secret_object(READABLE | {"datasource.dev/role": "token"})), id="one with others"),
    ],
)
async def test_nothing_is_written_over_what_was_altered_and_the_caller_is_told(there: Reply) -> None:
    async with Room.that(fails(409, "Conflict"), there) as room:
        assert await put(room, stored("old")) == Written(False, cannot_be_judged=True)
    assert [request.method for request in room.server.requests] == ["PATCH", "GET"]


async def test_what_its_caller_gives_up_at_ends_it_while_writing_and_while_reading_back() -> None:
    def gives_up(error: Exception) -> bool:
        return isinstance(error, Forbidden)

    for replies in ((fails(403, "Forbidden"),), (cuts(), fails(403, "Forbidden"))):
        async with Room.that(*replies) as room:
            with pytest.raises(Forbidden):
                await put(room, stored("old"), gives_up=gives_up)


async def test_refused_write_is_tried_until_it_is_taken() -> None:
    refused = [reply for _ in range(3) for reply in (fails(403, "Forbidden"), json_reply(secret_object()))]
    async with Room.that(*refused, STANDS_NEW) as room:
        assert (await put(room, stored("old"))).stands
    assert len(room.slept) == 3


async def test_who_reads_live_at_each_use_need_not_listen() -> None:
    async with ApiServer(json_reply(secret_object())) as server, server.kube() as kube:
        assert await CredentialSecrets(kube, "tests", may_list=False).whole("shop", "sales") is not None


# Whatever happens in between.


class Disturbance(Enum):
    """What comes between us and the API server at one request."""

    NOTHING = auto()
    LABELLED = auto()
    REPLACED = auto()
    DELETED = auto()
    ANSWER_LOST = auto()
    """It is done, and nobody says so."""
    NEVER_ARRIVED = auto()
    REFUSED = auto()


@dataclass
class DisturbedSecrets(KubeInMemory):
    """An API server with a disturbance before each request, or after it."""

    disturbances: list[Disturbance] = field(default_factory=list)
    overwritten: list[str] = field(default_factory=list)
    """The IDs of the credentials that our writes were put over; empty for none."""

    @property
    def credential_id(self) -> str:
        """Which credential stands there; empty for none."""
        stored = self.stored(SECRETS)
        return stored[0]["metadata"]["annotations"]["datasource.dev/credential-id"] if stored else ""

    async def requested(self, call: Call, answer: Answer) -> Any:
        disturbance = self.disturbances.pop() if self.disturbances else Disturbance.NOTHING
        self._disturb(disturbance)
        before = self.credential_id
        answered = await super().requested(call, answer)
        if call.verb != "get":
            self.overwritten.append(before)
        if disturbance is Disturbance.ANSWER_LOST:
            raise Unavailable("cut")
        return answered

    def _disturb(self, disturbance: Disturbance) -> None:
        number = str(self.server.version)
        match disturbance:
            case Disturbance.LABELLED if self.credential_id:
                self.server.merge_patch(SECRETS, "shop", SECRET, {"metadata": {"labels": {"number": number}}})
            case Disturbance.REPLACED:
                another = secret_object(READABLE | {"datasource.dev/credential-id": f"another-{number}"})
                del another["metadata"]["resourceVersion"]
                self.put(SECRETS, "shop", SECRET, **another)
            case Disturbance.DELETED if self.credential_id:
                self.remove(SECRETS, "shop", SECRET)
            case Disturbance.NEVER_ARRIVED:
                raise Unavailable("nobody there")
            case Disturbance.REFUSED:
                raise Forbidden(403, "Forbidden", "no")


@given(st.lists(st.sampled_from(Disturbance), max_size=12), st.booleans())
def test_whatever_happens_nothing_newer_is_overwritten_and_it_is_told_whether_ours_stood(
    disturbances: list[Disturbance], is_first: bool
) -> None:
    api = DisturbedSecrets(disturbances=list(disturbances))
    if not is_first:
        api.put(SECRETS, "shop", SECRET, **secret_object(READABLE))
    heard: list[str | None] = []

    async def no_pause(_: float) -> None:
        """The disturbances come by number, not by time."""

    secrets = CredentialSecrets(
        api,
        "tests",
        may_list=False,
        heard=lambda _, __, metadata: heard.append(None if metadata is None else metadata.resource_version),
        sleep=no_pause,
    )
    before = Absent("uid-1") if is_first else stored("old", "7")
    replaces = "" if is_first else "old"
    written = asyncio.run(
        secrets.write_until_it_stands(
            "shop", "sales", before, lambda _: NEW, lambda found: standing(found, before=before, ours="new")
        )
    )
    assert set(api.overwritten) <= {replaces}
    assert written.stands <= bool(api.overwritten)
    if written.resource_version is not None:
        assert heard[-1] == written.resource_version
    if not {Disturbance.REPLACED, Disturbance.DELETED} & set(disturbances):
        assert written.stands
        assert api.credential_id == "new"
        assert len(api.overwritten) == 1
