"""What people did last, for people and for programs."""

from datasource.api.objects import HistoryEcho
from kubectl_datasource.history import history_json, lines, table
from kubectl_datasource.words import Line
from tests.unit.kubectl_datasource.builders import NOW

GOT = HistoryEcho("act-1", "2026-07-01T11:00:00Z", "NewCredential", "ada@example.com", "Succeeded")
REFRESHED = HistoryEcho("act-2", "2026-07-01T11:50:00Z", "Refresh", "annotation", "GrantRevoked")


def shown(found: list[Line]) -> list[str]:
    return ["".join(cell.text for cell in line).rstrip() for line in found]


def test_table_tells_when_what_by_whom_and_what_came_of_it() -> None:
    assert shown(table((GOT, REFRESHED), NOW)) == [
        "WHEN                             WHAT             BY                RESULT",
        "2026-07-01T11:00:00Z (60m ago)   new credential   ada@example.com   Succeeded",
        "2026-07-01T11:50:00Z (10m ago)   refresh          annotation        GrantRevoked",
    ]


def test_what_did_not_succeed_stands_out() -> None:
    _, fine, failed = table((GOT, REFRESHED), NOW)
    assert (fine[-1].style, failed[-1].style) == ("", "yellow")


def test_names_drive_no_terminal_and_what_a_newer_operator_writes_is_shown() -> None:
    foreign = HistoryEcho("act-3", "2026-07-01T11:00:00Z", "Exported\x1b[2J", "\u202eeve\x07")
    (line,) = shown(table((foreign,), NOW))[1:]
    assert "Exported\\x1b[2J" in line
    assert "\\u202eeve\\x07" in line


def test_part_of_the_status_screen_has_a_heading_and_is_left_out_where_nothing_was_done() -> None:
    assert shown(list(lines((GOT,), NOW)))[:2] == ["", "History"]
    assert list(lines(None, NOW)) == []
    assert list(lines((), NOW)) == []


def test_programs_get_the_entries_as_the_status_has_them() -> None:
    assert history_json((GOT,)) == [
        {
            "id": "act-1",
            "time": "2026-07-01T11:00:00Z",
            "what": "NewCredential",
            "by": "ada@example.com",
            "result": "Succeeded",
        }
    ]
    assert history_json(None) == []
