"""Sessions as they are stored: whose browser gets in, for how long, and what a read of the Secret gives away."""

import json
from base64 import b64decode
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from datasource.api.names import SESSION_SLOTS, Annotation, SecretType, uid_digest
from datasource.api.objects import Metadata, Secret
from datasource.oauth2.id_token import LEEWAY
from datasource.oauth2.kubernetes_user import EVERYBODY, User
from datasource.records.flow import FlowKey, key_hash, new_flow_key
from datasource.records.link_keys import KEY_LIFETIME, LENIENCE, LinkKeys, Purpose
from datasource.records.session import (
    SESSION_LIFETIME,
    Session,
    UnreadableSession,
    digest_of_settings,
    ended_patch,
    holds,
    new_session_key,
    read_session,
    replacement_patch,
    secret_name,
    session_key_in,
    session_manifest,
)
from tests.support.builders import NOW
from tests.support.merge_patch import merge_patched

ADA = User("ada", ("dev", EVERYBODY))
BY = digest_of_settings("https://login.example.com", "connect")
KEYS = LinkKeys().renewed(NOW - timedelta(days=1), lambda size: bytes(size))


def key(user: User = ADA, slot: int = 3) -> FlowKey:
    made = KEYS.for_links(NOW)
    assert made is not None
    return new_session_key(user, slot, lambda size: bytes(range(size)), made)


def session(**changes: Any) -> Session:
    made = Session(key_hash=key_hash(key()), user=ADA, signed_in_by=BY, created_at=NOW)
    return msgspec.structs.replace(made, **changes)


def lives(found: Session, **changes: Any) -> bool:
    return holds(found, changes.get("key", key()), signed_in_by=changes.get("by", BY), now=changes.get("now", NOW))


def test_what_the_browser_keeps_leads_to_the_session() -> None:
    found = session_key_in(key().text, KEYS, NOW)
    assert found is not None
    assert secret_name(found) == f"datasource-session-{uid_digest('ada')}-3"
    assert lives(session(), key=found)


@pytest.mark.parametrize("slot", range(SESSION_SLOTS))
def test_every_slot_can_be_named(slot: int) -> None:
    assert session_key_in(key(slot=slot).text, KEYS, NOW) is not None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("x", id="no key"),
        pytest.param(key().text[:-16], id="no mark"),
        pytest.param(key().text[:-16] + "A" * 16, id="a mark of nobody"),
        pytest.param(key().text.replace("-3.", "-4."), id="another slot"),
        pytest.param(
            new_flow_key("ada", 3, lambda size: bytes(size), lambda text: KEYS.keys[0].mark(Purpose.STATE, text)).text,
            id="the state of an authorization",
        ),
        pytest.param(
            new_flow_key("ada", 3, lambda size: bytes(size), lambda text: KEYS.keys[0].mark(Purpose.DONE, text)).text,
            id="the id of a done page",
        ),
    ],
)
def test_what_we_did_not_make_for_a_session_leads_nowhere(text: str) -> None:
    assert session_key_in(text, KEYS, NOW) is None


def test_without_link_keys_nobody_is_in_a_session() -> None:
    assert session_key_in(key().text, LinkKeys(), NOW) is None
    just_made = LinkKeys().renewed(NOW, lambda size: b"x" * size)
    assert session_key_in(key().text, just_made, NOW + LENIENCE / 2) is None


def test_key_before_is_known_after_a_new_one_was_made() -> None:
    later = NOW + KEY_LIFETIME
    renewed = KEYS.renewed(later, lambda size: b"y" * size)
    assert len(renewed.keys) == 2
    assert session_key_in(key().text, renewed, later) is not None


def test_session_ends_an_hour_after_sign_in_whatever_is_done() -> None:
    assert lives(session(), now=NOW + SESSION_LIFETIME - timedelta(seconds=1))
    assert not lives(session(), now=NOW + SESSION_LIFETIME)


def test_session_that_begins_later_is_none() -> None:
    """A stolen token writes what it likes; no session outlasts the theft by more than an hour and a clock that is off."""
    assert lives(session(created_at=NOW + LEEWAY))
    assert not lives(session(created_at=NOW + LEEWAY + timedelta(seconds=1)))
    assert not lives(session(created_at=NOW + timedelta(days=3650)))


def test_session_is_of_one_browser_and_of_one_way_to_sign_in() -> None:
    assert not lives(session(key_hash=key_hash(key(slot=4))))
    assert not lives(session(), by=digest_of_settings("https://other.example.com", "connect"))
    # No concatenation is taken for another.
    assert digest_of_settings("a", "bc") != digest_of_settings("ab", "c")


def as_secret(manifest: dict[str, Any], version: str = "7") -> Secret:
    metadata = manifest["metadata"] | {"resourceVersion": version}
    return msgspec.convert(manifest | {"metadata": metadata}, Secret)


def test_session_is_read_as_it_was_written() -> None:
    read = read_session(as_secret(session_manifest(session(), key(), system_namespace="datasource-system")))
    assert (read.session, read.resource_version) == (session(), "7")


def test_secret_says_when_it_may_be_swept_and_lets_nobody_in() -> None:
    manifest = session_manifest(session(), key(), system_namespace="datasource-system")
    assert manifest["type"] == "datasource.dev/session"
    assert manifest["metadata"]["namespace"] == "datasource-system"
    assert manifest["metadata"]["annotations"] == {
        Annotation.ROLE: "session",
        Annotation.EXPIRES_AT: "2026-07-01T13:00:00Z",
    }
    stored = json.dumps(manifest) + b64decode(manifest["data"]["session"]).decode()
    assert key().text.partition(".")[2][:43] not in stored


def test_another_session_takes_the_place_of_one() -> None:
    before = session_manifest(session(), key(), system_namespace="datasource-system")
    another = session(created_at=NOW + timedelta(hours=2))
    patch = replacement_patch(another, key(), resource_version="7")
    assert patch["metadata"]["resourceVersion"] == "7"
    after = as_secret(merge_patched(before, patch))
    assert read_session(after).session == another
    assert after.metadata.annotations[Annotation.EXPIRES_AT] == "2026-07-01T15:00:00Z"


def test_ended_session_is_none_and_may_be_swept_at_once() -> None:
    before = session_manifest(session(), key(), system_namespace="datasource-system")
    after = as_secret(merge_patched(before, ended_patch("7", NOW)))
    assert after.metadata.annotations[Annotation.EXPIRES_AT] == "2026-07-01T12:00:00Z"
    with pytest.raises(UnreadableSession):
        read_session(after)


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param(Secret(Metadata("s"), type=SecretType.FLOW), id="of another type"),
        pytest.param(Secret(Metadata("s"), type=SecretType.SESSION), id="no data"),
        pytest.param(Secret(Metadata("s"), type=SecretType.SESSION, data={"session": "?"}), id="no base64"),
        pytest.param(Secret(Metadata("s"), type=SecretType.SESSION, data={"session": "e30="}), id="empty"),
    ],
)
def test_what_is_no_session_is_told_as_such(secret: Secret) -> None:
    with pytest.raises(UnreadableSession):
        read_session(secret)


@pytest.mark.parametrize("user", [User("system:admin"), User("ada", ("system:masters", EVERYBODY))])
def test_session_that_somebody_wrote_for_the_cluster_s_own_is_none(user: User) -> None:
    made = session_manifest(session(user=user), key(), system_namespace="datasource-system")
    with pytest.raises(UnreadableSession):
        read_session(as_secret(made))


def test_session_in_a_log_tells_neither_key_nor_groups() -> None:
    assert repr(session()) == "Session(User('ada', 2 groups))"
