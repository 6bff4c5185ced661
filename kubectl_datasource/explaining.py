"""`explain`: the text and the JSON. Pure."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from datasource.api.states import ACCEPTED, PROVIDER_REACHABLE
from kubectl_datasource.advice import Advice
from kubectl_datasource.listing import as_json, is_past, state_cell, when
from kubectl_datasource.objects import Datasource, Event
from kubectl_datasource.waiting import is_suspended
from kubectl_datasource.words import Cell, Line, printable, relative

LATEST_EVENTS = 5

_EVER = datetime.min.replace(tzinfo=UTC)


def latest(events: Sequence[Event]) -> list[Event]:
    """The latest Events, oldest first."""
    return in_order(events)[-LATEST_EVENTS:]


def in_order(events: Sequence[Event]) -> list[Event]:
    """All Events, oldest first."""
    return sorted(events, key=lambda event: event.seen_at or _EVER)


def events_json(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Events for programs."""
    return [
        {"at": event.seen_at and event.seen_at.isoformat(), "reason": event.reason, "message": event.message}
        for event in events
    ]


def explained(datasource: Datasource, advice: Advice, events: Sequence[Event] | None, now: datetime) -> Iterator[Line]:
    """The lines of the explanation; no `events`: the user may not read them."""
    reason = datasource.reason
    yield (Cell(f"{datasource.place}: "), state_cell(datasource), Cell(f" ({printable(reason)})" if reason else ""))
    if datasource.message:
        yield (Cell(printable(datasource.message)),)
    if not datasource.is_looked_at and reason:
        yield (Cell("The operator has not looked at the latest change of the spec yet.", "yellow"),)
    if datasource.is_suspended:
        yield (Cell(printable(is_suspended(datasource).text), "yellow"),)
    if datasource.status.expires_at is not None:
        expires = "expired" if is_past(datasource.status.expires_at, now) else "expires"
        yield (Cell(f"The access token {expires}: {when(datasource.status.expires_at, now)}"),)
    if datasource.status.grant_expires_at is not None:
        ends = "ended" if is_past(datasource.status.grant_expires_at, now) else "ends"
        yield (Cell(f"The grant {ends}: {when(datasource.status.grant_expires_at, now)}"),)
    yield from _people(datasource, now)
    yield from _reach(datasource, now)
    yield (Cell(""),)
    yield (Cell(printable(advice.what)),)
    if advice.where:
        yield (Cell("Where: "), Cell(printable(", ".join(advice.where)), "bold"))
    for command in advice.commands:
        yield (Cell(""),)
        yield (Cell(f"  # {printable(command.purpose)}", "dim"),)
        yield (Cell(f"  {printable(command.line)}", "bold"),)
    yield from _history(events, now)


def explained_json(datasource: Datasource, advice: Advice, events: Sequence[Event] | None) -> dict[str, Any]:
    """The same for programs."""
    return {
        **as_json(datasource),
        "what": advice.what,
        "where": list(advice.where),
        "commands": [{"command": command.line, "purpose": command.purpose} for command in advice.commands],
        "events": None if events is None else events_json(latest(events)),
    }


def _people(datasource: Datasource, now: datetime) -> Iterator[Line]:
    """Who got the credential, and how the last authorization failed."""
    status = datasource.status
    if status.last_authorized_as is not None:
        yield (Cell(f"The last person who authorized: {printable(status.last_authorized_as)}"),)
    last = status.last_authorization
    if last is not None and last.has_failed:
        yield (Cell(f"The last authorization failed, {when(last.time, now)}: {printable(last.message)}", "yellow"),)


def _reach(datasource: Datasource, now: datetime) -> Iterator[Line]:
    """Where the operator's pod cannot connect to the provider: since when, why, and what to do."""
    reachable = datasource.status.condition(PROVIDER_REACHABLE)
    if reachable is not None and reachable.status == "False":
        since = when(reachable.last_transition_time, now)
        yield (Cell(f"The provider cannot be reached, since {since}: {printable(reachable.message)}", "yellow"),)
    accepted = datasource.status.condition(ACCEPTED)
    if accepted is not None and accepted.status == "False":
        since = when(accepted.last_transition_time, now)
        yield (Cell(f"The service refuses the token, since {since}: {printable(accepted.message)}", "yellow"),)


def _history(events: Sequence[Event] | None, now: datetime) -> Iterator[Line]:
    if events is None:
        yield from ((Cell(""),), (Cell("You may not read Events here.", "dim"),))
    elif events:
        yield from ((Cell(""),), (Cell("Latest Events:"),))
        for event in latest(events):
            at = "" if event.seen_at is None else f" ({relative(event.seen_at, now)})"
            yield (Cell(f"  {printable(event.reason)}{at}: {printable(event.message)}"),)
