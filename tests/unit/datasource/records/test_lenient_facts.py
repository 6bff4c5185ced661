"""Facts on which no token rests: what somebody altered of them is as if it was not told."""

from collections.abc import Callable, Mapping

import pytest

from datasource.records.history import LONGEST_TEXT
from datasource.records.lenient_facts import (
    authorized_at_in,
    history_in,
    identity_check_in,
    page_request_in,
    promised_in,
)

READERS: Mapping[str, Callable[[Mapping[str, str]], object]] = {
    "datasource.dev/authorized-at": authorized_at_in,
    "datasource.dev/promised": promised_in,
    "datasource.dev/page-request": lambda annotations: page_request_in(annotations, "cred-1"),
    "datasource.dev/history": history_in,
}


@pytest.mark.parametrize("key", READERS)
@pytest.mark.parametrize("text", [None, "", "{" * (LONGEST_TEXT + 1)])
def test_altered_or_missing_fact_is_as_if_not_told(key: str, text: str | None) -> None:
    assert READERS[key]({} if text is None else {key: text}) is None


def test_altered_comparison_counts_as_none() -> None:
    assert identity_check_in({"datasource.dev/expected-identity": "hash perhaps"}) == (None, "")
    assert identity_check_in({"datasource.dev/expected-identity": "hash fits"}) == ("hash", "fits")


def test_last_entry_is_told_by_its_id() -> None:
    assert history_in({"datasource.dev/history": "act-1"}) == "act-1"
