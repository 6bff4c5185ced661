"""The time that everything is given."""

from datetime import UTC, datetime, timedelta

from datasource.process.clock import utc_now


def test_time_has_an_offset_and_that_is_none() -> None:
    """One without could not be compared with what stands in objects."""
    before = datetime.now(UTC)
    now = utc_now()
    assert now.utcoffset() == timedelta(0)
    assert before <= now <= datetime.now(UTC)
