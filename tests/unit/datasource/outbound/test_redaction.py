"""What a provider says is shown without what was sent to it, in whatever spelling it comes back."""

import html
import json
import random
import string
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from unittest.mock import patch
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.outbound.redaction import CUT, _searched, said

SECRET = "s3cr3t/+ \"&<'>ä%41\\x"

SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "percent": lambda text: quote(text, safe=""),
    "a form's": quote_plus,
    "percent, small hex": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "percent, capitals": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON, all of it": lambda text: "".join(
        f"\\u{int.from_bytes(unit):04x}" for unit in _units(text.encode("utf-16-be"))
    ),
    "JSON, capitals": lambda text: "".join(
        f"\\u{int.from_bytes(unit):04X}" for unit in _units(text.encode("utf-16-be"))
    ),
    "JSON, slashes too": lambda text: json.dumps(text, ensure_ascii=False)[1:-1].replace("/", "\\/"),
    "HTML": lambda text: html.escape(text),
    "HTML, decimal": lambda text: "".join(f"&#{ord(character)};" for character in text),
    "HTML, hex": lambda text: "".join(f"&#x{ord(character):X};" for character in text),
    "base64": lambda text: b64encode(text.encode()).decode(),
    "base64, URL-safe, unpadded": lambda text: urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 within more": lambda text: b64encode(b"client:" + text.encode() + b"\n").decode(),
    "hex": lambda text: text.encode().hex(),
    "hex, capitals": lambda text: text.encode().hex().upper(),
    "capitals": lambda text: (
        text.upper() if len(text.upper()) == len(text) and text.upper().lower() == text.lower() else text
    ),
}


def _units(encoded: bytes) -> list[bytes]:
    return [encoded[at : at + 2] for at in range(0, len(encoded), 2)]


def test_what_was_sent_is_cut_and_the_rest_is_said() -> None:
    assert said("The token rt-1234 has expired.", ["rt-1234"]) == f"The token {CUT} has expired."


@pytest.mark.parametrize("outer", SPELLINGS)
@pytest.mark.parametrize("inner", SPELLINGS)
def test_no_spelling_of_a_spelling_is_shown(inner: str, outer: str) -> None:
    spelled = SPELLINGS[outer](SPELLINGS[inner](SECRET))
    shown = said(f"before {spelled} after", [SECRET])
    assert spelled not in shown
    assert shown == f"before {CUT} after" or (shown.startswith("before ") and CUT in shown)


secrets_ = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=4, max_size=60).filter(
    lambda text: text.strip() == text and CUT not in text
)


@given(
    secret=secrets_,
    inner=st.sampled_from(sorted(SPELLINGS)),
    outer=st.sampled_from(sorted(SPELLINGS)),
    before=st.text(st.characters(codec="ascii", categories=["Ll", "Zs"]), max_size=40),
)
def test_no_secret_is_shown_in_any_spelling(secret: str, inner: str, outer: str, before: str) -> None:
    if outer == "capitals" and "base64" in inner:
        # That is no base64 any more: nobody can read it.
        return
    spelled = SPELLINGS[outer](SPELLINGS[inner](secret))
    shown = said(f"{before}|{spelled}|", [secret])
    assert spelled not in shown
    assert CUT in shown


@given(text=st.text(), sent=st.lists(st.text()))
def test_whatever_is_said_and_sent_nothing_raises(text: str, sent: list[str]) -> None:
    assert len(said(text, sent)) <= 303


@given(secret=secrets_.filter(lambda text: len(text) >= 20), start=st.integers(0, 8), length=st.integers(12, 20))
def test_a_part_of_a_long_secret_is_cut_too(secret: str, start: int, length: int) -> None:
    part = secret[start : start + length]
    if len(part) >= 12:
        assert part not in said(f"token {part}... is unknown", [secret])


@pytest.mark.parametrize("size", [5_000, 20_000, 65_536])
@pytest.mark.parametrize("place", [0.0, 0.37, 1.0])
def test_secret_of_64_kib_is_cut_wherever_it_begins_and_looked_for_in_a_few_windows(size: int, place: float) -> None:
    """Each look for a refresh token of that size kept everybody waiting for a tenth of a second."""
    secret = "".join(random.Random(size).choices(string.ascii_lowercase, k=size))  # noqa: S311 - no secret of anybody
    assert len(_searched([secret]).windows) <= 2 * 4096
    step = 1 + size // 4096
    for length in (12 + step - 1, 60, 400):
        start = round(place * (size - length))
        part = secret[start : start + length]
        shown = said(f"No: {part} is unknown.", [secret])
        assert CUT in shown
        # What was not seen is shorter than what is looked for.
        assert not any(part[at : at + 12] in shown for at in range(length - 11))
    assert said("No.", [secret]) == "No."


# Over the borders: of the text that is looked at, of the text that is shown, of a window. Whatever is cut there, nothing of a
# secret is left that is cut no more.

LOOKED_AT = 200
"""Characters here, so that a look is short."""

FILLER = "ä" * LOOKED_AT
"""A secret, too: it is no more than a cut, so that what stands behind it would be shown."""


def left_of(shown: str) -> str:
    """What is shown, but for the cuts."""
    return shown.replace(CUT, "").removesuffix("...").strip()


def shown_of(spelled: str, border: int, secret: str) -> str:
    """What is shown of a text, of which just so many characters of a spelled secret are looked at."""
    text = f"{FILLER[border + 1 :]} {spelled} {'and more ' * 30}"
    with patch("datasource.outbound.redaction._LONGEST_TEXT", LOOKED_AT):
        return left_of(said(text, [secret, FILLER]))


@given(
    secret=secrets_,
    inner=st.sampled_from(sorted(SPELLINGS)),
    outer=st.sampled_from(sorted(SPELLINGS)),
    share=st.floats(0, 1),
)
def test_nothing_of_a_secret_over_the_end_of_what_is_looked_at_is_shown(
    secret: str, inner: str, outer: str, share: float
) -> None:
    spelled = SPELLINGS[outer](SPELLINGS[inner](secret))[: LOOKED_AT - 30]
    assert shown_of(spelled, round(share * len(spelled)), secret) == ""


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("sentinel", ["s3nt/nel", "s3nt/nel+ä%41\\x", "two words", "a pass phrase of six words"])
def test_sentinel_over_that_end_is_cut_wherever_the_end_is(sentinel: str, spelling: str) -> None:
    spelled = SPELLINGS[spelling](sentinel)
    borders = {*range(14), len(spelled) // 2, len(spelled) - 1}
    assert {shown_of(spelled, border, sentinel) for border in borders if border < len(spelled)} == {""}


@given(
    secret=st.text(string.ascii_letters + string.digits + "/+ä%&", min_size=4, max_size=60),
    spelling=st.sampled_from(sorted(SPELLINGS)),
    border=st.integers(0, 60),
)
def test_secret_over_the_end_of_what_is_shown_is_cut_before_that_end(secret: str, spelling: str, border: int) -> None:
    words = ("- " * 200)[: 299 - border]
    shown = said(f"{words}|{SPELLINGS[spelling](secret)}| -", [secret]).removesuffix("...")
    assert shown.startswith(f"{words}|")
    # The cut itself may be cut, and a padding is no part of the secret.
    assert f"{CUT}| -".startswith(shown[len(words) + 1 :].replace("=", ""))


@given(secret=st.text(string.ascii_lowercase, min_size=12, max_size=200), share=st.floats(0, 1))
def test_a_window_of_a_secret_is_cut_wherever_it_begins_and_however_it_is_spelled(secret: str, share: float) -> None:
    start = round(share * (len(secret) - 12))
    for spelling in SPELLINGS.values():
        shown = said(f"No: {spelling(secret[start : start + 12])}, no.", [secret])
        assert shown.replace("=", "") == f"No: {CUT}, no."


@pytest.mark.parametrize(
    "token",
    [
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJlMTIzNDU2Nzg5MA",
        "ya29.a0AfH6SMBx7Kq2Lw9ZpR4tYvN8mC1dQeU5gT3hJ",
        "1//0gK9xZ7Qw2RtYuIoP3aSdFgHjKlMnBvC",
        "gho_16C7e42F292c6912E7710c838347Ae178B4a",
        "xoxe.xoxp-1-Mi0yLTEyMzQ1Njc4OTAtMTIzNDU2Nzg5MC0x",
        "0123456789abcdef0a1b2c3d4e5f6071",
        "q7W/e9R+t2Y8u1I4o6P3a5S0d7F9g2H8j4K6l1Z3==",
    ],
)
@pytest.mark.parametrize("spell", ["as it is", "percent", "HTML, decimal", "JSON, all of it"])
def test_what_looks_like_a_token_is_cut_whosever_it_is(token: str, spell: str) -> None:
    spelled = SPELLINGS[spell](token)
    shown = said(f"bad token {spelled} (sorry)")
    assert shown == f"bad token {CUT} (sorry)"


@pytest.mark.parametrize(
    "words",
    [
        "AADSTS70043: The refresh token has expired due to sign-in frequency checks by conditional access.",
        "AADSTS700082: Trace ID: 5a2d7c1e-0b1f-4a5e-9c3d-8e7f6a5b4c3d Timestamp: 2026-11-27 06:41:01Z",
        "Token has been expired or revoked.",
        "unknown, invalid, or expired refresh token",
        "invalid_request_parameter_2 is missing, see https://docs.example.com/oauth2/errors#invalid-request",
        "scope https://www.googleapis.com/auth/calendar.readonly is not allowed",
        "urn:ietf:params:oauth:grant-type:jwt-bearer is not supported",
        "Der Token ist ungültig für example-client-2",
        "100% of tokens & more \\ less &unknown; %zz",
    ],
)
def test_words_of_a_provider_stay(words: str) -> None:
    assert said(words, ["refresh-token-1", "abc"]) == words


def test_text_that_costs_much_is_not_looked_at_whole() -> None:
    assert len(said("%25" * 1_000_000, ["secret-1"])) <= 303


def test_bytes_that_are_no_utf_8_are_read_one_by_one() -> None:
    assert said("x %FFhunter2%FF y", ["hunter2"]) == f"x %FF{CUT}%FF y"
    assert said("x %FF%68unter2 y", ["hunter2"]) == f"x %FF{CUT} y"


def test_nothing_that_ends_a_line_is_shown() -> None:
    assert said("a\nb\x1b[0m") == "a b [0m"


# Whoever writes the text may want that it takes long. A stranger's 1,000 characters took a quarter of a second.

STATE = "0123456789abcdef-0.Kx7_mQ2-vB9rT4wY1zN6cF3hJ8gD5sA0pL-eU7iO2kXqWv"
"""What is looked for where a callback is answered."""


def runs_that_may_be_base64(chance: random.Random) -> str:
    letters = string.ascii_letters + string.digits
    return "%2B".join("".join(chance.choices(letters, k=20)) for _ in range(45))


def test_text_that_may_be_read_in_very_many_ways_is_cut_whole() -> None:
    text = "Sorry. " + runs_that_may_be_base64(random.Random(1))  # noqa: S311 - the same in every run
    assert said(text, [STATE]) == CUT


def test_the_longest_prose_that_is_looked_at_is_shown_however_it_is_escaped() -> None:
    prose = ("The client may not use this; see https:\\/\\/example.com\\/a%20b?x=1&amp;y=2+z. " * 12)[:999]
    assert said(prose, [STATE]).startswith("The client may not use this; see https:")


def test_what_is_sent_is_found_behind_many_readings_that_show_nothing() -> None:
    text = "see%20this " * 40 + quote(quote(STATE[:20]))
    shown = said(text, [STATE])
    assert STATE[:20] not in shown
    assert CUT in shown or shown.endswith("...")


@pytest.mark.parametrize("spelled", ["hu\\u006eter2", "hu\\x6eter2", "hu%6Eter2", "\\ud83d\\ude00 hunter2"])
def test_each_kind_of_escape_is_read(spelled: str) -> None:
    shown = said(f"x {spelled} y", ["hunter2"])
    assert CUT in shown
    assert "ter2" not in shown


def test_escaped_signs_and_plus_are_read() -> None:
    assert said("x hunter\\/2 y", ["hunter/2"]) == f"x {CUT} y"
    assert said("x hunter+2 y", ["hunter 2"]) == f"x {CUT} y"


@pytest.mark.parametrize("spelled", [r"000\U00A1", r"000\u00A1", r"000\XA1"])
def test_escapes_in_capitals_are_read(spelled: str) -> None:
    assert "00" not in said(f"|{spelled}|", ["000\u00a1"])


def test_pair_of_surrogates_in_capitals_is_read() -> None:
    assert "D83D" not in said(r"|token\UD83D\UDE00|", ["token\U0001f600"])
