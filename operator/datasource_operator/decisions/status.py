"""The status that a Datasource should have, and the patch that gets it there. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from datasource.api.clock import rfc3339
from datasource.api.names import authorization_link, page_link, ticket_in
from datasource.api.objects import (
    FAILED,
    SUCCEEDED,
    Condition,
    HandledEcho,
    HistoryEcho,
    LastAuthorization,
    Status,
)
from datasource.api.requests import echo
from datasource.api.spec import Spec, redirect_uri_of
from datasource.api.states import GRANT_EXPIRING, IMPORT_REFUSALS, IMPORTED, MEANING, Progress, Reason, State
from datasource.records.credential import Unreadable
from datasource.records.history import HistoryEntry
from datasource.records.link_keys import LinkKeys
from datasource.records.ticket import issue_ticket, marked_ticket, standing_ticket, ticket_fits
from datasource_operator.decisions.expiring_grants import expiring_grant, told_end_of_grant
from datasource_operator.decisions.imports import waiting_import
from datasource_operator.decisions.observed import Finding, Observed
from datasource_operator.decisions.outward_conditions import conditions_are_news, outward_conditions, transition_time
from datasource_operator.decisions.predicates import told_last
from datasource_operator.decisions.timing import next_refresh

# What the CRD allows, in code points. A provider decides how long some texts are, and one too long would make the whole
# status unwritable.
TEXT_LIMIT = 1024
SCOPES_LIMIT = 1000
MESSAGE_LIMIT = 32_768


@dataclass(frozen=True, slots=True)
class StatusSettings:
    """Settings of the process that a status is built with, besides what was observed."""

    external_url: str
    token_bytes: Callable[[int], bytes]
    link_keys: Callable[[], LinkKeys] = LinkKeys
    """The current keys for the marks of links."""
    signs_in: bool = False
    """Whether people sign in. Then a link has no ticket, and people may share it."""


def wanted_status(seen: Observed, finding: Finding, settings: StatusSettings) -> Status:
    """Build the status for a finding. The link, transition times and echoes are kept where they still hold."""
    facts = seen.facts if finding.state is State.AUTHORIZED else None
    return Status(
        state=finding.state,
        authorization_link=_link(seen, settings) if finding.needs_person else None,
        redirect_uri=redirect_uri_of(seen.oauth2, settings.external_url, seen.namespace, seen.name),
        expires_at=_expires_at(seen, finding),
        refreshed_at=None if facts is None else _rfc3339(facts.refreshed_at),
        grant_expires_at=_grant_expires_at(seen),
        granted_scopes=None if facts is None or not facts.granted_scopes else _bounded_scopes(facts.granted_scopes),
        authorized_as=None if facts is None or facts.authorized_as is None else _cut(facts.authorized_as, TEXT_LIMIT),
        authorized_at=None if facts is None else _rfc3339(facts.authorized_at),
        last_authorized_as=None if finding.state is State.AUTHORIZED else _whom_to_ask(seen),
        next_refresh=_rfc3339(next_refresh(seen)),
        last_authorization=_last_authorization(seen),
        token_secret_name=seen.spec.token_secret_name(seen.name) if isinstance(seen.spec, Spec) else None,
        observed_generation=seen.generation,
        handled=_echoes(seen, finding),
        history=_history(seen),
        conditions=_conditions(seen, finding),
    )


def _rfc3339(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def _history(seen: Observed) -> tuple[HistoryEcho, ...] | None:
    """The history: that of the status, unless a newer one was read from the Secret. It stays where the Secret is gone."""
    if seen.history is None or seen.history.entry_id != seen.last_act:
        return seen.status.history
    last = seen.history.entries[-1].id if seen.history.entries else None
    return seen.status.history if last == told_last(seen.status) else tuple(map(_told, seen.history.entries)) or None


def _told(entry: HistoryEntry) -> HistoryEcho:
    return HistoryEcho(id=entry.id, time=rfc3339(entry.time), what=entry.what, by=entry.by, result=entry.result)


def _grant_expires_at(seen: Observed) -> str | None:
    end = told_end_of_grant(seen)
    return None if end is None else rfc3339(end.at)


def _expires_at(seen: Observed, finding: Finding) -> str | None:
    """When the access token of apps expires. It is also shown after AUTHORIZED has ended, while the token Secret exists."""
    if finding.state is not State.AUTHORIZED and not seen.own_token_secrets:
        return None
    if isinstance(seen.credential, Unreadable):
        return seen.status.expires_at
    return None if seen.facts is None else _rfc3339(seen.facts.expires_at)


def _whom_to_ask(seen: Observed) -> str | None:
    """The account that authorized last, so that people know whom to ask. After a clear only the status has it."""
    last = None if seen.facts is None else seen.facts.authorized_as
    last = last or seen.status.authorized_as or seen.status.last_authorized_as
    return None if last is None else _cut(last, TEXT_LIMIT)


def _last_authorization(seen: Observed) -> LastAuthorization | None:
    """How the last authorization ended. Of two in the same second, the one in the status stays."""
    facts, stored = seen.facts, None
    if facts is not None and facts.authorized_at is not None:
        stored = LastAuthorization(rfc3339(facts.authorized_at), SUCCEEDED, "The new credential was stored.")
    known = (seen.status.last_authorization, stored, seen.failed_authorization)
    return max((each for each in known if each is not None), key=lambda each: each.time, default=None)


def essential_status(current: Status, wanted: Status, refusal: str) -> Status:
    """The current status with only the wanted state, conditions and generation, after the API server refused the rest."""
    note = f"Parts of the status are missing here, the API server refused them: {refusal}"
    # Only in Ready: every Datasource has that condition, and people read it.
    conditions = tuple(
        msgspec.structs.replace(each, message=f"{each.message} {note}"[:MESSAGE_LIMIT])
        if each.type == "Ready"
        else each
        for each in wanted.conditions or ()
    )
    return msgspec.structs.replace(
        current, state=wanted.state, observed_generation=wanted.observed_generation, conditions=conditions
    )


def status_patch(current: Status, wanted: Status, *, unknown: frozenset[str] = frozenset()) -> dict[str, Any] | None:
    """The merge patch (RFC 7386) from one status to another; None where they are the same.

    Args:
        unknown: fields to leave out, dotted where they are nested: the API server does not keep them.
    """
    if current == wanted:
        return None
    before, after = msgspec.to_builtins(current), msgspec.to_builtins(wanted)
    changes = _known(_difference(before, after), unknown)
    worth = [key for key in changes if key != "conditions" and _is_worth_a_write(key, before, after)]
    return {"status": changes} if worth or ("conditions" in changes and conditions_are_news(current, wanted)) else None


_NEVER_ALONE = frozenset({"authorizedAt", "grantExpiresAt", "nextRefresh", "lastAuthorizedAs"})
"""Fields that are written together with others only. So an upgrade does not write every status."""


def _is_worth_a_write(field: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    if field == "lastAuthorization":
        # A success is written with the state that it led to.
        return field not in after or after[field]["outcome"] == FAILED
    if field == "expiresAt" and field not in before:
        # Earlier versions wrote this field only while AUTHORIZED.
        return bool(after.get("state") == State.AUTHORIZED)
    return field not in _NEVER_ALONE


def brought_nearer(before: Status, after: Status) -> str | None:
    """The warning for a grant whose end came nearer by a step; None where the status had that step already.

    The step is in the status, so the next leader does not warn twice.
    """
    stood, stands = before.condition(GRANT_EXPIRING), after.condition(GRANT_EXPIRING)
    if stands is None or (stood is not None and stood.reason == stands.reason):
        return None
    return stands.message


def refused_import(before: Status, after: Status) -> str | None:
    """The warning for an import that failed; None where the status had it already."""
    stood, stands = before.condition(IMPORTED), after.condition(IMPORTED)
    if stands is None or stands.reason not in IMPORT_REFUSALS or (stood is not None and stood.reason == stands.reason):
        return None
    return stands.message


def dropped_fields(patch: Mapping[str, Any], written: Status) -> frozenset[str]:
    """The fields of a patch that the written status lacks, because the CRD does not have them. Nested ones are dotted."""
    return frozenset(_dropped(patch["status"], msgspec.to_builtins(written), ""))


def without(patch: Mapping[str, Any] | None, other: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a patch that another patch does not change."""
    rest: dict[str, Any] = {}
    for key, value in (patch or {}).items():
        if key not in other:
            rest[key] = value
        elif isinstance(value, dict) and isinstance(other[key], dict) and (nested := without(value, other[key])):
            rest[key] = nested
    return rest


def _known(patch: Mapping[str, Any], unknown: frozenset[str], prefix: str = "") -> dict[str, Any]:
    known: dict[str, Any] = {}
    for key, value in patch.items():
        if prefix + key in unknown:
            continue
        nested = _known(value, unknown, f"{prefix}{key}.") if isinstance(value, dict) else value
        # What was empty from the start stays; what is empty because all of it is unknown goes.
        if nested or nested == value:
            known[key] = nested
    return known


def _dropped(patch: Mapping[str, Any], written: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(written.get(key), dict):
            yield from _dropped(value, written[key], f"{prefix}{key}.")
        elif value is not None and key not in written:
            yield prefix + key


def _difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        if key not in before:
            changes[key] = value
        elif isinstance(value, dict) and isinstance(before[key], dict):
            if nested := _difference(before[key], value):
                changes[key] = nested
        elif before[key] != value:
            changes[key] = value
    return changes


def _bounded_scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    """Scopes within the bounds of the CRD. A last entry counts those that are left out; no scope has spaces as it has."""
    cut = tuple(_cut(scope, TEXT_LIMIT) for scope in scopes[:SCOPES_LIMIT])
    more = len(scopes) - SCOPES_LIMIT
    return cut if more <= 0 else (*cut[:-1], f"and {more + 1} more")


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _link(seen: Observed, settings: StatusSettings) -> str:
    """The link of the status, if its ticket still fits and it leads to us; else a new one. With sign-in it has no ticket."""
    if settings.signs_in:
        return page_link(settings.external_url, seen.namespace, seen.name)
    scope = seen.ticket_scope
    ticket = ticket_in(seen.status.authorization_link)
    keys = settings.link_keys()
    if ticket is None or not ticket_fits(ticket, scope):
        ticket = marked_ticket(issue_ticket(scope, settings.token_bytes), seen.namespace, seen.name, keys, seen.now)
    else:
        ticket = standing_ticket(ticket, seen.namespace, seen.name, keys, seen.now)
    return authorization_link(settings.external_url, seen.namespace, seen.name, ticket)


def _echoes(seen: Observed, finding: Finding) -> HandledEcho | None:
    """The values of requests that were acted on. A request for a new credential counts once a link is offered."""
    stood = seen.status.handled or HandledEcho()
    present, pending = seen.requests, seen.pending
    offered = finding.needs_person and finding.state is State.AUTHORIZED
    echoes = HandledEcho(
        clear_credential=_echo(present.clear_credential, pending.clear_credential, stood.clear_credential),
        new_credential=_echo(present.new_credential, None if offered else pending.new_credential, stood.new_credential),
        refresh=_echo(present.refresh, pending.refresh, stood.refresh),
    )
    return None if echoes == HandledEcho() else echoes


def _echo(present: str | None, pending: str | None, stood: str | None) -> str | None:
    return echo(present) if present is not None and pending is None else stood


def _conditions(seen: Observed, finding: Finding) -> tuple[Condition, ...]:
    """`Ready` always; `Reconciling`, `Stalled`, `GrantExpiring` only while True, as kstatus reads them; then outward ones."""
    ready = MEANING[finding.reason].state is State.AUTHORIZED and finding.reason is Reason.AUTHORIZED
    said = (finding.reason, finding.message)
    conditions = [_condition(seen, "Ready", "True" if ready else "False", *said)]
    if finding.progress is Progress.RECONCILING:
        conditions.append(_condition(seen, "Reconciling", "True", *said))
    elif finding.progress is Progress.STALLED:
        conditions.append(_condition(seen, "Stalled", "True", *said))
    if (waiting := waiting_import(seen)) is not None:
        conditions.append(_condition(seen, IMPORTED, "False", waiting.reason, waiting.message))
    if (grant := expiring_grant(seen)) is not None:
        conditions.append(_condition(seen, GRANT_EXPIRING, "True", grant.nearness, grant.message))
    return (*conditions, *outward_conditions(seen))


def _condition(seen: Observed, type_: str, status: str, reason: str, message: str) -> Condition:
    return Condition(
        type=type_,
        status=status,
        reason=reason,
        message=_cut(message, MESSAGE_LIMIT),
        last_transition_time=transition_time(seen.status.condition(type_), status, seen.now),
        observed_generation=seen.generation,
    )
