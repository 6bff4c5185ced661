"""Heads, whole and in pieces; what a server makes of them is in test_server.py."""

import random

import h11
import pytest

from callback_server.framing import MOST_FIELDS, head_problem

GOOD = b"POST /authorize/shop/a?x=%0d HTTP/1.1\r\nHost: x\r\nX-A:\tb c \r\nX-B:\r\nContent-Length: 5\r\n\r\n"


def test_good_head_is_taken_whatever_stands_behind_it() -> None:
    for behind in (b"", b"hello", b"\n\nhello\r", GOOD):
        assert head_problem(GOOD + behind) is None


def test_part_of_a_good_head_is_waited_for() -> None:
    assert [at for at in range(len(GOOD)) if head_problem(GOOD[:at]) is not None] == []


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        (GOOD.replace(b"\r\n", b"\n"), "CR and LF"),
        (GOOD.replace(b"X-B:", b"X-B: a\rb"), "CR and LF"),
        (GOOD.replace(b"POST ", b"POST http://x"), "request line"),
        (GOOD.replace(b"/1.1", b"/2.0"), "request line"),
        (GOOD.replace(b"X-B:", b" X-B:"), "cannot be read"),
        (GOOD.replace(b"X-B:", b"X-B :"), "cannot be read"),
        (GOOD.replace(b"X-B:", b"X-B"), "cannot be read"),
        (GOOD.replace(b"X-B:", b"X-\xc3\x9f:"), "cannot be read"),
        (GOOD.replace(b"X-B:", b"X-B: \x00"), "cannot be read"),
        (GOOD.replace(b"X-B:", b"TRANSFER-ENCODING: gzip"), "chunks"),
        (GOOD.replace(b"X-B:", b"Content-Length: 5"), "content-length is there twice"),
        (GOOD.replace(b"X-B:", b"hOsT: y"), "host is there twice"),
        (GOOD.replace(b": 5", b": 0x5"), "no number"),
        (GOOD.replace(b": 5", b": "), "no number"),
        (GOOD.replace(b": 5", b": 9" + b"9" * 18), "no number"),
        (GOOD.replace(b"X-B:\r\n", b"X-B:\r\n" * (MOST_FIELDS - 2)), "header lines"),
        (b"GET / HTTP/1.1\r\n" + b"X:\r\n" * (MOST_FIELDS + 2), "header lines"),
    ],
)
def test_what_is_wrong_is_said(head: bytes, problem: str) -> None:
    assert problem in (head_problem(head) or "")


def test_what_is_taken_is_read_the_same_way_by_the_parser() -> None:
    """Heads that somebody spoilt a little, thousands of them: h11 finds in each what stands in its lines, and no more."""
    chance = random.Random(9112)  # noqa: S311 - the same each time
    pieces = (
        b"\r",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b":",
        b",",
        b";",
        b"\x00",
        b"\xa0",
        b"#",
        b"5",
        b"Content-Length: 5\r\n",
        b"chunked",
    )
    taken = 0
    for _ in range(5000):
        spoilt = bytearray(GOOD)
        for _ in range(chance.randint(1, 2)):
            at = chance.randrange(len(spoilt))
            spoilt[at : at + chance.randint(0, 1)] = chance.choice(pieces)
        head, end, _ = bytes(spoilt).partition(b"\r\n\r\n")
        if not end or head_problem(head + end) is not None:
            continue
        parser = h11.Connection(h11.SERVER)
        parser.receive_data(head + end)
        try:
            event = parser.next_event()
        except h11.RemoteProtocolError:
            continue  # more than we find, such as a missing Host
        taken += 1
        assert isinstance(event, h11.Request)
        lines = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
        assert list(event.headers) == [(name.lower(), value.strip(b" \t")) for name, _, value in lines]
    assert taken > 500
