"""Content codings of replies: what can be read is read, and no more than may be."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.outbound.content_coding import TooLarge, before_the_damage, decoded
from datasource.outbound.provider_request import UnusableReply

TEXT = b'{"refresh_token": "rt-2"}' * 20

LATIN_1 = '{"name": "Jérôme", "refresh_token": "rt-2"}'.encode("latin-1")

NO_CODINGS = ["utf-8", "UTF-8", "none", "binary", "8bit", "chunked", "aws-chunked", "br", "zstd", "gzip, gzip, gzip"]
"""What servers write there although nothing is compressed."""


def raw(text: bytes) -> bytes:
    compress = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compress.compress(text) + compress.flush()


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        pytest.param(gzip.compress(TEXT), "gzip", id="gzip"),
        pytest.param(gzip.compress(TEXT), " GZIP ", id="in capitals"),
        pytest.param(gzip.compress(TEXT), "x-gzip", id="by its old name"),
        pytest.param(gzip.compress(TEXT), "", id="gzip that nothing names"),
        pytest.param(zlib.compress(TEXT), "deflate", id="deflate"),
        pytest.param(raw(TEXT), "deflate", id="deflate without its frame"),
        pytest.param(gzip.compress(zlib.compress(TEXT)), "deflate, gzip", id="one within another"),
        pytest.param(TEXT, "gzip", id="plain text that is called gzip"),
        pytest.param(TEXT, "deflate", id="plain text that is called deflate"),
        pytest.param(TEXT, "identity", id="identity"),
        pytest.param(TEXT, ", identity,", id="a list of nothing"),
        pytest.param(gzip.compress(TEXT) + b"more", "gzip", id="something behind it"),
        pytest.param(gzip.compress(TEXT)[:-8] + b"\0" * 8, "gzip", id="another checksum"),
        pytest.param(gzip.compress(TEXT[:9]) + gzip.compress(TEXT[9:]), "gzip", id="several behind one another"),
        pytest.param(gzip.compress(TEXT), "deflate", id="gzip that is called deflate"),
        pytest.param(zlib.compress(TEXT), "gzip", id="zlib that is called gzip"),
        pytest.param(zlib.compress(TEXT), "", id="zlib that nothing names"),
        pytest.param(gzip.compress(TEXT), "br", id="gzip that is called by another coding's name"),
        pytest.param(gzip.compress(TEXT), '"gzip";q=1', id="a name with what does not belong to it"),
        pytest.param(gzip.compress(gzip.compress(TEXT)), "gzip", id="twice, and said once"),
        pytest.param(zlib.compress(TEXT, wbits=9), "deflate", id="zlib with a small window"),
        *(pytest.param(TEXT, name, id=f"plain text that is called {name}") for name in NO_CODINGS),
    ],
)
def test_body_is_read_whatever_it_is_coded_with(body: bytes, coding: str) -> None:
    assert decoded(body, coding, largest=len(TEXT)) == TEXT


@pytest.mark.parametrize("coding", ["", "utf-8", "br", "gzip", "deflate", "gzip, deflate"])
@pytest.mark.parametrize(
    "text", [LATIN_1, '{"name": "é"}'.encode(), '[ "é" ]'.encode(), "<p>é".encode(), "é".encode("utf-16")]
)
def test_plain_text_is_left_as_it_is_whatever_coding_is_named(text: bytes, coding: str) -> None:
    """The instance: `Content-Encoding: utf-8`, and the tokens behind it were dropped."""
    assert decoded(text, coding, largest=999) == text


def test_members_of_a_gzip_are_bounded_together_and_in_number() -> None:
    with pytest.raises(TooLarge) as caught:
        decoded(gzip.compress(b"x" * 600) * 9, "gzip", largest=1_000)
    assert caught.value.read == b"x" * 1_000
    assert len(decoded(gzip.compress(b"x") * 10_000, "gzip", largest=10_000)) < 1_000


@pytest.mark.parametrize("cut", [30, 20])
def test_beginning_of_what_broke_off_is_read(cut: int) -> None:
    text = bytes(range(256))
    assert text.startswith(decoded(gzip.compress(text)[:-cut], "gzip", largest=999))


def test_beginning_of_what_was_damaged_is_read() -> None:
    text = b"".join(str(number).encode() for number in range(9_000))
    whole = gzip.compress(text)
    damaged = whole[: len(whole) // 2] + b"\xff" * (len(whole) // 2)
    read = decoded(damaged, "gzip", largest=2_000_000)
    assert len(read) > 1_000
    assert text.startswith(read[:1_000])


def test_piece_without_damage_is_read_to_its_end() -> None:
    assert before_the_damage(zlib.decompressobj(), zlib.compress(TEXT), 999) == TEXT


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, br", "gzip, gzip, gzip", "compress"])
def test_what_is_not_read_is_said(coding: str) -> None:
    with pytest.raises(UnusableReply, match="compressed"):
        decoded(b"\x8b\x02\x80" + TEXT + b"\x03", coding, largest=999)


@pytest.mark.parametrize("damage", [0, 9])
def test_more_than_may_come_out_does_not(damage: int) -> None:
    bomb = gzip.compress(b"x" * 5_000_000)
    with pytest.raises(TooLarge) as caught:
        decoded(bomb[: len(bomb) - damage] + b"\xff" * damage, "gzip", largest=1_000)
    assert caught.value.read == b"x" * 1_000


def test_damaged_bomb_ends_at_the_bound_too() -> None:
    bomb = bytearray(gzip.compress(b"x" * 400_000))
    bomb[-40:] = b"\xff" * 40
    with pytest.raises(TooLarge):
        decoded(bytes(bomb), "gzip", largest=300_000)


@given(body=st.binary(max_size=200), coding=st.sampled_from(["gzip", "deflate", "", "deflate, gzip", "br"]))
def test_whatever_comes_is_read_within_the_bound_or_refused(body: bytes, coding: str) -> None:
    for start in (b"", b"\x1f\x8b\x08", b"\x78\x9c"):
        try:
            assert len(decoded(start + body, coding, largest=300)) <= 300
        except (UnusableReply, TooLarge):
            continue
