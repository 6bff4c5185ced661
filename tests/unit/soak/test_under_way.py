"""Which refreshes a kill cut off, by what it left."""

from pathlib import Path
from typing import Any

import pytest

from datasource.api.names import Annotation, credential_secret_name
from datasource.process.journal_file import Entry
from datasource.records.journal_entry import place_of
from tests.soak.under_way import UnderWay


class User:
    """The credential Secrets of a namespace."""

    namespace = "soak"

    def __init__(self, *begun: str) -> None:
        self.begun = begun
        self.intent = "{}"

    def all_of(self, *_: Any, fields: str) -> list[dict[str, Any]]:
        assert fields == "type=datasource.dev/oauth2-credential"
        found = {name: {Annotation.INTENT.value: self.intent} if name in self.begun else {} for name in NAMES}
        return [
            {"metadata": {"name": credential_secret_name(name), "annotations": each}} for name, each in found.items()
        ]


NAMES = ["under-way", "written-down", "at-rest", "elsewhere"]


@pytest.fixture
def left(tmp_path: Path) -> UnderWay:
    """What a kill has left of refreshes of all but one, two of which had a reply in a journal."""
    for pod, name in (("operator-1", "written-down"), ("operator-2", "elsewhere")):
        journal = tmp_path / pod / "journal"
        journal.mkdir(parents=True)
        (journal / Entry(1, "soak", place_of("soak", name), "ab").file_name).write_bytes(b"")
    (tmp_path / "operator-1" / "journal" / f"half.{place_of('soak', 'under-way')}.tmp").write_bytes(b"half")
    struck = UnderWay(User("under-way", "written-down", "elsewhere"), NAMES, tmp_path)  # type: ignore[arg-type]
    struck.strike()
    return struck


def test_those_with_an_intent_and_without_a_reply_were_cut_off(left: UnderWay) -> None:
    assert left.count == 1
    assert [name for name in NAMES if left.was_cut_off(name)] == ["under-way"]


def test_a_kill_explains_one_interruption_and_none_long_after(left: UnderWay) -> None:
    now = 0.0
    left.monotonic = lambda: now
    left.strike()
    assert left.was_cut_off("under-way")
    assert not left.was_cut_off("under-way")
    left.strike()
    now = 91.0
    assert not left.was_cut_off("under-way")


def test_one_that_still_waits_at_the_next_kill_counts_once(left: UnderWay) -> None:
    left.strike()
    assert left.count == 1
    left.user.intent = "another"  # type: ignore[attr-defined]
    left.strike()
    assert left.count == 2
