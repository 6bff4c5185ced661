"""Where a sign-in leads back to: one of our pages, whatever somebody writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callback_server.signed_in.destinations import EVERYTHING, HOME, Destination, destination_of

DONE_ID = "0123456789abcdef-3." + "A" * 43


@pytest.mark.parametrize(
    ("path", "destination"),
    [
        ("/", HOME),
        ("/datasources", EVERYTHING),
        ("/datasources/shop", Destination("shop")),
        ("/datasources/shop/calendar", Destination("shop", "calendar")),
        ("/datasources/shop/my.calendar-2", Destination("shop", "my.calendar-2")),
        (f"/done/{DONE_ID}", Destination(done_id=DONE_ID)),
        (f"/done/{DONE_ID}{'m' * 16}", Destination(done_id=DONE_ID + "m" * 16)),
    ],
)
def test_path_of_each_of_our_pages_leads_there_again(path: str, destination: Destination) -> None:
    assert destination_of(path) == destination
    assert destination.path == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "datasources/shop",
        "//evil.example.com",
        "///evil.example.com",
        "/\\evil.example.com",
        "/\t/evil.example.com",
        "https://evil.example.com/datasources/shop",
        "/datasources/",
        "/datasources?x=y",
        "datasources",
        "/datasources//calendar",
        "/datasources/shop/",
        "/datasources/shop/calendar/clear",
        "/datasources/shop/calendar?x=y",
        "/datasources/Shop",
        "/datasources/shop/..",
        "/datasources/shop/%2e%2e",
        "/datasources/shop\n",
        "/done/",
        "/done/x",
        f"/done/{DONE_ID}/x",
        "/sign-out",
        "/authorize/shop/calendar",
        "/callback/shop?code=x",
        "/datasources/" + "a" * 600,
    ],
)
def test_whatever_is_no_page_of_ours_leads_to_where_all_begins(path: str) -> None:
    assert destination_of(path) == HOME


@given(st.text(max_size=60) | st.from_regex(r"/datasources/.{0,20}", fullmatch=True))
def test_no_path_leads_out_of_our_pages(path: str) -> None:
    found = destination_of(path).path
    assert found in {"/", "/datasources"} or found.startswith(("/datasources/", "/done/"))
    assert "//" not in found
    assert "\\" not in found
