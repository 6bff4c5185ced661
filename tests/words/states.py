"""A Datasource of each reason, as the operator decides on it, and what people then read of it."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

import msgspec

from datasource.api.names import Role
from datasource.api.states import Reason
from datasource.oauth2.errors import InvalidClient, NotDelivered
from datasource.records.credential import Unreadable
from datasource_operator.decisions.findings import finding_of
from datasource_operator.decisions.observed import Finding, Observed, Surroundings
from datasource_operator.decisions.obstacles import secret_conflict, secrets_forbidden
from datasource_operator.decisions.refresh_outcome import refresh_outcome
from datasource_operator.decisions.setbacks import BLOCKED_PAUSE, Setback
from datasource_operator.decisions.status import wanted_status
from kubectl_datasource import objects
from kubectl_datasource.advice import Case
from kubectl_datasource.explaining import explained
from kubectl_datasource.listing import table
from kubectl_datasource.remedies import advice_for
from kubectl_datasource.words import Line
from tests.support.builders import (
    NAME,
    NAMESPACE,
    NOW,
    credential,
    facts,
    invalid_spec,
    observed,
    raw_spec,
    spec,
    spec_without_oauth2,
    status_settings,
    tombstone,
)
from tests.unit.datasource_operator.decisions.test_refresh_outcome import turn

_EXPIRED = NOW - timedelta(minutes=9)


def _after(answer: Exception) -> Observed:
    """A Datasource whose refresh was answered so."""
    setback = getattr(refresh_outcome(turn(), answer, NOW), "trouble", None)  # type: ignore[arg-type]
    assert isinstance(setback, Setback)
    return observed(
        credential(expires_at=_EXPIRED, granted_scopes=()), trouble=setback.trouble(facts(), BLOCKED_PAUSE, NOW)
    )


def _blocked(finding: Finding) -> Observed:
    return observed(surroundings=Surroundings(finding))


def _without(field: str) -> Observed:
    return observed(wanted=spec(**{field: None}))


MISSING = Finding(
    Reason.CLIENT_SECRET_NOT_FOUND,
    "Secret my-app named by spec.oauth2.clientSecretRef does not exist.",
)
"""As the client Secret's look says it; the look itself needs a cluster."""

SEEN: Mapping[str, Observed] = {
    "authorized": observed(credential()),
    "authorized, with gaps": observed(
        credential(has_refresh_token=False, requested_scopes=("read", "write"), granted_scopes=("read",))
    ),
    "authorized, lifetime unknown": observed(credential(expires_at=None, granted_scopes=())),
    "refreshing fails": _after(NotDelivered("login.example.com cannot be reached.")),
    "suspended": observed(credential(), wanted=msgspec.structs.replace(spec(), suspend=True)),
    "never authorized": observed(),
    "cleared": observed(tombstone()),
    "parameters changed": observed(credential(), wanted=spec(clientID="another-app")),
    "grant revoked": observed(
        credential(verdict=Reason.GRANT_REVOKED, verdict_message="The provider says: invalid_grant.")
    ),
    "token expired": observed(credential(has_refresh_token=False, expires_at=_EXPIRED)),
    "refresh interrupted": observed(credential(verdict=Reason.REFRESH_INTERRUPTED)),
    "no parameters": observed(wanted=spec_without_oauth2()),
    "parameters incomplete": _without("tokenURL"),
    "client Secret missing": _blocked(MISSING),
    "Secret in the way": _blocked(secret_conflict("calendar-oauth2-credential", Role.CREDENTIAL)),
    "token Secret in the way": _blocked(secret_conflict("calendar-token", Role.TOKEN)),
    "credential unreadable": observed(Unreadable("the annotation datasource.dev/revision is no number")),
    "client rejected": _after(InvalidClient("invalid_client: no such client.")),
    "configuration invalid": observed(wanted=invalid_spec()),
    "rights missing": _blocked(secrets_forbidden(NAMESPACE)),
}


def as_kubectl_shows(seen: Observed) -> objects.Datasource:
    """What the API server gives the plugin, once the operator has written the status."""
    status = wanted_status(seen, finding_of(seen), status_settings())
    raw = {
        "metadata": {"name": NAME, "namespace": NAMESPACE, "uid": seen.uid, "generation": seen.generation},
        "spec": {**raw_spec(), "suspend": seen.is_suspended},
        "status": msgspec.to_builtins(status),
    }
    if isinstance(seen.spec, type(spec())) and seen.spec.oauth2 is None:
        del raw["spec"]["oauth2"]
    return msgspec.convert(raw, objects.Datasource)


def _plain(lines: Iterator[Line] | list[Line]) -> list[str]:
    return ["".join(cell.text for cell in line).rstrip() for line in lines]


def texts(seen: Observed) -> Iterator[str]:
    """What people read, as Markdown: `kubectl datasource list`, the Ready condition, `explain`."""
    shown = as_kubectl_shows(seen)
    ready = shown.ready
    assert ready is not None
    yield "```"
    yield from _plain(table([shown], NOW, namespaces=False, wide=False))
    yield "```"
    yield ""
    yield f"`{ready.reason}` (Ready is {ready.status}): {ready.message}"
    yield ""
    advice = advice_for(Case(shown, (), None))
    yield "```"
    yield from _plain(explained(shown, advice, (), NOW))[1:]
    yield "```"
