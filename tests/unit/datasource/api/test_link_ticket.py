"""Links with a ticket where people sign in: made by who may patch the Datasource, kept as a hash, ended by any edit."""

import pytest

from datasource.api.link_ticket import is_asked_for, is_offered, kept, new_ticket, with_ticket
from datasource.api.names import Annotation, ticket_in
from datasource.records.ticket import is_ticket

TICKET = new_ticket(lambda size: b"t" * size)
ASKED: dict[str, str] = {Annotation.LINK: "Ticket"}
PAGE = "https://connect.example.com/tokens/datasources/shop/calendar"


def offers(**annotations: str) -> bool:
    return is_offered(ASKED | {Annotation.LINK_TICKET: kept(TICKET, 3)} | annotations, 3, TICKET)


def test_ticket_is_one_for_the_pages_and_has_288_random_bits() -> None:
    asked: list[int] = []
    assert is_ticket(new_ticket(lambda size: asked.append(size) or b"x" * size))  # type: ignore[func-returns-value]
    assert asked == [36]


def test_ticket_that_was_made_is_offered_and_cannot_be_read_from_what_is_kept() -> None:
    assert offers()
    assert TICKET not in kept(TICKET, 3)


@pytest.mark.parametrize("asks", [{}, {Annotation.LINK: ""}, {Annotation.LINK: "ticket"}])
def test_nothing_is_offered_where_nobody_asks_for_it(asks: dict[str, str]) -> None:
    assert not is_asked_for(asks)
    assert not is_offered(asks | {Annotation.LINK_TICKET: kept(TICKET, 3)}, 3, TICKET)


@pytest.mark.parametrize("there", ["", "3", kept(TICKET, 2), kept(new_ticket(lambda size: b"u" * size), 3), "\ud800 3"])
def test_ticket_ends_with_an_edit_and_with_the_next_ticket(there: str) -> None:
    assert not is_offered(ASKED | {Annotation.LINK_TICKET: there}, 3, TICKET)


def test_ticket_of_nobody_fits_no_missing_annotation() -> None:
    assert not is_offered(ASKED, 3, "")
    assert not is_offered(ASKED, 3, TICKET)


def test_link_begins_where_that_of_the_page_does() -> None:
    link = with_ticket(PAGE, "shop", "calendar", TICKET)
    assert link == f"https://connect.example.com/tokens/authorize/shop/calendar?ticket={TICKET}"
    assert ticket_in(link) == TICKET
    assert with_ticket(link, "shop", "calendar", TICKET) is None
    assert with_ticket(PAGE, "shop", "another", TICKET) is None
