"""What comes back by the browser: a code, or an error, or nothing that can be trusted."""

from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.oauth2.callback import AuthorizationResponse, RefusedCallback, check_issuer, parse_callback

ISSUER = "https://login.example.com"


def test_code_is_read() -> None:
    response = parse_callback(b"code=c%2F1&state=st-1&iss=https%3A%2F%2Flogin.example.com&session_state=x")
    assert response == AuthorizationResponse(state="st-1", code="c/1", iss=ISSUER, other={"session_state": "x"})


def test_what_else_stands_in_the_query_is_kept_unless_it_stands_twice() -> None:
    assert parse_callback(b"code=c&realmId=1%2F2&twice=1&twice=2&empty=").other == {"realmId": "1/2", "empty": ""}


def test_error_is_read() -> None:
    response = parse_callback(b"error=access_denied&error_description=No+thanks&state=st-1")
    assert (response.state, response.code) == ("st-1", None)
    assert (response.error, response.error_description) == ("access_denied", "No thanks")


def test_words_of_a_stranger_are_not_gone_through_before_somebody_shows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    gone_through: list[str] = []

    def said(text: str, _: object) -> str:
        gone_through.append(text)
        return text

    monkeypatch.setattr("datasource.oauth2.callback.said", said)
    response = parse_callback(b"error=access_denied&error_description=No+thanks&state=st-1")
    assert gone_through == []
    assert "No thanks" not in repr(response)
    assert response.error_description == "No thanks"


@pytest.mark.parametrize("name", [b"J%e9r%f4me", b"J\xe9r\xf4me", b"%ff%fe", b"\xff"])
def test_name_in_another_encoding_costs_nobody_his_consent(name: bytes) -> None:
    """The instance: a person's name in Latin-1 beside the code, and the query was refused as a whole."""
    response = parse_callback(b"code=c&state=st-1&user=" + name)
    assert (response.code, response.state) == ("c", "st-1")
    refusal = parse_callback(b"error=access_denied&state=st-1&error_description=" + name)
    assert refusal.error == "access_denied"
    assert "\ufffd" in (refusal.error_description or "")


def test_error_under_the_names_that_some_services_have_for_it_is_read() -> None:
    response = parse_callback(b"error_code=200&error_message=Permissions+error&state=st-1")
    assert (response.error, response.error_description) == ("200", "Permissions error")
    # Beside a code it decides nothing.
    assert parse_callback(b"code=c&error_code=0&state=st-1").error is None


@pytest.mark.parametrize("empty", [b"code=c&state=", b"code=c"])
def test_empty_state_is_no_state(empty: bytes) -> None:
    assert parse_callback(empty).state is None


def test_empty_issuer_is_not_a_missing_one() -> None:
    assert parse_callback(b"code=c&iss=").iss == ""


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"state=s", id="neither code nor error"),
        pytest.param(b"code=&state=s", id="an empty code"),
        pytest.param(b"error=&state=s", id="an empty error"),
        pytest.param(b"code=&error=&state=s", id="both empty"),
        pytest.param(b"code=c&error=access_denied&state=s", id="both a code and an error"),
        pytest.param(b"code=c&code=d&state=s", id="two codes"),
        pytest.param(b"code=c&code=c&state=s", id="the same code twice"),
        pytest.param(b"code=c&state=s&state=t", id="two states"),
        pytest.param(b"code=c&state=s&%73tate=t", id="two states, one of them percent-encoded"),
        pytest.param(b"code=c&state=s&iss=a&iss=b", id="two issuers"),
        pytest.param(b"error=a&error=b&state=s", id="two errors"),
        pytest.param(b"error=a&error_description=b&error_description=c", id="two error descriptions"),
        pytest.param(b"code=c&code=&state=s", id="a code and an empty one"),
        pytest.param(b"code=%ff&state=s", id="percent-encoded bytes that are not UTF-8"),
        pytest.param(b"code=\xe4&state=s", id="bytes that are not UTF-8"),
        pytest.param(b"code=c&state=%e4", id="a state that is not UTF-8"),
        pytest.param(b"code=c&state=s&iss=%e4", id="an issuer that is not UTF-8"),
        pytest.param(b"state=s&error_message=No", id="words without an error"),
        pytest.param(b"code=c&" + b"a=1&" * 50, id="more than 50 parameters"),
        pytest.param(b"code=" + b"c" * 16_384, id="longer than 16 KiB"),
    ],
)
def test_query_that_cannot_be_trusted_is_refused(query: bytes) -> None:
    with pytest.raises(RefusedCallback):
        parse_callback(query)


def test_parameters_that_mean_nothing_to_us_may_repeat() -> None:
    assert parse_callback(b"code=c&x=1&x=2").code == "c"


def test_query_of_exactly_16_kib_is_read() -> None:
    assert parse_callback(b"code=" + b"c" * (16_384 - 5)).code == "c" * (16_384 - 5)


def test_text_of_a_stranger_has_no_line_breaks_and_an_end() -> None:
    response = parse_callback(b"error=a%0d%0ab&error_description=" + b"%E2%80%AE" + b"x" * 400)
    assert response.error == "a  b"
    assert response.error_description == " " + "x" * 299 + "..."


def test_empty_description_is_none() -> None:
    assert parse_callback(b"error=a&error_description=").error_description is None


def test_code_does_not_print() -> None:
    assert "sentinel" not in repr(parse_callback(b"code=sentinel&state=s"))


def test_markup_is_left_for_the_page_to_escape() -> None:
    assert parse_callback(b"error=%3Cscript%3E").error == "<script>"


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_or_read_and_nothing_else(query: bytes) -> None:
    try:
        response = parse_callback(query)
    except RefusedCallback:
        return
    assert (response.code is None) != (response.error is None)


@given(code=st.text(min_size=1), state=st.text(min_size=1), iss=st.text())
def test_response_survives_the_way_through_a_query(code: str, state: str, iss: str) -> None:
    query = urlencode({"code": code, "state": state, "iss": iss}).encode()
    assert parse_callback(query) == AuthorizationResponse(state=state, code=code, iss=iss)


@given(error=st.text(min_size=1), description=st.text(min_size=1))
def test_error_is_printable_whatever_it_was(error: str, description: str) -> None:
    response = parse_callback(f"error={quote(error)}&error_description={quote(description)}".encode())
    assert response.error is not None
    assert response.error_description is not None
    assert (response.error + response.error_description).isprintable()
    assert len(response.error) <= 303


AUTHORIZE = "https://login.example.com/realms/a/authorize?x=y"


@pytest.mark.parametrize(
    ("received", "expected", "required"),
    [
        pytest.param(ISSUER, ISSUER, True, id="the expected one"),
        pytest.param(None, ISSUER, False, id="none, and none is promised"),
        pytest.param(None, None, False, id="none, and none is known"),
        pytest.param("https://login.example.com", None, True, id="of the host, where the spec names none"),
        pytest.param("https://login.example.com/", None, True, id="with a slash"),
        pytest.param("https://login.example.com/realms/a", None, True, id="with a path"),
        pytest.param("https://LOGIN.example.com:443/realms/a", None, True, id="the same origin in other letters"),
    ],
)
def test_issuer_is_accepted(received: str | None, expected: str | None, required: bool) -> None:
    check_issuer(received, expected=expected, authorize_url=AUTHORIZE, required=required)


@pytest.mark.parametrize(
    ("received", "required"),
    [
        pytest.param("https://other.example.com", False, id="another"),
        pytest.param(ISSUER + "/", False, id="the same with a slash"),
        pytest.param("HTTPS://login.example.com", False, id="the same in other letters"),
        pytest.param("", False, id="an empty one"),
        pytest.param(None, True, id="none where the metadata promises one"),
    ],
)
def test_issuer_is_refused(received: str | None, required: bool) -> None:
    with pytest.raises(RefusedCallback):
        check_issuer(received, expected=ISSUER, authorize_url=AUTHORIZE, required=required)


@pytest.mark.parametrize(
    "received",
    [
        "https://evil.example.com",
        "https://login.example.com.evil.example.com",
        "https://login.example.com@evil.example.com",
        "https://user@login.example.com",
        "https://login.example.com:8443",
        "http://login.example.com",
        "https://login.example.com/realms/b",
        "https://login.example.com/realms/a/authorize",
        "https://login.example.com/rea",
        "https://login.example.com/?x=y",
        "https://login.example.com/#x",
        "https://login.example.com:x",
        "https://",
        "https:",
        "//login.example.com",
        "/",
        "",
        "login.example.com",
        "https://login.example.com/ ",
        "https://login.example.com/\u0000",
    ],
)
def test_issuer_that_nothing_is_known_of_is_refused_with_what_to_write(received: str) -> None:
    with pytest.raises(RefusedCallback) as caught:
        check_issuer(received, expected=None, authorize_url=AUTHORIZE, required=False)
    assert "spec.oauth2.issuer" in str(caught.value)


def test_issuer_is_refused_where_no_authorize_url_is_known_either() -> None:
    with pytest.raises(RefusedCallback):
        check_issuer(ISSUER, expected=None, authorize_url=None, required=False)
