"""The claims of an id_token: for us, of this authorization, still good, and of whom."""

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.oauth2.id_token import LEEWAY, Identity, IdentityMismatch, check_claims, unverified_claims

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
ISSUER = "https://login.example.com"

ABSENT: Any = object()


def jwt(payload: bytes) -> str:
    return f"e30.{urlsafe_b64encode(payload).decode().rstrip('=')}.c2ln"


def claims(**changes: object) -> dict[str, Any]:
    """Good claims; ABSENT takes one out."""
    good = {
        "iss": ISSUER,
        "sub": "user-1",
        "aud": "my-app",
        "exp": (NOW + timedelta(hours=1)).timestamp(),
        "iat": NOW.timestamp(),
        "nonce": "n-1",
    }
    return {name: value for name, value in (good | changes).items() if value is not ABSENT}


def check(given_claims: dict[str, Any], *, issuer: str | None = ISSUER, nonce: str | None = "n-1") -> Identity:
    return check_claims(given_claims, issuer=issuer, client_id="my-app", nonce=nonce, now=NOW)


def test_claims_are_decoded_without_padding_in_the_token() -> None:
    for name in ("a", "ab", "abc"):
        assert unverified_claims(jwt(json.dumps({"sub": name}).encode())) == {"sub": name}


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="nothing"),
        pytest.param("a.b", id="two parts"),
        pytest.param("a.b.c.d.e", id="five parts, an encrypted one"),
        pytest.param("a.!.c", id="no base64"),
        pytest.param("a.ü.c", id="not ASCII"),
        pytest.param(jwt(b"\xff\xfe{"), id="no text"),
        pytest.param(jwt(b"{"), id="no JSON"),
        pytest.param(jwt(b"[]"), id="a list"),
        pytest.param(jwt(b"5"), id="a number"),
        pytest.param(jwt(b"[" * 40_000), id="lists without an end"),
        pytest.param(jwt(b'{"a": "' + b"x" * 65_536 + b'"}'), id="longer than 64 KiB"),
    ],
)
def test_what_is_no_jwt_is_refused(token: str) -> None:
    with pytest.raises(IdentityMismatch):
        unverified_claims(token)


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none() | st.lists(st.text())))
def test_claims_come_out_as_they_went_in(given_claims: dict[str, Any]) -> None:
    assert unverified_claims(jwt(json.dumps(given_claims).encode())) == given_claims


@given(st.text(max_size=100) | st.binary(max_size=100).map(jwt))
def test_arbitrary_text_raises_nothing_but_a_mismatch(token: str) -> None:
    try:
        decoded = unverified_claims(token)
    except IdentityMismatch:
        return
    assert isinstance(decoded, dict)


@pytest.mark.parametrize("name", ["exp", "iat", "nbf", "other"])
@pytest.mark.parametrize("number", ["1" + "0" * 400, "-1" + "0" * 400, "9" * 5000])
def test_number_beyond_all_floats_is_an_infinity_with_which_times_can_be_compared(name: str, number: str) -> None:
    """The instance: OverflowError, when the difference to our clock was told."""
    written = json.dumps(claims(**{name: 0})).replace(f'"{name}": 0', f'"{name}": {number}')
    read = unverified_claims(jwt(written.encode()))
    assert isinstance(read[name], float)
    is_fine = name == "other" or number.startswith("-") is not (name == "exp")
    if is_fine:
        assert check(dict(read)).subject == "user-1"
    else:
        with pytest.raises(IdentityMismatch):
            check(dict(read))


def test_good_claims_say_who_authorized() -> None:
    assert check(claims()) == Identity(issuer=ISSUER, subject="user-1", shown="user-1")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"iss": "https://other.example.com"}, id="another issuer"),
        pytest.param({"iss": ISSUER + "/"}, id="the issuer with a slash"),
        pytest.param({"iss": ABSENT}, id="no issuer"),
        pytest.param({"iss": [ISSUER]}, id="a list of issuers"),
        pytest.param({"sub": ABSENT}, id="no subject"),
        pytest.param({"sub": ""}, id="an empty subject"),
        pytest.param({"sub": 5}, id="a subject that is a number"),
        pytest.param({"aud": ABSENT}, id="no audience"),
        pytest.param({"aud": None}, id="an audience that is null"),
        pytest.param({"aud": "other-app"}, id="another audience"),
        pytest.param({"aud": []}, id="an empty list of audiences"),
        pytest.param({"aud": ["other-app"], "azp": "my-app"}, id="a list of others"),
        pytest.param({"aud": {"my-app": True}}, id="an audience that is an object"),
        pytest.param({"aud": ["my-app", "other-app"]}, id="two audiences and no authorized party"),
        pytest.param(
            {"aud": ["my-app", "other-app"], "azp": "other-app"}, id="two audiences, authorized for the other"
        ),
        pytest.param({"azp": "other-app"}, id="one audience, authorized for another"),
        pytest.param({"exp": ABSENT}, id="no end"),
        pytest.param({"exp": "2027-01-01"}, id="an end that is a text"),
        pytest.param({"exp": True}, id="an end that is true"),
        pytest.param({"exp": 0}, id="an end long ago"),
        pytest.param({"exp": float("nan")}, id="an end that is not a number"),
        pytest.param({"exp": (NOW - LEEWAY).timestamp() - 1}, id="an end beyond the leeway"),
        pytest.param({"iat": (NOW + LEEWAY).timestamp() + 1}, id="issued beyond the leeway"),
        pytest.param({"iat": ABSENT}, id="no beginning"),
        pytest.param({"iat": "now"}, id="issued at a text"),
        pytest.param({"iat": True}, id="issued at true"),
        pytest.param({"iat": float("nan")}, id="issued at what is not a number"),
        pytest.param({"nonce": "n-2"}, id="another nonce"),
        pytest.param({"nonce": ABSENT}, id="no nonce"),
        pytest.param({"nonce": ["n-1"]}, id="a list of nonces"),
    ],
)
def test_claims_that_do_not_fit_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(IdentityMismatch):
        check(claims(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"aud": ["my-app"]}, id="one audience in a list"),
        pytest.param({"aud": ["my-app", "other-app"], "azp": "my-app"}, id="two audiences, authorized for us"),
        pytest.param({"azp": "my-app"}, id="an authorized party beside one audience"),
        pytest.param({"exp": int(NOW.timestamp()) + 60}, id="an end in whole seconds"),
        pytest.param({"exp": 10**400}, id="an end beyond all floats"),
        pytest.param({"exp": (NOW - LEEWAY).timestamp()}, id="an end just within the leeway"),
    ],
)
def test_claims_that_fit_are_accepted(changes: dict[str, Any]) -> None:
    assert check(claims(**changes)).subject == "user-1"


def test_nonce_is_not_asked_for_where_none_was_sent() -> None:
    assert check(claims(nonce=ABSENT), nonce=None).subject == "user-1"


def test_any_issuer_will_do_where_the_spec_names_none() -> None:
    assert check(claims(iss="https://other.example.com"), issuer=None).issuer == "https://other.example.com"


@pytest.mark.parametrize("iss", [ABSENT, "", None, 5])
def test_issuer_must_name_itself_even_where_the_spec_names_none(iss: object) -> None:
    with pytest.raises(IdentityMismatch):
        check(claims(iss=iss), issuer=None)


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        pytest.param({"email": "ada@example.com", "preferred_username": "ada"}, "ada@example.com", id="the email"),
        pytest.param({"preferred_username": "ada"}, "ada", id="else the user name"),
        pytest.param({"email": "", "preferred_username": 5}, "user-1", id="else the subject"),
        pytest.param({"email": "a\r\nb"}, "a  b", id="in one line"),
        pytest.param({"sub": "x" * 400}, "x" * 300 + "...", id="not too long"),
    ],
)
def test_person_is_shown_by_what_people_recognize(changes: dict[str, Any], shown: str) -> None:
    assert check(claims(**changes)).shown == shown


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["iss", "sub", "aud", "azp", "exp", "nonce", "email"]), _values))
def test_arbitrary_claims_raise_nothing_but_a_mismatch(changes: dict[str, Any]) -> None:
    try:
        identity = check(claims(**changes))
    except IdentityMismatch:
        return
    assert identity.shown.isprintable()
