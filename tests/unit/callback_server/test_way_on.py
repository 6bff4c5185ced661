"""Who looks at a page, as its top tells."""

import pytest

from callback_server.way_on import LONGEST_USER, Account


@pytest.mark.parametrize("more", [0, 1])
def test_name_is_whole_where_it_fits_two_lines(more: int) -> None:
    name = "a" * (sum(LONGEST_USER) + more)
    assert Account(name, "/sign-out", "t").short_user == name


def test_both_ends_of_a_long_name_are_told() -> None:
    begins, ends = LONGEST_USER
    account = Account("a" * 500 + "b" * 500, "/sign-out", "t")
    assert account.short_user == "a" * begins + "…" + "b" * ends
