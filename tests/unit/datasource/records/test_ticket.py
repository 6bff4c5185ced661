"""Tickets: random, and bound to what they were issued for."""

import dataclasses
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.records.link_keys import KEY_LIFETIME, KNOWN_AFTER, LENIENCE, LinkKeys, Origin
from datasource.records.ticket import (
    TicketScope,
    is_ticket,
    issue_ticket,
    marked_ticket,
    same_ticket,
    standing_ticket,
    ticket_fits,
    ticket_hash,
    ticket_origin,
)
from tests.unit.datasource.builders import NOW

SCOPE = TicketScope(uid="uid-1", parameters_hash="hash-1", replaces="cred-1")


def ticket(scope: TicketScope = SCOPE, random: bytes = b"\x00" * 24) -> str:
    return issue_ticket(scope, lambda _: random)


def test_ticket_is_48_url_safe_characters_of_which_192_bits_are_random() -> None:
    asked: list[int] = []

    def token_bytes(count: int) -> bytes:
        asked.append(count)
        return b"\xff" * count

    issued = issue_ticket(SCOPE, token_bytes)
    assert asked == [24]
    assert len(issued) == 48
    assert set(issued) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert issued.startswith("_" * 32)


def test_binding_is_pinned() -> None:
    # Tickets stand in the status: a new version of the operator must know those of the old one.
    assert ticket() == "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" + "W1HBV222wuIRw1VQ"


def test_ticket_fits_what_it_was_issued_for() -> None:
    assert ticket_fits(ticket(), SCOPE)


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param(dataclasses.replace(SCOPE, uid="uid-2"), id="another Datasource of the same name"),
        pytest.param(dataclasses.replace(SCOPE, parameters_hash="hash-2"), id="other parameters"),
        pytest.param(dataclasses.replace(SCOPE, replaces="cred-2"), id="another credential"),
        pytest.param(dataclasses.replace(SCOPE, replaces=""), id="no credential"),
        pytest.param(
            TicketScope(uid="uid-1hash-1", parameters_hash="", replaces="cred-1"), id="the same text, cut elsewhere"
        ),
    ],
)
def test_ticket_ends_with_what_it_was_issued_for(scope: TicketScope) -> None:
    assert not ticket_fits(ticket(), scope)


@pytest.mark.parametrize(
    "altered",
    [
        pytest.param("", id="nothing"),
        pytest.param("A" * 32, id="the random part alone"),
        pytest.param("A" * 48, id="a guessed binding"),
        pytest.param("B" + ticket()[1:], id="another random part"),
        pytest.param(ticket()[:-1], id="one character less"),
        pytest.param(ticket() + "A", id="one character more"),
        pytest.param("ü" * 48, id="characters beyond ASCII"),
    ],
)
def test_altered_ticket_does_not_fit(altered: str) -> None:
    assert not ticket_fits(altered, SCOPE)
    assert not same_ticket(altered, ticket())


def test_ticket_is_compared_with_the_live_one() -> None:
    assert same_ticket(ticket(), ticket())
    assert not same_ticket(ticket(), ticket(random=b"\x01" * 24))


def test_two_tickets_of_one_scope_differ() -> None:
    assert ticket(random=b"\x01" * 24) != ticket(random=b"\x02" * 24)


def test_used_ticket_is_recorded_by_its_hash() -> None:
    assert ticket_hash("t") == hashlib.sha256(b"t").hexdigest()


_scopes = st.builds(
    TicketScope, uid=st.uuids().map(str), parameters_hash=st.text("0123456789abcdef"), replaces=st.text("ab-1")
)


@given(scope=_scopes, other=_scopes, random=st.binary(min_size=24, max_size=24))
def test_ticket_fits_its_scope_and_no_other(scope: TicketScope, other: TicketScope, random: bytes) -> None:
    issued = ticket(scope, random)
    assert ticket_fits(issued, scope)
    assert ticket_fits(issued, other) is (scope == other)


@pytest.mark.parametrize(
    "text", ["", "x", "A" * 47, "A" * 49, "A" * 47 + "=", "A" * 47 + "\n", "Ä" * 48, "\x00" * 48, " " + "A" * 47]
)
def test_what_looks_like_no_ticket_is_told_without_looking_anything_up(text: str) -> None:
    assert not is_ticket(text)


def test_every_ticket_looks_like_one() -> None:
    for number in range(256):
        assert is_ticket(ticket(random=bytes([number]) * 24))


# Marks.

OLD = LinkKeys().renewed(NOW, lambda size: b"1" * size)
TURNED = NOW + KEY_LIFETIME
BOTH = OLD.renewed(TURNED, lambda size: b"2" * size)
PLACE = ("shop", "sales")


def marked(keys: LinkKeys = OLD) -> str:
    return marked_ticket(ticket(), *PLACE, keys, NOW)


def test_marked_ticket_is_the_same_ticket() -> None:
    assert len(marked()) == 64
    assert is_ticket(marked())
    assert ticket_fits(marked(), SCOPE)
    assert same_ticket(marked(), ticket())
    assert same_ticket(ticket(), marked())
    assert ticket_hash(marked()) == ticket_hash(ticket())


@pytest.mark.parametrize(
    ("presented", "origin"),
    [
        pytest.param(marked(), Origin.OURS, id="as it was made"),
        pytest.param(ticket(), Origin.UNKNOWN, id="without a mark, as in v0.1.0"),
        pytest.param(ticket(random=b"x" * 24) + marked()[48:], Origin.FORGED, id="the mark of another"),
        pytest.param(marked()[:-1] + "_", Origin.FORGED, id="one bit of the mark"),
        pytest.param("A" * 64, Origin.FORGED, id="a guess"),
    ],
)
def test_origin_of_a_ticket_is_told_by_its_mark(presented: str, origin: Origin) -> None:
    assert ticket_origin(presented, *PLACE, OLD, NOW + LENIENCE) is origin


@pytest.mark.parametrize("place", [("shop", "other"), ("other", "sales"), ("sho", "psales"), ("shop\nsales", "")])
def test_mark_holds_at_one_door_only(place: tuple[str, str]) -> None:
    assert ticket_origin(marked(), *place, OLD, NOW + LENIENCE) is Origin.FORGED


def test_link_holds_while_its_key_is_one_of_two() -> None:
    assert ticket_origin(marked(), *PLACE, BOTH, TURNED) is Origin.OURS
    later = BOTH.renewed(TURNED + KEY_LIFETIME, lambda size: b"3" * size)
    assert ticket_origin(marked(), *PLACE, later, TURNED + KEY_LIFETIME) is Origin.FORGED


def test_link_that_stands_gets_the_mark_of_the_new_key_once_every_replica_knows_it() -> None:
    assert standing_ticket(marked(), *PLACE, BOTH, TURNED) == marked()
    moved = standing_ticket(marked(), *PLACE, BOTH, TURNED + KNOWN_AFTER)
    assert moved != marked()
    assert same_ticket(moved, marked())
    assert standing_ticket(moved, *PLACE, BOTH, TURNED + KNOWN_AFTER) == moved


@pytest.mark.parametrize("keys", [LinkKeys(), OLD, BOTH])
def test_link_of_an_older_version_is_not_written_again_because_there_are_keys_now(keys: LinkKeys) -> None:
    assert standing_ticket(ticket(), *PLACE, keys, TURNED) == ticket()


def test_link_is_left_alone_while_there_are_no_keys() -> None:
    assert standing_ticket(marked(), *PLACE, LinkKeys(), NOW) == marked()
    assert marked_ticket(ticket(), *PLACE, LinkKeys(), NOW) == ticket()
