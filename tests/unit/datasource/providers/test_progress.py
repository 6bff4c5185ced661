"""How far a request has come, and what it means that it goes no further."""

import gzip
from datetime import timedelta

import httpcore
import pytest

from datasource.oauth2.errors import NotDelivered, OutcomeUnknown, ReplyTooLarge
from datasource.outbound.provider_request import Reply, UnusableReply
from datasource.providers.progress import FAILURES, Progress, failure

DEADLINE = timedelta(seconds=2)


def progress(body: bytes = b"", *, status: int | None = 200, coding: str = "", is_written: bool = True) -> Progress:
    return Progress(
        "shop", 1_000, is_written, status=status, headers={"content-encoding": coding}, body=bytearray(body)
    )


@pytest.mark.parametrize(
    ("error", "before_it_was_sent", "after"),
    [
        (TimeoutError(), NotDelivered, OutcomeUnknown),
        (httpcore.ReadError(), NotDelivered, OutcomeUnknown),
        (httpcore.ConnectError(), NotDelivered, NotDelivered),
        (OSError(), NotDelivered, OutcomeUnknown),
        (UnicodeError(), NotDelivered, NotDelivered),
        (ReplyTooLarge("x"), ReplyTooLarge, ReplyTooLarge),
        (UnusableReply("x"), UnusableReply, UnusableReply),
    ],
)
def test_failure_says_whether_the_request_may_have_been_processed(
    error: Exception, before_it_was_sent: type[Exception], after: type[Exception]
) -> None:
    assert isinstance(error, FAILURES)
    assert type(failure(error, "a.example.com", progress(is_written=False), DEADLINE)) is before_it_was_sent
    assert type(failure(error, "a.example.com", progress(), DEADLINE)) is after


@pytest.mark.parametrize("error", [TimeoutError(), httpcore.ReadError(), ReplyTooLarge("x")])
def test_what_came_stands_in_the_failure(error: Exception) -> None:
    found = failure(error, "a.example.com", progress(b'{"refresh'), DEADLINE)
    assert isinstance(found, OutcomeUnknown)
    assert found.received is not None
    assert found.received.body == b'{"refresh'
    assert "refresh" not in str(found) + repr(found)


def test_nothing_came_before_the_head() -> None:
    assert progress(status=None).readable() is None


def test_what_comes_of_too_much_is_its_beginning() -> None:
    too_much = progress(gzip.compress(b"x" * 9_000), coding="gzip")
    with pytest.raises(ReplyTooLarge):
        too_much.received()
    assert too_much.readable() == Reply(200, {"content-encoding": "gzip"}, b"x" * 1_000)


def test_status_counts_where_the_body_is_not_read() -> None:
    assert progress(b"\x8b\x02", coding="br", status=400).readable() == Reply(400, {"content-encoding": "br"}, b"")


def test_write_is_noted() -> None:
    begun = progress(is_written=False)
    begun.write()
    assert begun.is_written
