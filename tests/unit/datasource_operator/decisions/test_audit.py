"""What the log stream is told: what the status does not tell yet, automatic refreshes and verdicts among it."""

from dataclasses import replace
from datetime import timedelta

import msgspec

from datasource.api.clock import rfc3339
from datasource.api.objects import HistoryEcho, Status
from datasource.api.states import Reason
from datasource.process.audit import AuditLine
from datasource.records.history import Act, History, entry_of
from datasource.records.link_keys import LinkKeys
from datasource_operator.decisions.audit import audit_lines
from datasource_operator.decisions.observed import HistoryRead, Observed
from tests.support.builders import (
    NAME,
    NAMESPACE,
    NOW,
    credential,
    observed,
    settled,
    spec_without_oauth2,
    token_secret,
)

KEYS = LinkKeys().renewed(NOW, lambda size: b"k" * size)
PLACE = (NAMESPACE, NAME)
REFRESHED = NOW - timedelta(minutes=5)


def act(number: int, what: Act = Act.CLEAR, by: str = "ada") -> History:
    return (entry_of(f"act-{number}", what, by=by, at=NOW + timedelta(seconds=number)).marked(KEYS, PLACE),)


def lines(seen: Observed, before: Status) -> tuple[AuditLine, ...]:
    """What is told on the way from one status to the one that is wanted."""
    return audit_lines(replace(seen, status=before), settled(seen).status, KEYS)


def told(last: str) -> Status:
    return Status(history=(HistoryEcho(last, rfc3339(NOW), Act.CLEAR, "ada"),))


def read(entries: History) -> HistoryRead:
    return HistoryRead(entries[-1].id if entries else None, entries)


def test_only_what_came_after_the_last_that_is_told_is_told() -> None:
    seen = observed(history=read(act(1) + act(2) + act(3)))
    assert [line.id for line in lines(seen, told("act-1"))] == ["act-2", "act-3"]
    assert lines(seen, told("act-3")) == ()


def test_all_of_it_is_told_where_the_last_is_known_no_more() -> None:
    seen = observed(history=read(act(1) + act(2)))
    assert [line.id for line in lines(seen, told("act-0"))] == ["act-1", "act-2"]
    assert [line.id for line in lines(seen, Status())] == ["act-1", "act-2"]


def test_history_that_was_not_read_is_not_told() -> None:
    assert lines(observed(), Status()) == ()


def test_entry_of_another_datasource_is_told_in_nobodys_name() -> None:
    foreign = tuple(each.marked(KEYS, (NAMESPACE, "another")) for each in act(1))
    (line,) = lines(observed(history=read(foreign)), Status())
    assert (line.by, line.namespace, line.datasource) == ("unproven", NAMESPACE, NAME)


def test_who_writes_five_entries_at_once_makes_one_line() -> None:
    forged = tuple(entry_of(f"act-{number}", Act.CLEAR, by="ada", at=NOW) for number in range(5))
    assert [line.id for line in lines(observed(history=read(forged)), Status())] == ["act-4"]
    assert [line.by for line in lines(observed(history=read(forged[:4] + act(9))), Status())] == ["ada"]


def refreshed() -> Observed:
    return observed(credential(stored_by="intent-1", refreshed_at=REFRESHED), token_secret())


def test_automatic_refresh_is_told_once_the_status_does_not_tell_it() -> None:
    (line,) = lines(refreshed(), Status(refreshed_at=rfc3339(REFRESHED - timedelta(hours=1))))
    assert (line.id, line.event, line.by, line.result) == ("intent-1", "Refresh", "automatic", "Succeeded")
    assert line.time == REFRESHED
    assert lines(refreshed(), Status(refreshed_at=rfc3339(REFRESHED))) == ()


def test_new_credential_is_no_refresh() -> None:
    assert lines(observed(credential(refreshed_at=REFRESHED), token_secret()), Status()) == ()


def test_refresh_that_somebody_asked_for_is_told_once_and_with_who_asked() -> None:
    entry = entry_of("act-1", Act.REFRESH, by="ada", at=REFRESHED).marked(KEYS, PLACE)
    (line,) = lines(replace(refreshed(), history=read((entry,))), Status())
    assert line.by == "ada"


def test_verdict_is_told_when_it_becomes_the_state() -> None:
    seen = observed(credential(verdict=Reason.GRANT_REVOKED))
    (line,) = lines(seen, Status())
    assert (line.event, line.by, line.result) == ("Refresh", "automatic", "GrantRevoked")
    assert line.id == lines(seen, Status(state="AUTHORIZED"))[0].id, "the same ID, however often it is told"
    assert lines(seen, settled(seen).status) == ()


def test_verdict_on_a_refresh_that_somebody_asked_for_is_told_with_who_asked() -> None:
    """The answer came before it is looked at, and not at that very moment."""
    answered_at = NOW - timedelta(milliseconds=300)
    entry = entry_of("act-1", Act.REFRESH, by="ada", at=answered_at, result=Reason.GRANT_REVOKED).marked(KEYS, PLACE)
    seen = observed(credential(verdict=Reason.GRANT_REVOKED), history=read((entry,)))
    assert [line.by for line in lines(seen, Status())] == ["ada"]


def test_verdict_that_is_not_the_state_is_not_told_yet() -> None:
    seen = observed(credential(verdict=Reason.GRANT_REVOKED), wanted=spec_without_oauth2())
    assert lines(seen, Status()) == ()


def test_no_line_has_room_for_a_token() -> None:
    fields = set(AuditLine.__struct_fields__)
    assert fields == {"id", "time", "event", "by", "result", "namespace", "datasource", "verb"}
    assert not fields & set(msgspec.structs.asdict(settled(observed()).status))
