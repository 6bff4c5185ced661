"""The log stream `audit`: one JSON line each, with an ID, and nothing where nobody wants it."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from datasource.process.audit import LONGEST_TEXT, REMEMBERED, AuditLine, AuditLog
from tests.unit.datasource.builders import NOW

CLEARED = AuditLine("act-1", NOW, "ClearCredential", "ada", "Succeeded", "shop", "sales")


def log_to(lines: list[str], *, is_wanted: bool = True) -> AuditLog:
    return AuditLog(is_wanted, lines.append)


def test_line_is_one_json_object_of_the_stream(capsys: pytest.CaptureFixture[str]) -> None:
    AuditLog(is_wanted=True).tell(CLEARED)
    (line,) = capsys.readouterr().out.splitlines()
    assert msgspec.json.decode(line) == {
        "stream": "audit",
        "id": "act-1",
        "time": "2026-07-01T12:00:00Z",
        "event": "ClearCredential",
        "by": "ada",
        "result": "Succeeded",
        "namespace": "shop",
        "datasource": "sales",
    }


def test_nothing_is_told_where_nobody_signs_in() -> None:
    lines: list[str] = []
    log_to(lines, is_wanted=False).tell(CLEARED)
    assert lines == []


def test_line_is_told_once_by_a_process_and_others_are_not_held_back_by_it() -> None:
    lines: list[str] = []
    log = log_to(lines)
    for line in (CLEARED, CLEARED, msgspec.structs.replace(CLEARED, id="act-2")):
        log.tell(line)
    assert [msgspec.json.decode(line)["id"] for line in lines] == ["act-1", "act-2"]


def test_memory_of_what_was_told_is_bounded() -> None:
    lines: list[str] = []
    log = log_to(lines)
    for number in range(REMEMBERED + 1):
        log.tell(msgspec.structs.replace(CLEARED, id=str(number)))
    log.tell(msgspec.structs.replace(CLEARED, id=str(REMEMBERED)))
    log.tell(msgspec.structs.replace(CLEARED, id="0"))
    assert len(lines) == REMEMBERED + 2


@pytest.mark.parametrize("name", ['ada"}\n{"stream":"audit"', "a" * 5000, "\u202eada", "\x00\x1b[31m"])
def test_name_of_a_person_makes_no_second_line_and_no_long_one(name: str) -> None:
    lines: list[str] = []
    log_to(lines).tell(msgspec.structs.replace(CLEARED, by=name))
    assert lines[0].count("\n") == 1
    by = msgspec.json.decode(lines[0])["by"]
    assert by.isprintable()
    assert len(by) <= LONGEST_TEXT + 3


def test_time_is_told_in_utc() -> None:
    lines: list[str] = []
    there = datetime(2026, 7, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    log_to(lines).tell(msgspec.structs.replace(CLEARED, time=there))
    assert msgspec.json.decode(lines[0], type=AuditLine).time == datetime(2026, 7, 1, 12, tzinfo=UTC)
