"""Times as Kubernetes writes them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.clock import micro_time, parse_rfc3339, rfc3339

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def test_fractions_of_a_second_are_cut_off() -> None:
    assert rfc3339(NOON + timedelta(microseconds=999_999)) == "2026-07-01T12:00:00Z"


def test_other_offsets_are_written_in_utc() -> None:
    assert rfc3339(datetime(2026, 7, 1, 14, tzinfo=timezone(timedelta(hours=2)))) == "2026-07-01T12:00:00Z"


@pytest.mark.parametrize(
    "text",
    ["2026-07-01T12:00:00Z", "2026-07-01T12:00:00.000000Z", "2026-07-01T14:00:00+02:00", "2026-07-01 12:00:00+00:00"],
)
def test_time_is_read_into_utc(text: str) -> None:
    moment = parse_rfc3339(text)
    assert moment == NOON
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("soon", id="a word"),
        pytest.param("2026-07-01", id="a day"),
        pytest.param("2026-07-01T12:00:00", id="no offset"),
        pytest.param("2026-07-32T12:00:00Z", id="a day that is in no month"),
        pytest.param("1782907200", id="seconds"),
        pytest.param("0001-01-01T00:00:00+01:00", id="before the first year in UTC"),
        pytest.param("9999-12-31T23:59:59-01:00", id="after the last year in UTC"),
    ],
)
def test_what_is_no_time_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text is Python's
        parse_rfc3339(text)


@given(st.text(max_size=40) | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,12}(Z|[+-][0-9:]{5})"))
def test_arbitrary_text_raises_nothing_but_a_value_error(text: str) -> None:
    try:
        moment = parse_rfc3339(text)
    except ValueError:
        return
    assert moment.utcoffset() == timedelta(0)


@given(st.datetimes(timezones=st.just(UTC)))
def test_time_survives_the_way_to_kubernetes_and_back(moment: datetime) -> None:
    text = rfc3339(moment)
    assert len(text) == len("2026-07-01T12:00:00Z")
    assert parse_rfc3339(text) == moment.replace(microsecond=0)


def test_micro_time_is_in_utc_with_microseconds_whatever_the_offset() -> None:
    moment = datetime(2026, 7, 1, 14, 0, 0, 7, tzinfo=timezone(timedelta(hours=2)))
    assert micro_time(moment) == "2026-07-01T12:00:00.000007Z"
