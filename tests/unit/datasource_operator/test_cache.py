"""What the operator remembers, and what it passes over."""

import itertools
import sys
from types import FrameType, TracebackType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.names import FIELD_MANAGER, LAST_APPLIED, Annotation
from datasource.api.objects import ManagedFields, Metadata, OwnerReference, telling_owners
from datasource.api.states import Reason
from datasource.records.contents import StoredCredential, StoredTombstone
from datasource.records.credential import Unreadable
from datasource.records.intent import Intent
from datasource_operator import cache as cache_module
from datasource_operator import trimming
from datasource_operator.cache import Cache, Key
from datasource_operator.served_scopes import Source
from tests.support.builders import (
    NAME,
    NAMESPACE,
    NOW,
    OURS,
    credential_metadata,
    datasource,
    token_secret_metadata,
)
from tests.support.reachable import reachable, texts_in

KEY = Key(NAMESPACE, NAME)


def version_of(cache: Cache) -> str | None:
    """The resourceVersion of the credential remembered."""
    stored = cache.credential(KEY)
    return stored.resource_version if isinstance(stored, StoredCredential) else None


def names_in(cache: Cache) -> dict[Source, list[tuple[Key, str]]]:
    """The Secrets remembered, by the watch that shows them."""
    return {source: found for source in Source if (found := list(cache.secret_names(source)))}


def test_a_key_reads_as_kubectl_writes_it() -> None:
    assert str(KEY) == "shop/calendar"


def test_nothing_is_known_of_what_was_never_seen() -> None:
    cache = Cache()
    assert cache.datasource(KEY) is None
    assert cache.credential(KEY) is None
    assert cache.token_secrets(KEY) == ()
    assert cache.datasource_keys() == []
    assert names_in(cache) == {}


# Datasources.


def test_the_last_version_of_a_datasource_is_remembered() -> None:
    cache = Cache()
    for version in ("9", "10"):
        assert cache.store_datasource(datasource(resource_version=version))
    assert cache.datasource(KEY) == datasource(resource_version="10")
    assert cache.datasource_keys() == [KEY]


def test_an_older_version_of_a_datasource_is_passed_over() -> None:
    """As numbers: as text, 9 would come after 10."""
    cache = Cache()
    cache.store_datasource(datasource(resource_version="10"))
    assert not cache.store_datasource(datasource(resource_version="9"))
    assert cache.datasource(KEY) == datasource(resource_version="10")


def test_the_same_version_again_tells_nothing_new() -> None:
    """A watch shows what we wrote ourselves once more."""
    cache = Cache()
    cache.store_datasource(datasource())
    assert not cache.store_datasource(datasource())


def test_the_same_version_of_a_secret_again_tells_nothing_new() -> None:
    cache = Cache()
    for metadata in (credential_metadata(), token_secret_metadata()):
        assert cache.store_secret(metadata) == KEY
        assert cache.store_secret(metadata) is None


def test_nothing_is_unpacked_to_compare_versions() -> None:
    """Each watch event is compared with what is known, a hundred thousand after a list."""
    cache, packings = Cache(), (trimming._PACKING, cache_module._CREDENTIALS)
    for packing in packings:
        packing.recent.cache_clear()
    for version in ("5", "6", "5"):
        cache.store_datasource(datasource(resource_version=version))
        cache.store_secret(credential_metadata(resource_version=version))
    assert not cache.drop_datasource(KEY, datasource(resource_version="5").metadata)
    assert cache.drop_secret(credential_metadata(resource_version="5")) is None
    assert cache.drop_datasource(KEY, datasource(resource_version="7").metadata)
    assert cache.drop_secret(credential_metadata(resource_version="7")) == KEY
    assert [packing.recent.cache_info()[:2] for packing in packings] == [(0, 0), (0, 0)]


def test_a_key_is_kept_once_however_often_a_watch_names_it() -> None:
    cache = Cache()
    asked = Key(NAMESPACE, NAME)
    assert cache.own(asked) is asked
    cache.store_datasource(datasource())
    assert cache.own(asked) == asked
    assert cache.own(asked) is cache.own(Key(NAMESPACE, NAME))
    assert cache.own(asked) is cache.datasource_keys()[0]


def test_a_deleted_datasource_is_forgotten() -> None:
    cache = Cache()
    cache.store_datasource(datasource(resource_version="5"))
    assert cache.drop_datasource(KEY, datasource(resource_version="6").metadata)
    assert cache.datasource(KEY) is None
    assert cache.datasource_keys() == []


def test_a_late_deletion_does_not_take_the_next_datasource_of_that_name() -> None:
    cache = Cache()
    cache.store_datasource(datasource(resource_version="8", uid="second"))
    assert not cache.drop_datasource(KEY, datasource(resource_version="6", uid="first").metadata)
    assert cache.datasource_keys() == [KEY]


def test_a_live_read_that_found_nothing_forgets_whatever_the_version() -> None:
    cache = Cache()
    cache.store_datasource(datasource(resource_version="8"))
    assert cache.drop_datasource(KEY)
    assert not cache.drop_datasource(KEY)
    assert not cache.drop_datasource(Key("shop", "never-seen"))


def test_a_datasource_that_only_its_secrets_are_left_of_is_no_key() -> None:
    cache = Cache()
    cache.store_datasource(datasource())
    cache.store_secret(credential_metadata())
    cache.drop_datasource(KEY)
    assert cache.datasource_keys() == []
    assert version_of(cache) == "7"
    assert not cache.drop_datasource(KEY, datasource(resource_version="6").metadata)


# Credential Secrets.


def test_a_credential_is_remembered_by_the_datasource_that_it_names() -> None:
    cache = Cache()
    assert cache.store_secret(credential_metadata()) == KEY
    stored = cache.credential(KEY)
    assert isinstance(stored, StoredCredential)
    assert (stored.facts.credential_id, stored.owners) == ("credential-1", telling_owners(OURS))


def test_a_secret_that_names_no_datasource_is_not_remembered() -> None:
    cache = Cache()
    assert cache.store_secret(credential_metadata(datasource=None)) is None
    assert cache.store_secret(credential_metadata(datasource="")) is None
    assert names_in(cache) == {}


def test_an_older_version_of_a_credential_is_passed_over() -> None:
    cache = Cache()
    cache.store_secret(credential_metadata(resource_version="10"))
    assert cache.store_secret(credential_metadata(resource_version="9")) is None
    assert version_of(cache) == "10"


def test_a_credential_that_cannot_be_read_says_why() -> None:
    cache = Cache()
    assert cache.store_secret(credential_metadata(credential_id=None)) == KEY
    stored = cache.credential(KEY)
    assert isinstance(stored, Unreadable)
    assert stored.what == "annotation datasource.dev/credential-id is missing"


@pytest.mark.parametrize(
    "altered",
    [
        pytest.param({"credential_id": None}, id="nothing to parse"),
        pytest.param({"expires_at": "soon"}, id="an error within an error"),
        pytest.param({"intent": "{"}, id="an error of the JSON parser"),
        pytest.param({}, id="nothing altered"),
    ],
)
def test_no_token_of_a_backup_is_kept_in_memory_however_unreadable_the_credential(altered: dict[str, Any]) -> None:
    cache = Cache()
    metadata = credential_metadata(**altered)
    metadata.annotations[LAST_APPLIED] = '{"data": {"refresh_token": "sentinel"}}'
    cache.store_secret(metadata)
    del metadata
    assert cache.credential(KEY) is not None
    assert "sentinel" not in texts_in(cache)
    assert not any(isinstance(each, BaseException | FrameType | TracebackType) for each in reachable(cache))


def test_an_unreadable_version_is_passed_over_too_where_it_is_older() -> None:
    cache = Cache()
    cache.store_secret(credential_metadata(resource_version="10"))
    cache.store_secret(credential_metadata(resource_version="9", credential_id=None))
    assert version_of(cache) == "10"
    cache.store_secret(credential_metadata(resource_version="11", credential_id=None))
    cache.store_secret(credential_metadata(resource_version="10"))
    assert isinstance(cache.credential(KEY), Unreadable)


def test_a_copy_of_a_credential_secret_is_not_taken_for_it() -> None:
    cache = Cache()
    copy = credential_metadata(name="backup-of-calendar", datasource=NAME)
    cache.store_secret(copy)
    assert cache.credential(KEY) is None


def test_a_copy_of_a_credential_secret_leaves_nothing_behind() -> None:
    cache = Cache()
    copy = credential_metadata(name="backup-of-calendar", datasource=NAME)
    cache.store_secret(copy)
    cache.drop_secret(copy)
    assert cache == Cache()


@pytest.mark.parametrize("named", [None, "another"])
def test_a_secret_that_names_another_datasource_now_is_no_longer_the_first_ones(named: str | None) -> None:
    """What a restart would find must be found without one."""
    cache = Cache()
    cache.store_secret(credential_metadata(resource_version="7"))
    cache.store_secret(credential_metadata(resource_version="8", datasource=named))
    assert cache.credential(KEY) is None


def test_a_deleted_credential_is_forgotten() -> None:
    cache = Cache()
    cache.store_secret(credential_metadata(resource_version="7"))
    assert cache.drop_secret(credential_metadata(resource_version="8")) == KEY
    assert cache.credential(KEY) is None


def test_a_late_deletion_does_not_take_the_next_credential() -> None:
    cache = Cache()
    cache.store_secret(credential_metadata(resource_version="9"))
    assert cache.drop_secret(credential_metadata(resource_version="8")) is None
    assert version_of(cache) == "9"


def test_a_deletion_of_what_was_never_seen_concerns_nobody() -> None:
    assert Cache().drop_secret(credential_metadata()) is None
    assert Cache().drop_secret(credential_metadata(datasource=None)) is None


def test_a_live_read_that_found_no_credential_forgets_it() -> None:
    cache = Cache()
    cache.store_secret(credential_metadata())
    cache.hear(*KEY, None)
    assert cache.credential(KEY) is None
    assert names_in(cache) == {}
    cache.hear(*KEY, None)


@given(st.permutations(["1", "9", "10", "11", "100"]))
def test_in_whatever_order_versions_come_the_newest_is_remembered(versions: list[str]) -> None:
    cache = Cache()
    for version in versions:
        cache.store_datasource(datasource(resource_version=version))
        cache.store_secret(credential_metadata(resource_version=version))
        cache.store_secret(token_secret_metadata(resource_version=version))
    remembered = cache.datasource(KEY)
    assert remembered is not None
    assert remembered.metadata.resource_version == "100"
    assert version_of(cache) == "100"
    assert [stored.resource_version for stored in cache.token_secrets(KEY)] == ["100"]


# Token Secrets.


def test_every_token_secret_of_a_datasource_is_remembered() -> None:
    cache = Cache()
    assert cache.store_secret(token_secret_metadata("old")) == KEY
    assert cache.store_secret(token_secret_metadata("new")) == KEY
    assert {stored.name for stored in cache.token_secrets(KEY)} == {"old", "new"}


def test_of_a_token_secret_it_is_known_which_keys_are_ours() -> None:
    cache = Cache()
    cache.store_secret(token_secret_metadata("ours"))
    cache.store_secret(token_secret_metadata("taken-over", manager="kubectl-edit"))
    ours, taken_over = cache.token_secrets(KEY)
    assert ours.fields == {"data/access_token", "data/token_type", "data/expires_at"}
    assert (ours.content, ours.uid, ours.owners) == ("content-1", "uid-of-ours", telling_owners(OURS))
    assert taken_over.fields == frozenset()


def test_an_older_version_of_a_token_secret_is_passed_over() -> None:
    cache = Cache()
    cache.store_secret(token_secret_metadata(resource_version="10"))
    assert cache.store_secret(token_secret_metadata(resource_version="9", content="older")) is None
    assert [stored.content for stored in cache.token_secrets(KEY)] == ["content-1"]


def test_a_deleted_token_secret_is_forgotten_alone() -> None:
    cache = Cache()
    cache.store_secret(credential_metadata())
    cache.store_secret(token_secret_metadata("old"))
    cache.store_secret(token_secret_metadata("new"))
    assert cache.drop_secret(token_secret_metadata("old", resource_version="20")) == KEY
    assert [stored.name for stored in cache.token_secrets(KEY)] == ["new"]
    assert version_of(cache) == "7"


def test_a_late_deletion_does_not_take_the_next_token_secret() -> None:
    """We delete one and write it anew before the watch tells of the deletion."""
    cache = Cache()
    cache.store_secret(token_secret_metadata(resource_version="12"))
    assert cache.drop_secret(token_secret_metadata(resource_version="11")) is None
    assert [stored.resource_version for stored in cache.token_secrets(KEY)] == ["12"]


# Comparing with a full list.


def test_the_secrets_remembered_are_listed_by_the_watch_that_shows_them() -> None:
    cache = Cache()
    cache.store_datasource(datasource())
    assert names_in(cache) == {}
    cache.store_secret(credential_metadata())
    cache.store_secret(token_secret_metadata())
    cache.store_secret(token_secret_metadata("pull"), has_usual_type=False)
    assert names_in(cache) == {
        Source.CREDENTIALS: [(KEY, "calendar-oauth2-credential")],
        Source.TOKENS: [(KEY, "calendar-token")],
        Source.OTHER_TOKENS: [(KEY, "pull")],
    }


def test_a_label_makes_no_credential_of_a_secret() -> None:
    """Anybody who may write Secrets can label one; the type of a credential takes more."""
    cache = Cache()
    cache.store_secret(credential_metadata(), has_usual_type=False)
    assert cache.credential(KEY) is None
    assert cache.token_secrets(KEY) == ()


def test_a_copy_is_nobodys_to_give_up() -> None:
    cache = Cache()
    cache.store_secret(token_secret_metadata("mine"))
    cache.store_secret(token_secret_metadata("copied", manager="kubectl-create"))
    assert cache.holder(NAMESPACE, "mine") == KEY
    assert cache.holder(NAMESPACE, "copied") is None
    assert cache.holder(NAMESPACE, "nobodys") is None


def test_what_a_full_list_no_longer_has_is_forgotten_by_name() -> None:
    cache = Cache()
    cache.store_secret(credential_metadata())
    cache.store_secret(token_secret_metadata())
    cache.drop_secret_named(KEY, "calendar-token")
    assert cache.token_secrets(KEY) == ()
    assert version_of(cache) == "7"
    cache.drop_secret_named(KEY, "calendar-oauth2-credential")
    assert names_in(cache) == {}
    cache.drop_secret_named(KEY, "calendar-token")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_nothing_is_left_of_what_is_gone(order: tuple[int, ...]) -> None:
    """Else ten thousand deleted Datasources would stay in memory."""
    cache = Cache()
    cache.store_datasource(datasource())
    cache.store_secret(credential_metadata())
    cache.store_secret(token_secret_metadata())
    drops = (
        lambda: cache.drop_datasource(KEY),
        lambda: cache.drop_secret(credential_metadata()),
        lambda: cache.drop_secret(token_secret_metadata()),
    )
    for number in order:
        drops[number]()
    assert cache == Cache()


def test_a_tombstone_is_remembered_as_one() -> None:
    cache = Cache()
    cache.store_secret(credential_metadata(fingerprint=None, tombstone=Reason.CREDENTIAL_CLEARED))
    stored = cache.credential(KEY)
    assert isinstance(stored, StoredTombstone)
    assert stored.facts.reason is Reason.CREDENTIAL_CLEARED


def test_a_credential_says_whether_somebody_began_to_refresh_it() -> None:
    cache, intent = Cache(), Intent("0a", "process", "pod", NOW)
    cache.store_secret(credential_metadata(resource_version="7", intent=intent.encode()))
    assert cache.refreshes_begun() == [KEY]
    cache.store_secret(credential_metadata(resource_version="8"))
    assert cache.refreshes_begun() == []
    cache.store_secret(credential_metadata(resource_version="9", intent=intent.encode()))
    cache.hear(*KEY, None)
    assert cache.refreshes_begun() == []


def test_a_revocation_that_is_due_is_known_until_it_is_done_or_the_secret_is_gone() -> None:
    cache, until = Cache(), "2026-07-01T12:05:00Z"
    due: dict[str, Any] = {"tombstone": Reason.CREDENTIAL_CLEARED, "fingerprint": None, "revoke_until": until}
    cache.store_secret(credential_metadata(resource_version="7", **due))
    assert (cache.revocations_due(), cache.revocation_is_due(KEY)) == ([KEY], True)
    cache.store_secret(credential_metadata(resource_version="8", **due | {"revoke_until": None}))
    assert (cache.revocations_due(), cache.revocation_is_due(KEY)) == ([], False)
    cache.store_secret(credential_metadata(resource_version="9", **due))
    cache.drop_secret_named(KEY, "calendar-oauth2-credential")
    assert cache == Cache()


@pytest.mark.parametrize("name", ["calendar-token", "orders-token", "pull", "calendar-oauth2-credential"])
def test_whose_a_token_secret_is_is_known_whatever_its_name_says(name: str) -> None:
    """A name may say of itself that it is another's."""
    cache, metadata = Cache(), token_secret_metadata(name)
    assert cache.owner(metadata) is None
    cache.store_secret(metadata)
    assert cache.owner(metadata) == KEY
    cache.drop_secret(metadata)
    assert (cache.owner(metadata), cache) == (None, Cache())


def test_what_is_kept_is_what_was_seen() -> None:
    cache = Cache()
    whole = datasource(annotations={Annotation.REFRESH: "1"})
    cache.store_datasource(whole)
    cache.store_secret(credential_metadata())
    assert [*cache.pairs()] == [(whole, cache.credential(KEY))]
    assert cache.datasource(KEY) == whole
    assert cache.has_datasource(KEY)
    assert not cache.has_datasource(Key(NAMESPACE, "orders"))


# What a tenant may write onto a Secret: Kubernetes bounds annotations (256 KiB), names, and the whole (1.5 MiB), and no more.

MANY = 20_000
LONG = "x" * 250_000
NUMBERS = tuple(f"{number:x}" for number in range(MANY))

HOSTILE_CREDENTIALS: dict[str, dict[str, Any]] = {
    "scopes": {"annotations": {"granted_scopes": " ".join(NUMBERS), "requested_scopes": " ".join(NUMBERS)}},
    "handled requests": {"annotations": {"handled": msgspec.json.encode({"refresh": NUMBERS}).decode()}},
    "long handled requests": {"annotations": {"handled": msgspec.json.encode({"clearCredential": [LONG]}).decode()}},
    "labels written": {"annotations": {"template": msgspec.json.encode({"hash": "a", "labels": NUMBERS}).decode()}},
    "a hash of labels": {"annotations": {"template": msgspec.json.encode({"hash": LONG}).decode()}},
    "promises": {
        "annotations": {
            "promised": msgspec.json.encode(
                {"issuer": "https://login.example.com", "token_endpoint_auth_methods_supported": NUMBERS}
            ).decode()
        }
    },
    "an account": {"annotations": {"authorized_as": LONG}},
    "a verdict": {"annotations": {"verdict_message": LONG}},
    "a credential ID": {"annotations": {"credential_id": LONG}},
    "a fingerprint": {"annotations": {"fingerprint": LONG}},
    "who stored it": {"annotations": {"stored_by": LONG}},
    "finalizers": {"finalizers": tuple(f"a.example.com/{number}" for number in NUMBERS)},
    "long finalizers": {"finalizers": tuple(f"a.example.com/{number:0>60}" for number in NUMBERS[:200])},
    "owners": {"owner_references": tuple(OwnerReference(number, number, number, number) for number in NUMBERS)},
    "an owner's name": {"owner_references": (OwnerReference("uid", "Pod", LONG, LONG),)},
    "an owner's kind": {"owner_references": (OwnerReference(LONG, "Pod"), OwnerReference("uid", LONG))},
    "annotations of others": {"annotations": {"link": LONG}},
}

HOSTILE_TOKENS: dict[str, dict[str, Any]] = {
    "a Datasource's name": {"annotations": {"datasource": LONG}},
    "content": {"annotations": {"content": LONG}},
    "fields under our name": {
        "managed_fields": (
            ManagedFields(FIELD_MANAGER, "Update", "", {"f:data": {f"f:{each}": {} for each in NUMBERS}}),
        )
    },
    "fields of others": {
        "managed_fields": (ManagedFields("kubectl", "Update", "", {"f:data": {f"f:{each}": {} for each in NUMBERS}}),)
    },
    "labels": {"labels": dict.fromkeys(NUMBERS, "")},
    "owners": HOSTILE_CREDENTIALS["owners"],
}


def _hostile(usual: Metadata, changes: dict[str, Any]) -> bytes:
    """As it comes from the API server."""
    own = {Annotation[key.upper()]: value for key, value in changes.get("annotations", {}).items()}
    told = msgspec.structs.replace(usual, **changes | {"annotations": usual.annotations | own})
    return msgspec.json.encode(told)


def _bytes_kept(cache: Cache) -> int:
    return sum(sys.getsizeof(each) for each in reachable(cache))


@pytest.mark.parametrize("name", HOSTILE_CREDENTIALS)
def test_whatever_is_written_onto_a_credential_secret_little_of_it_stays_in_memory(name: str) -> None:
    """200 of them, as the quota in docs/admin.md lets one tenant have, must not fill the memory that all share."""
    cache = Cache()
    raw = _hostile(credential_metadata(), HOSTILE_CREDENTIALS[name])
    assert len(raw) > 10_000
    cache.store_secret(msgspec.json.decode(raw, type=Metadata))
    assert cache.credential(KEY) is not None
    assert _bytes_kept(cache) < 300_000


@pytest.mark.parametrize("name", HOSTILE_TOKENS)
@pytest.mark.parametrize("has_usual_type", [True, False])
def test_whatever_is_written_onto_a_token_secret_little_of_it_stays_in_memory(name: str, has_usual_type: bool) -> None:
    """Anybody who may write Secrets may label one, whatever its type."""
    cache = Cache()
    raw = _hostile(token_secret_metadata(), HOSTILE_TOKENS[name])
    cache.store_secret(msgspec.json.decode(raw, type=Metadata), has_usual_type=has_usual_type)
    assert _bytes_kept(cache) < 200_000


def test_a_secret_that_names_what_is_no_name_is_nobodys() -> None:
    cache = Cache()
    hostile = token_secret_metadata(datasource="x" * 254)
    assert cache.store_secret(hostile) is None
    assert cache.drop_secret(hostile) is None
    assert list(cache.secret_names(Source.TOKENS)) == []
    assert cache.store_secret(token_secret_metadata(datasource="x" * 253)) == Key(NAMESPACE, "x" * 253)


def test_fields_of_ours_are_known_however_many_somebody_else_wrote_under_our_name() -> None:
    """Else the token Secret would be taken for one that differs, and be written again for ever."""
    ours = token_secret_metadata()
    many = ManagedFields(FIELD_MANAGER, "Update", "", {"f:data": {f"f:{number}": {} for number in NUMBERS}})
    cache = Cache()
    cache.store_secret(msgspec.structs.replace(ours, managed_fields=(many, *ours.managed_fields)))
    (stored,) = cache.token_secrets(KEY)
    assert stored.fields >= {"data/access_token", "data/token_type", "data/expires_at"}
    assert not stored.is_copy
