"""`status NAME`: all that matters of one Datasource on one screen. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from datasource.api.states import ACCEPTED, IMPORTED, PROVIDER_REACHABLE
from kubectl_datasource import history
from kubectl_datasource.advice import Advice
from kubectl_datasource.listing import as_json, state_cell, when
from kubectl_datasource.objects import Datasource
from kubectl_datasource.words import Cell, Line, printable

_WIDTH = 22

_TRUE_IS_GOOD = frozenset({"Ready", PROVIDER_REACHABLE, ACCEPTED, IMPORTED})
"""Types of conditions; the others are there while something is not as it should be."""


def screen(datasource: Datasource, advice: Advice, now: datetime) -> Iterator[Line]:
    """The lines; what nobody knows has none."""
    reason = f" ({printable(datasource.reason)})" if datasource.reason else ""
    yield (Cell(f"{datasource.place}: ", "bold"), state_cell(datasource), Cell(reason))
    if not datasource.is_looked_at:
        yield (Cell("The operator has not looked at the latest change of the spec yet.", "yellow"),)
    for label, text in _facts(datasource, now):
        if text:
            yield (Cell(f"  {label:<{_WIDTH}}"), Cell(printable(text)))
    yield from _conditions(datasource, now)
    yield from history.lines(datasource.status.history, now)
    yield from _next(advice)


def status_json(datasource: Datasource, advice: Advice) -> dict[str, Any]:
    """The same for programs; without the link, which whoever has it can use."""
    return {
        **as_json(datasource),
        "suspended": datasource.is_suspended,
        "contact": datasource.contact or None,
        "history": history.history_json(datasource.status.history),
        "conditions": msgspec.to_builtins(datasource.status.conditions or ()),
        "what": advice.what,
        "commands": [{"command": command.line, "purpose": command.purpose} for command in advice.commands],
    }


def _facts(datasource: Datasource, now: datetime) -> Iterator[tuple[str, str]]:
    status = datasource.status
    last = status.last_authorization
    yield "URL", datasource.url
    yield "Authorized as", status.authorized_as or ""
    yield "Authorized at", when(status.authorized_at, now)
    yield "Last authorized as", status.last_authorized_as or ""
    yield "Whom to ask", datasource.contact
    yield "Access token until", when(status.expires_at, now)
    yield "Refreshed at", when(status.refreshed_at, now)
    yield "Next refresh", when(status.next_refresh, now)
    yield "Grant until", when(status.grant_expires_at, now)
    yield "Token Secret", status.token_secret_name or ""
    yield "Suspended", "yes: no refreshes, no links (kubectl datasource resume)" if datasource.is_suspended else ""
    if last is not None and last.has_failed:
        yield "Last authorization", f"failed {when(last.time, now)}: {last.message}"


def _conditions(datasource: Datasource, now: datetime) -> Iterator[Line]:
    if datasource.status.conditions:
        yield from ((Cell(""),), (Cell("Conditions", "bold"),))
    for each in datasource.status.conditions or ():
        is_bad = (each.status != "True") is (each.type in _TRUE_IS_GOOD)
        head = f"  {printable(each.type):<{_WIDTH}}"
        since = f"since {when(each.last_transition_time, now)}"
        yield (Cell(head), Cell(printable(each.status), "yellow" if is_bad else "green"), Cell(f", {since}"))
        yield (Cell(f"  {'':<{_WIDTH}}{printable(each.message)}"),)


def _next(advice: Advice) -> Iterator[Line]:
    yield from ((Cell(""),), (Cell("What to do next", "bold"),), (Cell(f"  {printable(advice.what)}"),))
    for command in advice.commands[:1]:
        yield (Cell(f"  # {printable(command.purpose)}", "dim"),)
        yield (Cell(f"  {printable(command.line)}", "bold"),)
