"""The done page: what it says of a credential that will be missed for something later."""

from dataclasses import replace
from typing import Any

from callback_server.done import gained, gaps
from callback_server.language import shown, texts_in
from datasource.records.credential import CredentialFacts
from tests.support.builders import NOW, credential, facts
from tests.unit.callback_server.test_consent import situation


def test_credential_that_is_all_that_was_asked_for_has_no_gaps() -> None:
    assert list(gaps(facts(requested_scopes=("openid", "read"), granted_scopes=("read",)), {})) == []


def test_scope_that_a_person_left_out_is_named() -> None:
    (gap,) = gaps(facts(requested_scopes=("read", "write"), granted_scopes=("read",)), {})
    assert gap == "The service did not grant everything that was requested. This is missing: write."


def test_scope_that_is_granted_with_another_is_not_told_as_missing() -> None:
    both = facts(requested_scopes=("user", "user:email", "gist"), granted_scopes=("user",))
    (gap,) = gaps(both, {"user": ("user:email",)})
    assert gap.endswith("This is missing: gist.")


def test_missing_refresh_token_is_told_with_the_time_to_come_back() -> None:
    (gap,) = gaps(CredentialFacts("c", expires_at=NOW), {})
    assert gap == "The service gave no refresh token, so a person has to authorize again on 1 July 2026, 12:00 UTC."
    german, french = (shown(gap, language, texts_in(language)) for language in ("de", "fr"))
    assert german.endswith("Am 1. Juli 2026, 12:00 UTC muss eine Person wieder zustimmen.")
    assert french.endswith("Une personne devra redonner son accord le 1er juillet 2026, 12:00 UTC.")
    (gap,) = gaps(CredentialFacts("c"), {})
    assert "when the access token expires" in gap


def rows(authorize_host: str, **changes: Any) -> dict[str, tuple[str, ...]]:
    """What the page says of a new credential, by its labels."""
    stored = credential(**changes)
    return {row.label: row.values for row in gained(replace(situation(), credential=stored), authorize_host)}


def test_what_was_granted_is_told_scope_by_scope_and_names_that_say_nothing_come_last() -> None:
    told = rows("login.example.com", granted_scopes=("read", "email", "write.all"))["Granted"]
    assert told == ("read your e-mail address", "what login.example.com calls read, write.all")
    german = shown(told[1], "de", texts_in("de"))
    assert german == "was bei login.example.com so heißt: read, write.all"
    assert rows("login.example.com", granted_scopes=("email",))["Granted"] == ("read your e-mail address",)
    assert rows("login.example.com", granted_scopes=())["Granted"] == ("what the service showed you",)


def test_service_has_the_name_that_it_had_on_the_page_before() -> None:
    assert rows("login.example.com")["To take it back"] == ("withdraw the access in your account at login.example.com",)
    assert rows("")["To take it back"] == ("withdraw the access in your account at the service",)
