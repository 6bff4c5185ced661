"""Keys that mark links and states: made, replaced, read, and never a reason to lose what a person began."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.names import SecretType
from datasource.api.objects import Secret
from datasource.records.link_keys import (
    KEY_LIFETIME,
    KNOWN_AFTER,
    LENIENCE,
    LinkKeys,
    Origin,
    Purpose,
    UnreadableLinkKeys,
    link_keys_manifest,
    link_keys_patch,
    read_link_keys,
)
from tests.unit.datasource.builders import NOW, secret

INSTANT = timedelta(microseconds=1)


def made(byte: bytes = b"k") -> LinkKeys:
    return LinkKeys().renewed(NOW, lambda size: byte * size)


def stored(body: Any) -> Secret:
    return msgspec.json.decode(msgspec.json.encode(body), type=Secret)


def mark(keys: LinkKeys, purpose: Purpose = Purpose.STATE, text: str = "text") -> str:
    return keys.keys[0].mark(purpose, text)


# Making and replacing.


def test_first_key_has_256_random_bits() -> None:
    asked: list[int] = []

    def token_bytes(size: int) -> bytes:
        asked.append(size)
        return b"x" * size

    keys = LinkKeys().renewed(NOW, token_bytes)
    assert asked == [32]
    assert keys.since == NOW


def test_key_is_replaced_when_its_time_is_over_and_the_one_before_stays_valid() -> None:
    first = made()
    assert first.renewed(NOW + KEY_LIFETIME - INSTANT, lambda size: b"n" * size) is first
    second = first.renewed(NOW + KEY_LIFETIME, lambda size: b"n" * size)
    assert second.keys[1:] == first.keys
    assert second.since == NOW
    third = second.renewed(NOW + 2 * KEY_LIFETIME, lambda size: b"m" * size)
    assert third.keys[1:] == second.keys[:1]


def test_new_key_marks_nothing_until_every_replica_knows_it() -> None:
    turned = NOW + KEY_LIFETIME
    keys = made().renewed(turned, lambda size: b"n" * size)
    old, new = mark(made()), mark(keys)
    for moment, expected in [(turned, old), (turned + KNOWN_AFTER - INSTANT, old), (turned + KNOWN_AFTER, new)]:
        assert keys.mark(Purpose.STATE, "text", moment) == expected


def test_first_key_marks_links_at_once_and_states_when_every_replica_knows_it() -> None:
    # Whoever has no keys yet looks everything up; whoever has those from before they were lost takes no mark of these.
    assert made().for_links(NOW) == made().keys[0]
    assert made().mark(Purpose.STATE, "text", NOW) == ""
    assert made().mark(Purpose.STATE, "text", NOW + KNOWN_AFTER) == mark(made())


def test_without_keys_nothing_is_marked() -> None:
    assert LinkKeys().for_links(NOW) is None
    assert LinkKeys().mark(Purpose.STATE, "text", NOW) == ""
    assert LinkKeys().newest() is None


# Telling.


def test_mark_is_known_for_its_purpose_and_text_only() -> None:
    keys, later = made(), NOW + LENIENCE
    assert keys.origin(Purpose.STATE, "text", mark(keys), later) is Origin.OURS
    assert keys.origin(Purpose.DONE, "text", mark(keys), later) is Origin.FORGED
    assert keys.origin(Purpose.STATE, "text2", mark(keys), later) is Origin.FORGED


def test_what_has_no_mark_is_never_taken_for_forged() -> None:
    assert made().origin(Purpose.TICKET, "text", "", NOW + KEY_LIFETIME) is Origin.UNKNOWN


def test_without_keys_everything_is_looked_up() -> None:
    assert LinkKeys().origin(Purpose.STATE, "text", mark(made()), NOW) is Origin.UNKNOWN


def test_mark_of_a_lost_key_is_looked_up_for_longer_than_any_flow_lives() -> None:
    lost, keys = made(b"l"), made()
    assert keys.origin(Purpose.STATE, "text", mark(lost), NOW + LENIENCE - INSTANT) is Origin.UNKNOWN
    assert keys.origin(Purpose.STATE, "text", mark(lost), NOW + LENIENCE) is Origin.FORGED


def test_replacing_a_key_makes_nobody_lenient() -> None:
    keys = made().renewed(NOW + KEY_LIFETIME, lambda size: b"n" * size)
    assert keys.origin(Purpose.STATE, "text", mark(made(b"l")), NOW + KEY_LIFETIME) is Origin.FORGED


@given(presented=st.text(min_size=1))
def test_no_text_raises_or_passes_for_a_mark(presented: str) -> None:
    assert made().origin(Purpose.STATE, "text", presented, NOW + LENIENCE) is Origin.FORGED


# The Secret.


def test_what_was_written_is_read_back() -> None:
    body = link_keys_manifest(made(), system_namespace="datasource-system")
    assert body["metadata"]["name"] == "datasource-link-keys"
    assert body["type"] == "datasource.dev/link-keys"
    assert read_link_keys(stored(body)) == made()


def test_replacement_is_a_compare_and_swap() -> None:
    patch = link_keys_patch(made(), resource_version="7")
    assert patch["metadata"] == {"resourceVersion": "7"}
    assert patch["data"] == link_keys_manifest(made(), system_namespace="")["data"]


WRITTEN = msgspec.json.encode(made()).decode()


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(secret({"keys": WRITTEN}, type_="Opaque"), id="another type of Secret"),
        pytest.param(secret({}, type_=SecretType.LINK_KEYS), id="no data"),
        pytest.param(secret({"keys": "{}"}, type_=SecretType.LINK_KEYS), id="no key in it"),
        pytest.param(secret({"keys": WRITTEN[:-1]}, type_=SecretType.LINK_KEYS), id="cut short"),
        pytest.param(secret({"keys": b"\xff"}, type_=SecretType.LINK_KEYS), id="no text"),
        pytest.param(
            secret({"keys": WRITTEN.replace(made().keys[0].text, "a2V5")}, type_=SecretType.LINK_KEYS), id="a short key"
        ),
        pytest.param(
            secret({"keys": WRITTEN.replace(made().keys[0].text, "?")}, type_=SecretType.LINK_KEYS), id="no base64"
        ),
        pytest.param(
            secret(
                {"keys": msgspec.json.encode({"keys": msgspec.to_builtins(made())["keys"]})},
                type_="datasource.dev/link-keys",
            ),
            id="no beginning",
        ),
    ],
)
def test_secret_that_holds_no_keys_is_unreadable(broken: Secret) -> None:
    with pytest.raises(UnreadableLinkKeys):
        read_link_keys(broken)


def test_no_key_prints() -> None:
    assert made().keys[0].text not in repr(made())
