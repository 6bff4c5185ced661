"""`list`: what the table and the JSON show of Datasources. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from datasource.api.states import State
from kubectl_datasource.objects import Datasource
from kubectl_datasource.words import Cell, Line, aligned, printable, relative

STYLES = {
    State.AUTHORIZED: "green",
    State.NOT_AUTHORIZED: "yellow",
    State.NOT_CONFIGURED: "yellow",
    State.ERROR: "red",
}

UNSEEN = "(not looked at yet)"


def by_place(datasources: Iterable[Datasource]) -> list[Datasource]:
    """Sorted by namespace, then by name."""
    return sorted(datasources, key=lambda each: (each.metadata.namespace, each.metadata.name))


def table(datasources: Sequence[Datasource], now: datetime, *, namespaces: bool, wide: bool) -> list[Line]:
    """The lines of the table."""
    headers = [
        *(["namespace"] if namespaces else []),
        *["name", "state", "ready", "expires", "authorized as"],
        *(["reason", "refreshed", "next refresh", "last authorization", "token secret", "url"] if wide else []),
    ]
    rows = [_row(each, now, namespaces=namespaces, wide=wide) for each in datasources]
    return aligned(headers, rows)


def state_cell(datasource: Datasource) -> Cell:
    """The state in its colour."""
    state = datasource.status.state
    return Cell(UNSEEN) if state is None else Cell(printable(state), _style(state))


def when(moment: str | None, now: datetime) -> str:
    """A time of the status, absolute and relative."""
    if moment is None:
        return ""
    try:
        return f"{printable(moment)} ({relative(datetime.fromisoformat(moment), now)})"
    except (ValueError, TypeError):
        return printable(moment)


def is_past(moment: str, now: datetime) -> bool:
    """Whether a time of the status is over; what cannot be read is not."""
    try:
        return datetime.fromisoformat(moment) <= now
    except (ValueError, TypeError):
        return False


def as_json(datasource: Datasource) -> dict[str, Any]:
    """One Datasource for programs. The link is left out: whoever has it can use it."""
    status = datasource.status
    return {
        "namespace": datasource.metadata.namespace,
        "name": datasource.metadata.name,
        "url": datasource.url,
        "state": status.state,
        "ready": _ready(datasource) == "True",
        "reason": datasource.reason or None,
        "message": datasource.message or None,
        "expiresAt": status.expires_at,
        "refreshedAt": status.refreshed_at,
        "nextRefresh": status.next_refresh,
        "grantExpiresAt": status.grant_expires_at,
        "authorizedAs": status.authorized_as,
        "authorizedAt": status.authorized_at,
        "lastAuthorizedAs": status.last_authorized_as,
        "lastAuthorization": msgspec.to_builtins(status.last_authorization),
        "tokenSecretName": status.token_secret_name,
        "waitsForPerson": status.authorization_link is not None,
        "isLookedAt": datasource.is_looked_at,
    }


def _row(datasource: Datasource, now: datetime, *, namespaces: bool, wide: bool) -> list[Cell]:
    status, metadata = datasource.status, datasource.metadata
    cells = [Cell(metadata.namespace)] if namespaces else []
    cells += [Cell(metadata.name), state_cell(datasource), Cell(_ready(datasource))]
    cells += [Cell(when(status.expires_at, now)), Cell(printable(status.authorized_as or ""))]
    if wide:
        texts = (
            datasource.reason,
            when(status.refreshed_at, now),
            when(status.next_refresh, now),
            "" if status.last_authorization is None else status.last_authorization.outcome,
            status.token_secret_name or "",
            datasource.url,
        )
        cells += [Cell(printable(text)) for text in texts]
    return cells


def _ready(datasource: Datasource) -> str:
    return "" if datasource.ready is None else printable(datasource.ready.status)


def _style(state: str) -> str:
    return STYLES[State(state)] if state in set(State) else ""
