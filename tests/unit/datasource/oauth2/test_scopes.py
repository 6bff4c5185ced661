"""Scopes that were asked for against those that were granted."""

import pytest

from datasource.oauth2.scopes import MOST_NAMED, scopes_not_granted


@pytest.mark.parametrize(
    ("requested", "granted", "missing"),
    [
        ("read write", "read", ("write",)),
        ("read write", "write read more", ()),
        ("read", "", ()),
        ("", "read", ()),
        ("openid offline_access email read", "read", ()),
        ("User.Read", "https://graph.microsoft.com/user.read", ()),
        ("https://graph.microsoft.com/User.Read", "User.Read", ()),
        ("https://www.googleapis.com/auth/drive", "https://www.googleapis.com/auth/drive.file", (None,)),
        ("crm/read", "read", ("crm/read",)),
        ("https://api.example.com/", "https://api.example.com", ()),
        ("repo gist", "repo,gist", ()),
        ("repo gist user", "repo,;user", ("gist",)),
        ("read write", "read|write", ()),
        ("https://a.example/auth/x y", "https://a.example/auth/x+y", ()),
        ("crm+all", "crm+all", ()),
        ("499b84ac-1321/.default", "499b84ac-1321/user_impersonation", ()),
        ("https://graph.microsoft.com/.default", "User.Read", ()),
        ("https://graph.microsoft.com/.DEFAULT mail", "User.Read", ("mail",)),
    ],
)
def test_what_was_not_granted_is_named(requested: str, granted: str, missing: tuple[str | None, ...]) -> None:
    expected = tuple(requested if scope is None else scope for scope in missing)
    assert scopes_not_granted(requested.split(), granted.split()) == expected


def test_of_many_the_first_are_named_and_the_others_counted() -> None:
    named = scopes_not_granted([f"s-{number}" for number in range(MOST_NAMED + 3)], ["other"])
    assert (named[0], named[-1], len(named)) == ("s-0", "and 3 more", MOST_NAMED + 1)


INCLUDED = {
    "admin:org": ("write:org",),
    "write:org": ("read:org",),
    "user": ("user:email",),
    "a": ("b",),
    "b": ("a",),
    "write_*": ("read_*", "list_*"),
}


@pytest.mark.parametrize(
    ("requested", "granted", "missing"),
    [
        ("user user:email", "user", ()),
        ("user user:email", "user:email", ("user",)),
        ("read:org admin:org gist", "admin:org", ("gist",)),
        ("write:org", "read:org", ("write:org",)),
        ("b", "a", ()),
        ("user:email read:org", "user,write:org", ()),
        ("read_orders write_orders list_orders", "write_orders", ()),
        ("read_orders write_products", "write_products", ("read_orders",)),
        ("write_orders", "read_orders", ("write_orders",)),
    ],
)
def test_scope_within_another_that_was_granted_is_granted(
    requested: str, granted: str, missing: tuple[str, ...]
) -> None:
    """GitHub names the wider one alone."""
    assert scopes_not_granted(requested.split(), granted.split(), INCLUDED) == missing
