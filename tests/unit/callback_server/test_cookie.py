"""The cookie that binds a flow to a browser, and all that other hosts of the domain can have the browser send beside it."""

import ast
import re
import sys
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import cookie_parser

import callback_server
from callback_server import cookie
from callback_server.cookie import (
    BROWSER,
    COOKIE,
    LookAlike,
    cookie_hash,
    is_same_browser,
    new_cookie,
    set_cookie_header,
)

NAME = COOKIE.encode()
OURS = b"B" * 43
THEIRS = b"E" * 43


def zeros(length: int) -> bytes:
    return bytes(length)


def read(*lines: bytes) -> str | None:
    return BROWSER.value_in([(b"host", b"connect.example.com"), *((b"cookie", line) for line in lines)])


def test_cookie_is_kept_by_the_browser_for_us_alone() -> None:
    header = set_cookie_header(new_cookie(zeros))

    assert header.startswith("__Host-")
    assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(header.split("; "))
    assert "Domain" not in header


def test_cookie_that_we_made_is_taken() -> None:
    ours = new_cookie(zeros)

    assert read(set_cookie_header(ours).partition(";")[0].encode()) == ours
    assert is_same_browser(ours, cookie_hash(ours))
    assert not is_same_browser("B" * 43, cookie_hash(ours))
    assert not is_same_browser(None, cookie_hash(ours))


OUR_PAIR = NAME + b"=" + OURS


@pytest.mark.parametrize(
    "lines",
    [
        [OUR_PAIR],
        [b"a=b; " + OUR_PAIR + b"; c=d"],
        [b"a=b;" + OUR_PAIR + b";c=d"],
        [b"a=b;\t " + OUR_PAIR + b" \t; c=d"],
        [b"a=b", OUR_PAIR, b"c=d"],
        [b"", b";;; ;", OUR_PAIR + b";"],
        [b"datasource-browser=x; __Host-datasource=y; __Secure-datasource-browser=z; " + OUR_PAIR],
        [b"\xff\xfe=\x80; %zz=%; =; \\9=\\; " + OUR_PAIR],
    ],
)
def test_our_cookie_is_found_among_those_of_others(lines: list[bytes]) -> None:
    assert read(*lines) == OURS.decode()


@pytest.mark.parametrize("lines", [[], [b""], [b"a=b"], [b"datasource-browser=" + OURS]])
def test_no_cookie_of_ours_is_none(lines: list[bytes]) -> None:
    assert read(*lines) is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"short",
        b"A" * 42,
        b"A" * 44,
        b"A" * 42 + b"=",
        b"A" * 42 + b"\n",
        b'"' + OURS + b'"',
        OURS + b"\xa0",
        b"\x85" + OURS,
        OURS + b" x",
        b"=" + OURS,
        OURS + b",a=b",
        b"\xd9\xa1" * 43,
    ],
)
def test_value_that_we_never_made_is_none(value: bytes) -> None:
    assert read(NAME + b"=" + value) is None


# What every byte and every sign that somebody strips does before, behind and within the name.

STRIPPED_BY_SOMEBODY = [
    *(bytes([byte]) for byte in range(1, 0x21) if byte not in b"\t\n\r "),
    b"\x00",
    b"\r\n",
    b"\x7f",
    b"\x80",
    b"\x85",
    b"\xa0",
    b"\xad",
    b"\xff",
    *(
        sign.encode()
        for sign in "\x85\xa0\xad\u1680\u180e\u2000\u2003\u200a\u200b\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
    ),
    b"+",
    b"%20",
    b"%A0",
    b"%00",
    b"%09",
    b"%250A",
    b"%",
    b'"',
    b"'",
    b"\\",
    b"\\040",
    b"=",
    b",",
    b"&",
    b"$",
    b"[",
]


@pytest.mark.parametrize("more", STRIPPED_BY_SOMEBODY)
def test_name_with_anything_that_somebody_strips_is_a_look_alike(more: bytes) -> None:
    for name in (more + NAME, more + more + NAME, b" " + more + b" " + NAME, NAME + more, NAME[:9] + more + NAME[9:]):
        if name == NAME + b"=":
            continue  # our name, and a value that is none
        for lines in ([name + b"=" + THEIRS], [name + b"=" + THEIRS + b"; " + OUR_PAIR], [OUR_PAIR, name]):
            with pytest.raises(LookAlike):
                read(*lines)


@pytest.mark.parametrize("before", [b"$Version=1,", b"$Version=1, ", b"a=b, ", b"a=b ", b"a=b\r\n ", b"(a)", b"a:"])
def test_name_behind_what_somebody_takes_for_another_cookie_is_a_look_alike(before: bytes) -> None:
    for line in (before + NAME + b"=" + THEIRS, before + OUR_PAIR, OUR_PAIR + b"; " + before + NAME + b"=" + THEIRS):
        with pytest.raises(LookAlike):
            read(line)


SPELLINGS = [
    pytest.param(NAME.lower(), id="small letters"),
    pytest.param(NAME.upper(), id="capitals"),
    pytest.param(b"__HoSt-datasource-browser", id="a prefix in mixed case"),
    pytest.param(b"__host-Datasource_Browser", id="a line below for a hyphen"),
    pytest.param(b"--Host_datasource.browser", id="what PHP replaces"),
    pytest.param(b"%5F%5fHost%2Ddatasource-browser", id="percent-encoded"),
    pytest.param(b"%255F%255fHost%252Ddatasource-browser", id="percent-encoded twice"),
    pytest.param("".join(f"%{byte:02x}" for byte in NAME).encode(), id="every byte percent-encoded"),
    pytest.param(b"__Host-datasource-%62rowser", id="one letter percent-encoded"),
    pytest.param(b'"__Host-datasource-browser"', id="quoted"),
    pytest.param(b'"\\_\\_Host-datasource-browser"', id="quoted pairs"),
    pytest.param("".join(f"\\{byte:03o}" for byte in NAME).encode(), id="octal, as http.cookies quotes"),
    pytest.param("＿＿Ｈｏｓｔ－ｄａｔａｓｏｕｒｃｅ－ｂｒｏｗｓｅｒ".encode(), id="full width"),
    pytest.param("__Ho\u017ft-datasource-browser".encode(), id="a long s"),
    pytest.param("__Host\u2010datasource\u2011browser".encode(), id="other hyphens"),
    pytest.param("__Host-dátäsource-browser".encode(), id="accents, for which some code pages have no letter"),
    pytest.param("__Host-da\u0301tasource-browser".encode(), id="a combining accent"),
    pytest.param("__Host-datasource-𝐛𝓻𝔬𝕨𝖘𝗲𝘳".encode(), id="mathematical letters"),
    pytest.param("__Ⓗⓞⓢⓣ-datasource-browser".encode(), id="letters in circles"),
    pytest.param(b"%EF%BC%BF%EF%BC%BFHost-datasource-browser", id="full width, percent-encoded"),
    pytest.param(b"__Host-d\xaatasource-browser", id="an ordinal indicator of Latin-1"),
    pytest.param(b"__Host-data\xc3source-browser", id="half a character of UTF-8"),
    pytest.param(b"".join(bytes([byte, 0]) for byte in NAME), id="UTF-16"),
]


@pytest.mark.parametrize("name", SPELLINGS)
def test_name_in_another_spelling_is_a_look_alike(name: bytes) -> None:
    for line in (name + b"=" + THEIRS, OUR_PAIR + b"; " + name + b"=" + THEIRS, name, b"=" + name + b"=" + THEIRS):
        with pytest.raises(LookAlike):
            read(line)


@pytest.mark.parametrize(
    "lines",
    [
        [OUR_PAIR + b"; " + NAME + b"=" + THEIRS],
        [NAME + b"=" + THEIRS + b"; " + OUR_PAIR],
        [OUR_PAIR, NAME + b"=" + THEIRS],
        [OUR_PAIR, OUR_PAIR],
        [OUR_PAIR + b"; " + NAME + b"="],
        [OUR_PAIR + b"; " + NAME],
        [OUR_PAIR + b"; x=" + NAME + b"=" + THEIRS],
        [OUR_PAIR + b'; x="a, ' + NAME + b'"'],
        [b"x=1," + OUR_PAIR],
    ],
)
def test_name_that_occurs_twice_or_within_another_cookie_is_a_look_alike(lines: list[bytes]) -> None:
    with pytest.raises(LookAlike):
        read(*lines)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_what_starlette_takes_for_our_cookie_is_that_very_cookie_or_a_look_alike(before: bytes, after: bytes) -> None:
    line = before + NAME + after + b"=" + THEIRS
    if COOKIE not in cookie_parser(line.decode("latin-1")):
        return
    try:
        found = read(line)
    except LookAlike:
        return
    assert found is None or any(pair.strip(b" \t") == NAME + b"=" + THEIRS for pair in line.split(b";"))


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_any_bytes_are_ours_or_not_and_never_an_error(lines: list[bytes]) -> None:
    assert read(*lines) is None


def test_no_character_of_unicode_is_left_out_of_the_tables() -> None:
    """A character that folds to a letter, and stands in no block, would be a spelling that nobody sees."""
    blocks = [range(first, last + 1) for first, last in cookie._BLOCKS]
    assert [before.stop <= after.start for before, after in pairwise(blocks)] == [True] * (len(blocks) - 1)
    gaps = [
        range(before.stop, after.start)
        for before, after in pairwise([*blocks, range(sys.maxunicode + 1, sys.maxunicode + 2)])
    ]
    rest = "\n".join(chr(code) for gap in gaps for code in gap)
    # Of one text and not of each character: a million calls take a second. No two characters meet across a line's end.
    assert re.search(r"[a-z0-9]", unicodedata.normalize("NFKD", rest).casefold()) is None


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=40))
def test_tables_fold_as_unicode_does_character_by_character(text: str) -> None:
    folded = "".join(re.sub("[^a-z0-9]", "", unicodedata.normalize("NFKD", each).casefold()) for each in text)
    assert list(cookie._letters(text.encode()))[-1].decode() == folded


def test_a_byte_of_latin_1_folds_as_its_character_does_wherever_that_can_be_part_of_our_name() -> None:
    for byte in range(256):
        told = next(cookie._letters(bytes([byte]))).decode()
        folded = re.sub("[^a-z0-9]", "", unicodedata.normalize("NFKD", chr(byte)).casefold())
        assert told == folded or (told.isdigit() and folded.isdigit())


@given(
    st.lists(
        st.sampled_from([b"%", b"5", b"F", b"f", b"\\", b"137", b"0", b"40", b";", b"%25", b"a", b"\xff"]), max_size=12
    )
)
def test_escapes_are_read_as_http_cookies_and_urls_have_them(pieces: list[bytes]) -> None:
    octets = b"".join(pieces)
    unquoted = re.sub(rb"\\([0-3][0-7]{2})", lambda found: bytes([int(found[1], 8)]), octets)
    assert cookie._decoded(octets) == unquote_to_bytes(unquote_to_bytes(unquoted))


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("\u0300\u0323\u0301\u0327".encode() * 4_000, id="combining marks"),
        pytest.param(
            "".join(map(chr, range(0x4E00, 0x4E00 + 10_000))).encode(), id="ten thousand characters, each once"
        ),
        pytest.param(b";" * 30_000, id="very many pairs"),
        pytest.param(b"%255F\\137" * 3_000, id="escapes"),
    ],
)
def test_long_header_is_looked_at_as_a_whole_and_by_tables(line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests of strangers held the loop for 22 ms each, and marks in one text for two seconds: each was folded anew."""
    looked_at: list[int] = []
    letters = cookie._letters

    def counting(octets: bytes) -> Iterator[bytes]:
        looked_at.append(len(octets))
        return letters(octets)

    def normalize(*_: object) -> str:
        raise AssertionError("a character of a request was folded by itself")

    with monkeypatch.context() as patched:
        patched.setattr(cookie, "_letters", counting)
        patched.setattr(unicodedata, "normalize", normalize)
        found = read(line)
    assert found is None
    assert len(looked_at) <= 2


def test_nobody_else_reads_cookies() -> None:
    """Starlette's reading folds the byte A0 before a name into the name; what is read elsewhere is read like that again."""
    found = []
    for path in Path(callback_server.__file__).parent.rglob("*.py"):
        if path.name == "cookie.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case (
                    ast.Attribute(attr="cookies" | "cookie_parser" | "http_cookies")
                    | ast.ImportFrom(module="http.cookies" | "http.cookiejar")
                    | ast.alias(name="cookies" | "cookie_parser" | "http.cookies")
                ):
                    found.append(f"{path.name}:{node.lineno}")
                case ast.Constant(value=str() | bytes() as text) if text.lower() in {"cookie", b"cookie"}:
                    found.append(f"{path.name}:{node.lineno}")
    assert found == []
