import msgspec

from datasource.api.states import Reason
from kubectl_datasource.advice import Advice, Command
from kubectl_datasource.explaining import explained, explained_json, latest
from kubectl_datasource.objects import Event
from tests.unit.kubectl_datasource.builders import NOW, datasource

ADVICE = Advice("What is wrong.", ("spec.oauth2",), (Command("kubectl fix", "mends it"),))


def event(minute: int, **changes: object) -> Event:
    raw = {"reason": f"R{minute}", "message": "m", "eventTime": f"2026-07-01T11:{minute:02}:00.000000Z"}
    return msgspec.convert(raw | changes, Event)


def text(*events: Event, allowed: bool = True, reason: Reason | None = Reason.GRANT_REVOKED, **given: object) -> str:
    seen = datasource(reason, **given)  # type: ignore[arg-type]
    lines = explained(seen, ADVICE, events if allowed else None, NOW)
    return "\n".join("".join(cell.text for cell in line) for line in lines)


def test_latest_events_come_last() -> None:
    found = latest([event(minute) for minute in (50, 10, 20, 40, 30, 5)])
    assert [each.reason for each in found] == ["R10", "R20", "R30", "R40", "R50"]


def test_repeated_event_is_as_late_as_its_last_time() -> None:
    repeated = event(1, series={"count": 3, "lastObservedTime": "2026-07-01T11:59:00Z"})
    assert latest([repeated, event(30)])[-1] == repeated
    assert latest([event(30), Event(reason="of no time")])[0].reason == "of no time"


def test_explanation_holds_state_message_place_command_and_events() -> None:
    shown = text(event(50))
    for part in ("shop/calendar: NOT AUTHORIZED (GrantRevoked)", "A message.", "Where: spec.oauth2", "  kubectl fix"):
        assert part in shown
    assert shown.endswith("R50 (10m ago): m")


def test_missing_right_to_events_is_told_and_no_events_are_not() -> None:
    assert "You may not read Events here." in text(allowed=False)
    assert "Events" not in text()


def test_stale_status_is_told() -> None:
    assert "latest change of the spec" in text(generation=2)
    assert "latest change of the spec" not in text(reason=None, generation=2)


def test_suspension_is_told() -> None:
    assert "is suspended by spec.suspend" in text(spec={"suspend": True})


def test_end_of_the_token_is_told() -> None:
    assert "2026-07-01T12:10:00Z (in 10m)" in text(reason=Reason.AUTHORIZED, expiresAt="2026-07-01T12:10:00Z")


def test_end_of_the_grant_is_told() -> None:
    assert "The grant ends: 2026-07-01T12:10:00Z (in 10m)" in text(grantExpiresAt="2026-07-01T12:10:00Z")
    assert "The grant ends" not in text()


def test_last_failure_and_whom_to_ask_are_told() -> None:
    failed = {"time": "2026-07-01T11:50:00Z", "outcome": "Failed", "message": "Consent was \x1b[31mdenied."}
    shown = text(lastAuthorization=failed, lastAuthorizedAs="ada@example.com")
    assert "The last authorization failed, 2026-07-01T11:50:00Z (10m ago): Consent was \\x1b[31mdenied." in shown
    assert "The last person who authorized: ada@example.com" in shown


def test_success_needs_no_line() -> None:
    stored = {"time": "2026-07-01T11:50:00Z", "outcome": "Succeeded", "message": "The new credential was stored."}
    assert "The last authorization" not in text(lastAuthorization=stored)


def test_escape_sequences_in_events_are_made_visible() -> None:
    assert "\x1b" not in text(event(1, message="\x1b[31mred"))


def test_json_tells_missing_rights_from_no_events() -> None:
    told = explained_json(datasource(), ADVICE, (event(50),))
    assert told["commands"] == [{"command": "kubectl fix", "purpose": "mends it"}]
    assert told["events"][0]["at"] == "2026-07-01T11:50:00+00:00"
    assert explained_json(datasource(), ADVICE, None)["events"] is None


def test_a_provider_that_cannot_be_reached_is_told_with_since_when() -> None:
    def shown(status: str) -> str:
        reachable = {
            "type": "ProviderReachable",
            "status": status,
            "reason": "NotConnected",
            "message": "It \x1brefuses.",
        }
        return text(conditions=[reachable | {"lastTransitionTime": "2026-07-01T11:50:00Z"}])

    assert "The provider cannot be reached, since 2026-07-01T11:50:00Z (10m ago): It \\x1brefuses." in shown("False")
    assert "cannot be reached" not in shown("True")


def test_a_token_that_the_service_refuses_is_told() -> None:
    accepted = {"type": "Accepted", "status": "False", "reason": "TokenRefused", "message": "It answered 401."}
    shown = text(conditions=[accepted | {"lastTransitionTime": "2026-07-01T11:50:00Z"}])
    assert "The service refuses the token, since 2026-07-01T11:50:00Z (10m ago): It answered 401." in shown
