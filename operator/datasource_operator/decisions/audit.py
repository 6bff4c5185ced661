"""The lines to write to the log stream `audit` before a status is written: all that the status does not show yet. Pure.

The status records which lines were written. A process that ends between the two writes the lines again after its start, with
the same IDs.
"""

from collections.abc import Iterator
from datetime import datetime

from datasource.api.objects import Status
from datasource.process.audit import AuditLine
from datasource.records.history import SUCCEEDED, Act, By, History
from datasource.records.link_keys import LinkKeys
from datasource_operator.decisions.observed import Observed
from datasource_operator.decisions.predicates import told_last

AUTOMATIC = "automatic"
"""The value of `by` for a refresh that no one requested, because it was due."""


def audit_lines(seen: Observed, wanted: Status, keys: LinkKeys) -> tuple[AuditLine, ...]:
    """The lines to write before the status changes from the observed one to the wanted one."""
    acts = tuple(_acts(seen, keys))
    refreshes = [line for line in acts if line.event == Act.REFRESH]
    times = {line.time for line in refreshes}
    verdicts = {line.result for line in refreshes} - {SUCCEEDED}
    automatic = (line for line in _refreshes(seen, wanted) if line.time not in times and line.result not in verdicts)
    return (*acts, *automatic)


def _acts(seen: Observed, keys: LinkKeys) -> Iterator[AuditLine]:
    place = (seen.namespace, seen.name)
    news = _news(() if seen.history is None else seen.history.entries, told_last(seen.status))
    for entry in news:
        if entry.is_ours(keys, place, seen.now):
            yield AuditLine(entry.id, entry.time, entry.what, entry.by, entry.result, *place)
        elif entry is news[-1]:
            # Without our mark, anyone who may edit the Secret wrote it. It gets no name, and one line for each write.
            yield AuditLine(entry.id, entry.time, entry.what, By.UNPROVEN, entry.result, *place)


def _news(entries: History, told: str | None) -> History:
    ids = [entry.id for entry in entries]
    return entries[ids.index(told) + 1 :] if told in ids else entries


def _refreshes(seen: Observed, wanted: Status) -> Iterator[AuditLine]:
    """Lines for the last refresh and for a verdict, where the status does not show them yet.

    The last refresh is enough, because the status is written between two refreshes. `audit_lines` drops requested refreshes,
    which have a line of their own.
    """
    facts = seen.facts
    if facts is None:
        return
    is_news = wanted.refreshed_at is not None and wanted.refreshed_at != seen.status.refreshed_at
    if facts.stored_by is not None and facts.refreshed_at is not None and is_news:
        yield _refresh(seen, facts.stored_by, facts.refreshed_at, SUCCEEDED)
    ready, ready_before = wanted.condition("Ready"), seen.status.condition("Ready")
    if facts.verdict is None or ready is None or ready.reason != facts.verdict:
        return
    if ready_before is None or ready_before.reason != facts.verdict:
        yield _refresh(seen, f"{facts.credential_id}/{facts.revision}/{facts.verdict}", seen.now, facts.verdict)


def _refresh(seen: Observed, line_id: str, at: datetime, result: str) -> AuditLine:
    return AuditLine(line_id, at, Act.REFRESH, AUTOMATIC, result, seen.namespace, seen.name)
