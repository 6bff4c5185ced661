"""One screen that says how a Datasource is."""

from typing import Any

import pytest

from datasource.api.states import Reason
from kubectl_datasource.advice import Advice, Command
from kubectl_datasource.status_screen import screen, status_json
from tests.unit.kubectl_datasource.builders import LINK, NOW, datasource

ADVICE = Advice("Somebody has to consent.", (), (Command("kubectl datasource authorize calendar", "gets a link"),))


def text(reason: Reason = Reason.AUTHORIZED, **given: Any) -> str:
    lines = screen(datasource(reason, **given), ADVICE, NOW)
    return "\n".join("".join(cell.text for cell in line).rstrip() for line in lines)


def test_state_people_times_conditions_and_what_to_do_fit_on_a_screen() -> None:
    shown = text(
        authorizedAs="ada@example.com",
        authorizedAt="2026-07-01T11:00:00Z",
        expiresAt="2026-07-01T12:10:00Z",
        nextRefresh="2026-07-01T12:05:00Z",
        tokenSecretName="calendar-token",
    )
    for part in (
        "shop/calendar: AUTHORIZED (Authorized)",
        "Authorized as         ada@example.com",
        "Access token until    2026-07-01T12:10:00Z (in 10m)",
        "Next refresh          2026-07-01T12:05:00Z (in 5m)",
        "Ready                 True, since",
        "A message.",
        "What to do next",
        "kubectl datasource authorize calendar",
    ):
        assert part in shown
    assert len(shown.splitlines()) <= 24
    assert "Last authorized as" not in shown


def test_failures_suspension_and_stale_statuses_are_told() -> None:
    failed = {"time": "2026-07-01T11:50:00Z", "outcome": "Failed", "message": "Consent was \x1b[31mdenied."}
    shown = text(
        Reason.GRANT_REVOKED, lastAuthorization=failed, lastAuthorizedAs="ada", generation=2, spec={"suspend": True}
    )
    assert "failed 2026-07-01T11:50:00Z (10m ago): Consent was \\x1b[31mdenied." in shown
    assert "Last authorized as    ada" in shown
    assert "Suspended             yes" in shown
    assert "latest change of the spec" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("reason", [Reason.AUTHORIZED, Reason.GRANT_REVOKED])
def test_who_can_be_asked_is_said_in_each_state(reason: Reason) -> None:
    asked: dict[str, Any] = {"spec": {"display": {"contact": "facilities\u202e, ext. 12"}}, "lastAuthorizedAs": "ada"}
    shown = text(reason, **asked)
    assert "Whom to ask           facilities\\u202e, ext. 12" in shown
    assert "Last authorized as    ada" in shown
    told = status_json(datasource(reason, **asked), ADVICE)
    assert (told["contact"], told["lastAuthorizedAs"]) == ("facilities\u202e, ext. 12", "ada")


@pytest.mark.parametrize("display", [None, "text", 7, [], {}, {"contact": 7}, {"contact": None}])
def test_display_that_is_none_breaks_nothing(display: Any) -> None:
    assert "Whom to ask" not in text(spec={"display": display})
    assert status_json(datasource(Reason.AUTHORIZED, spec={"display": display}), ADVICE)["contact"] is None


def test_before_the_operator_has_looked_there_are_no_conditions() -> None:
    lines = ["".join(cell.text for cell in line) for line in screen(datasource(None), ADVICE, NOW)]
    assert lines[0] == "shop/calendar: (not looked at yet)"
    assert "Conditions" not in lines


def test_json_has_conditions_and_no_link() -> None:
    told = status_json(datasource(Reason.AUTHORIZATION_REQUIRED, authorizationLink=LINK), ADVICE)
    assert [each["type"] for each in told["conditions"]] == ["Ready"]
    assert told["commands"][0]["command"] == "kubectl datasource authorize calendar"
    assert LINK not in repr(told)


@pytest.mark.parametrize(
    ("type_", "status", "style"),
    [
        ("Ready", "False", "yellow"),
        ("Imported", "False", "yellow"),
        ("ProviderReachable", "True", "green"),
        ("Accepted", "Unknown", "yellow"),
        ("GrantExpiring", "True", "yellow"),
        ("Stalled", "True", "yellow"),
    ],
)
def test_condition_that_asks_for_a_look_is_not_green(type_: str, status: str, style: str) -> None:
    condition = {"type": type_, "status": status, "reason": "Why", "message": "A message."}
    shown = datasource(Reason.AUTHORIZED, conditions=[condition | {"lastTransitionTime": "2026-07-01T11:00:00Z"}])
    (cell,) = [cell for line in screen(shown, ADVICE, NOW) for cell in line if cell.text == status]
    assert cell.style == style
