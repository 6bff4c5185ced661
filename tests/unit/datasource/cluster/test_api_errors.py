"""What a refusal of the API server is told as."""

from datetime import timedelta

import msgspec
import pytest

from datasource.cluster.api_errors import (
    ApiError,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    refusal,
)


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (400, "BadRequest", Invalid),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (409, "AlreadyExists", Conflict),
        (409, "Conflict", Conflict),
        (410, "Expired", Expired),
        (422, "Invalid", Invalid),
        (429, "TooManyRequests", ApiError),
        (500, "InternalError", ApiError),
        (503, "ServiceUnavailable", ApiError),
    ],
)
def test_refusal_is_told_by_its_class(status: int, reason: str, expected: type[ApiError]) -> None:
    error = refusal(status, msgspec.json.encode({"kind": "Status", "reason": reason, "message": "because"}), None)
    assert type(error) is expected
    assert (error.status, error.reason, error.message) == (status, reason, "because")
    assert str(error) == f"{status} {reason}: because"


OF_A_WEBHOOK = 'admission webhook "no.example.com" denied the request: not today'
OF_A_POLICY = (
    "secrets \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: name a cost centre"
)


@pytest.mark.parametrize(
    "said", [OF_A_WEBHOOK, OF_A_POLICY, 'admission webhook "x" denied the request without explanation']
)
@pytest.mark.parametrize("status", [401, 404, 409, 410, 418, 429, 500, 503])
def test_refusal_of_admission_is_one_whatever_status_it_chose(status: int, said: str) -> None:
    """Webhooks and policies choose the status of what they refuse."""
    error = refusal(status, msgspec.json.encode({"message": said, "reason": "Conflict", "code": status}), None)
    assert type(error) is Forbidden
    assert (error.status, error.message) == (status, said)


@pytest.mark.parametrize("said", [OF_A_WEBHOOK, OF_A_POLICY])
@pytest.mark.parametrize(("status", "expected"), [(400, Invalid), (413, Invalid), (422, Invalid), (403, Forbidden)])
def test_refusal_of_admission_with_a_usual_status_stays_what_it_is(
    status: int, expected: type[ApiError], said: str
) -> None:
    assert type(refusal(status, msgspec.json.encode({"message": said}), None)) is expected


@pytest.mark.parametrize(
    "said",
    [
        'secrets "admission webhook "x" denied the request" already exists',
        'Operation cannot be fulfilled on secrets "a": ValidatingAdmissionPolicy',
        'secrets "a" failed calling webhook "no.example.com"',
    ],
)
def test_what_only_names_a_webhook_is_no_refusal_of_one(said: str) -> None:
    assert type(refusal(409, msgspec.json.encode({"message": said}), None)) is Conflict


def test_webhook_that_does_not_answer_is_an_outage() -> None:
    said = (
        'Internal error occurred: failed calling webhook "no.example.com": failed to call webhook: connection refused'
    )
    assert type(refusal(500, msgspec.json.encode({"message": said, "reason": "InternalError"}), None)) is ApiError


def test_object_that_is_too_large_is_not_taken() -> None:
    too_large = msgspec.json.encode({"message": "Request entity too large: limit is 3145728"})
    assert type(refusal(413, too_large, None)) is Invalid


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"<html>Bad gateway</html>", "<html>Bad gateway</html>", id="a page"),
        pytest.param(b"x" * 300, "x" * 200, id="a long text, cut"),
        pytest.param(b"\xff", "\ufffd", id="bytes that are no text"),
        pytest.param(b"", "", id="nothing"),
        pytest.param(b'{"message": 5}', '{"message": 5}', id="JSON of another shape"),
        pytest.param(b'{"message": "\xff"}', '{"message": "\ufffd"}', id="JSON with bytes that are no text"),
        pytest.param(b'{"a":' * 100_000, ('{"a":' * 100_000)[:200], id="JSON without an end"),
    ],
)
def test_refusal_without_a_status_object_shows_what_came(body: bytes, message: str) -> None:
    error = refusal(502, body, None)
    assert (error.status, error.reason, error.message) == (502, "", message)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", timedelta(seconds=7)),
        ("0", timedelta(0)),
        ("soon", None),
        ("-1", None),
        ("", None),
        ("9" * 20, None),
        ("9" * 5000, None),
    ],
    ids=["seconds", "at once", "a word", "negative", "empty", "longer than all time", "5000 digits"],
)
def test_retry_after_of_the_api_server_is_read(value: str, expected: timedelta | None) -> None:
    assert refusal(429, b"{}", value).retry_after == expected


def test_refusal_without_retry_after_says_nothing_of_waiting() -> None:
    assert refusal(404, b"{}", None).retry_after is None
