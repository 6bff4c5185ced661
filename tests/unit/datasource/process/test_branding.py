"""What an installation may put on the pages is checked before a page shows it."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.process.branding import (
    DARK_PAPER,
    INK,
    LEAST_CONTRAST,
    LIGHT_PAPER,
    LONGEST_LOGO,
    LONGEST_TEXT,
    LONGEST_TEXTS,
    WHITE,
    Unusable,
    checked_colour,
    checked_logo,
    contrast,
    on_colour,
    parse_texts,
)


def uri(content: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


PNG = uri(b"\x89PNG\r\n\x1a\nrest")
COLOURS = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")


@pytest.mark.parametrize(
    "logo",
    ["", PNG, uri(b"\xff\xd8\xffx", "jpeg"), uri(b"RIFFxxxxWEBP", "webp"), uri(b"<svg xmlns='x'/>", "svg+xml")],
)
def test_picture_in_a_data_uri_is_taken(logo: str) -> None:
    assert checked_logo(logo) == logo


@pytest.mark.parametrize(
    "logo",
    [
        "https://cdn.example.com/logo.png",
        "data:text/html;base64,PHNjcmlwdD4=",
        "data:image/png,raw",
        "data:image/gif;base64,R0lGODlh",
        PNG + '" onerror="alert(1)',
        PNG + "\n",
        PNG.replace("png", "jpeg"),
        uri(b"<html><script>", "svg+xml"),
        "data:image/png;base64,iVBORw0KG",
        "javascript:alert(1)",
        "data:image/png;base64," + "A" * LONGEST_LOGO,
    ],
)
def test_whatever_else_is_refused_with_what_it_should_be(logo: str) -> None:
    with pytest.raises(Unusable, match=r"^(must|says)"):
        checked_logo(logo)


@pytest.mark.parametrize(
    ("colour", "paper", "taken"),
    [
        ("", LIGHT_PAPER, ""),
        ("#1A56A8", LIGHT_PAPER, "#1a56a8"),
        ("#7db3ff", DARK_PAPER, "#7db3ff"),
        ("#767676", LIGHT_PAPER, "#767676"),
    ],
)
def test_colour_that_can_be_read_is_taken(colour: str, paper: str, taken: str) -> None:
    assert checked_colour(colour, paper) == taken


@pytest.mark.parametrize(
    ("colour", "paper"),
    [
        ("#777777", LIGHT_PAPER),
        ("#ffff00", LIGHT_PAPER),
        ("#1a56a8", DARK_PAPER),
        ("red", LIGHT_PAPER),
        ("#fff", LIGHT_PAPER),
        ("#12345g", LIGHT_PAPER),
        ("#1a56a8;} body{display:none", LIGHT_PAPER),
        ("#1a56a8\n", LIGHT_PAPER),
        ("var(--x)", LIGHT_PAPER),
    ],
)
def test_colour_that_is_too_faint_or_none_is_refused(colour: str, paper: str) -> None:
    with pytest.raises(Unusable, match=r"^must"):
        checked_colour(colour, paper)


@given(COLOURS)
def test_text_of_a_button_can_be_read_on_any_colour(colour: str) -> None:
    assert contrast(colour, on_colour(colour)) >= 4.2
    if contrast(colour, LIGHT_PAPER) >= LEAST_CONTRAST:
        assert contrast(colour, on_colour(colour)) >= LEAST_CONTRAST


@given(COLOURS, COLOURS)
def test_contrast_is_between_1_and_21_and_the_same_both_ways(one: str, other: str) -> None:
    assert 1 <= contrast(one, other) <= 21
    assert contrast(one, other) == contrast(other, one)


def test_contrast_of_black_and_white_is_21() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert on_colour("#ffffff") == INK
    assert on_colour("#000000") == WHITE


def test_texts_are_read_by_language_and_key() -> None:
    assert parse_texts("") == {}
    assert parse_texts('{"de": {"dialog.button": "Los"}}') == {"de": {"dialog.button": "Los"}}


@pytest.mark.parametrize(
    "given_",
    [
        "de",
        "[]",
        '{"de": "x"}',
        '{"de": {"a": 7}}',
        '{"de": {"a": ""}}',
        '{"de": {"a": "  "}}',
        json.dumps({"de": {"a": "two\nlines"}}),
        json.dumps({"de": {"a": "x" * (LONGEST_TEXT + 1)}}),
        json.dumps({"de": {"a": "\u202ereversed"}}),
        " " * (LONGEST_TEXTS + 1),
    ],
)
def test_texts_that_are_none_are_refused(given_: str) -> None:
    with pytest.raises(Unusable, match=r"^must"):
        parse_texts(given_)
