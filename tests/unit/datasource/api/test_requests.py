"""Requests by annotation: each acted on once per value, for as long as it is remembered."""

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.names import Annotation
from datasource.api.requests import HANDLED_LIMIT, HandledSet, Requests, echo, requests_in

_values = st.none() | st.text(max_size=10)
_requests = st.builds(Requests, clear_credential=_values, new_credential=_values, refresh=_values)
_handled = st.lists(_requests, max_size=8).map(
    lambda history: HandledSet() if not history else _after(HandledSet(), history)
)


def _after(handled: HandledSet, history: list[Requests]) -> HandledSet:
    for requests in history:
        handled = handled.with_requests(requests)
    return handled


def digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def test_annotations_that_are_present_are_requests() -> None:
    annotations = {
        "datasource.dev/clear-credential": "1",
        "datasource.dev/new-credential": "2",
        "datasource.dev/refresh": "3",
        "other": "4",
    }
    assert requests_in(annotations) == Requests(clear_credential="1", new_credential="2", refresh="3")


def test_absence_is_no_request() -> None:
    assert requests_in({}) == Requests()
    assert HandledSet().pending(Requests()) == Requests()


def test_empty_value_is_a_request_like_any_other() -> None:
    requests = requests_in({"datasource.dev/refresh": ""})
    assert requests == Requests(refresh="")
    assert HandledSet().pending(requests) == requests
    assert HandledSet().with_requests(requests).pending(requests) == Requests()


def test_request_is_pending_until_it_was_acted_on() -> None:
    requests = Requests(clear_credential="1", refresh="2")
    handled = HandledSet()
    assert handled.pending(requests) == requests
    assert handled.with_requests(Requests(refresh="2")).pending(requests) == Requests(clear_credential="1")
    assert handled.with_requests(requests).pending(requests) == Requests()


def test_request_handled_under_one_name_is_pending_under_another() -> None:
    handled = HandledSet().with_requests(Requests(refresh="1"))
    assert handled.pending(Requests(clear_credential="1")) == Requests(clear_credential="1")


def test_reverting_to_an_older_value_is_no_new_request() -> None:
    handled = _after(HandledSet(), [Requests(refresh="1"), Requests(refresh="2")])
    assert handled.pending(Requests(refresh="1")) == Requests()


def test_only_digests_are_kept() -> None:
    handled = HandledSet().with_requests(Requests(refresh="sentinel"))
    assert handled.refresh == (digest("sentinel"),)
    assert "sentinel" not in handled.encode()


def test_oldest_values_are_forgotten_first() -> None:
    handled = _after(HandledSet(), [Requests(refresh=str(number)) for number in range(HANDLED_LIMIT + 1)])
    assert len(handled.refresh) == HANDLED_LIMIT
    assert handled.pending(Requests(refresh="0")) == Requests(refresh="0")
    assert handled.pending(Requests(refresh="1")) == Requests()


def test_full_set_fits_into_an_annotation() -> None:
    numbers = [str(number) for number in range(HANDLED_LIMIT)]
    handled = _after(HandledSet(), [Requests(clear_credential=n, new_credential=n, refresh=n) for n in numbers])
    assert len(handled.encode()) < 16_384


@given(handled=_handled, requests=_requests)
def test_digests_of_requests_do_what_the_requests_do(handled: HandledSet, requests: Requests) -> None:
    assert handled.with_all(HandledSet().with_requests(requests)) == handled.with_requests(requests)


def test_encoding_is_pinned() -> None:
    # It stands in stored Secrets.
    handled = HandledSet(clear_credential=("a",), new_credential=("b",), refresh=("c", "d"))
    assert handled.encode() == '{"clearCredential":["a"],"newCredential":["b"],"refresh":["c","d"]}'
    assert HandledSet().encode() == "{}"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"refresh": "x"}', '{"refresh": [1]}', "\ud800"])
def test_altered_set_cannot_be_decoded(text: str) -> None:
    with pytest.raises((msgspec.MsgspecError, UnicodeError)):
        HandledSet.decode(text)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("", "", id="an empty one"),
        pytest.param("v" * 253, "v" * 253, id="the longest that is shown as it is"),
        pytest.param("v" * 254, "sha256:" + digest("v" * 254), id="a longer one by its digest"),
    ],
)
def test_status_echoes_the_value(value: str, shown: str) -> None:
    assert echo(value) == shown


@given(handled=_handled, requests=_requests)
def test_acting_on_a_request_ends_it_and_forgets_nothing(handled: HandledSet, requests: Requests) -> None:
    after = handled.with_requests(requests)
    assert after.pending(requests) == Requests()
    assert after.with_requests(requests) == after
    for before_digests, after_digests in zip(
        msgspec.structs.astuple(handled), msgspec.structs.astuple(after), strict=True
    ):
        assert after_digests[: len(before_digests)] == before_digests


@given(handled=_handled)
def test_set_survives_its_annotation(handled: HandledSet) -> None:
    assert HandledSet.decode(handled.encode()) == handled


@given(st.text(alphabet=st.characters()))
def test_any_value_can_be_echoed_and_remembered(value: str) -> None:
    assert len(echo(value)) <= 253
    requests = Requests(refresh=value)
    assert HandledSet().with_requests(requests).pending(requests) == Requests()


LONG = "x" * 100_000


def test_long_value_is_kept_as_its_digest_and_means_the_same() -> None:
    kept = requests_in({Annotation.REFRESH: LONG}).refresh
    assert kept is not None
    assert len(kept) < 100
    assert requests_in({Annotation.REFRESH: kept}).refresh == kept
    assert echo(kept) == echo(LONG)
    handled_by_v1 = HandledSet().with_requests(Requests(refresh=LONG))
    assert handled_by_v1 == HandledSet().with_requests(Requests(refresh=kept))
    assert handled_by_v1.pending(Requests(refresh=kept)) == Requests()


@pytest.mark.parametrize("value", ["", "1", "sha256:" + "0" * 64, "x" * 253, "2026-01-01T00:00:00Z"])
def test_value_of_usual_length_stays_as_it_is(value: str) -> None:
    """Its digest, too: a request that an earlier version acted on is not acted on again."""
    assert requests_in({Annotation.CLEAR_CREDENTIAL: value}).clear_credential == value
    digest = hashlib.sha256(value.encode()).hexdigest()
    assert HandledSet().with_requests(Requests(clear_credential=value)).clear_credential == (digest,)
