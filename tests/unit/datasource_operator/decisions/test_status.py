"""What a user reads, and the patch that gets it there."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.clock import rfc3339
from datasource.api.names import ticket_in
from datasource.api.objects import FAILED, SUCCEEDED, Condition, HandledEcho, HistoryEcho, LastAuthorization, Status
from datasource.api.requests import Requests
from datasource.api.spec import Spec
from datasource.api.states import Reason, State
from datasource.records.credential import Unreadable
from datasource.records.history import Act, entry_of
from datasource.records.ticket import ticket_fits
from datasource_operator.decisions.findings import finding_of
from datasource_operator.decisions.observed import Finding, HistoryRead, Observed
from datasource_operator.decisions.status import (
    MESSAGE_LIMIT,
    brought_nearer,
    dropped_fields,
    essential_status,
    status_patch,
    wanted_status,
    without,
)
from tests.support.builders import (
    DANGLING,
    EXTERNAL_URL,
    NOW,
    credential,
    handled,
    invalid_spec,
    live,
    observed,
    problem,
    settled,
    spec,
    spec_without_oauth2,
    status_settings,
    token_secret,
    tombstone,
    trouble,
)
from tests.support.merge_patch import merge_patched
from tests.unit.walks import walks

LATER = timedelta(hours=3)
EARLIER = "2026-06-30T08:00:00Z"

# The letters S and R of the table in design.md section 2.
STALLED = {
    Reason.OAUTH2_MISSING,
    Reason.PARAMETERS_INCOMPLETE,
    Reason.SECRET_CONFLICT,
    Reason.CLIENT_REJECTED,
    Reason.INVALID_CONFIGURATION,
}
RECONCILING = {Reason.REFRESH_FAILING, Reason.CLIENT_SECRET_NOT_FOUND, Reason.SECRETS_FORBIDDEN}


def status_of(seen: Observed) -> Status:
    """The status that a Datasource should have."""
    return settled(seen).status


def link_of(seen: Observed) -> str | None:
    """The link that its status should have."""
    return status_of(seen).authorization_link


def ready(seen: Observed) -> Condition:
    """Its Ready condition."""
    condition = status_of(seen).condition("Ready")
    assert condition is not None
    return condition


# Fields.


def test_a_new_datasource_is_told_its_redirect_uri_before_anything_is_filled_in() -> None:
    status = status_of(observed(wanted=spec_without_oauth2()))
    assert status.state == State.NOT_CONFIGURED
    assert status.redirect_uri == "https://connect.example.com/callback/shop"
    assert status.authorization_link is None


def test_redirect_uri_is_the_one_that_the_spec_asks_for() -> None:
    own = status_of(observed(wanted=spec(redirectURI="PerDatasource")))
    assert own.redirect_uri == "https://connect.example.com/callback/shop/calendar"


def test_an_authorized_datasource_shows_what_was_granted_to_whom_and_until_when() -> None:
    status = status_of(observed(credential()))
    assert status.state == State.AUTHORIZED
    assert status.expires_at == "2026-07-01T13:00:00Z"
    assert status.refreshed_at == "2026-07-01T11:55:00Z"
    assert status.granted_scopes == ("read",)
    assert status.authorized_as == "ada@example.com"
    assert status.token_secret_name == "calendar-token"
    assert status.authorization_link is None


def test_what_the_provider_did_not_tell_is_left_out() -> None:
    silent = credential(expires_at=None, refreshed_at=None, granted_scopes=(), authorized_as=None)
    shown = msgspec.to_builtins(status_of(observed(silent)))
    assert not {"expiresAt", "refreshedAt", "grantedScopes", "authorizedAs"} & set(shown)


@pytest.mark.parametrize(
    "seen",
    [
        observed(credential(obtained_with=spec(clientID="other"))),
        observed(credential(expires_at=NOW, has_refresh_token=False)),
        observed(tombstone()),
        observed(credential(), wanted=spec_without_oauth2()),
        observed(credential(), wanted=invalid_spec()),
        observed(credential(owners=DANGLING)),
    ],
)
def test_nothing_is_told_of_a_credential_that_is_not_in_use(seen: Observed) -> None:
    status = status_of(live(seen))
    assert (status.expires_at, status.refreshed_at, status.granted_scopes, status.authorized_as) == (None,) * 4


# What stays when AUTHORIZED ends, and what is planned.

YESTERDAY = NOW - timedelta(days=1)
LONG_AGO = LastAuthorization("2026-01-01T00:00:00Z", SUCCEEDED, "The new credential was stored.")
FAILURE = LastAuthorization("2026-06-30T12:00:00Z", FAILED, "Consent was denied.")


def test_whoever_authorized_is_named_after_the_grant_has_died() -> None:
    dead = credential(verdict=Reason.GRANT_REVOKED)
    status = status_of(live(observed(dead)))
    assert status.state == State.NOT_AUTHORIZED
    assert (status.authorized_as, status.last_authorized_as) == (None, "ada@example.com")


@pytest.mark.parametrize("stood", [Status(authorized_as="bo@example.com"), Status(last_authorized_as="bo@example.com")])
def test_a_clear_leaves_whom_to_ask_in_the_status(stood: Status) -> None:
    assert status_of(live(observed(tombstone(), status=stood))).last_authorized_as == "bo@example.com"


def test_who_authorized_before_is_forgotten_once_somebody_else_did() -> None:
    stood = Status(last_authorized_as="bo@example.com")
    assert status_of(observed(credential(authorized_as=None), status=stood)).last_authorized_as is None


def test_expiry_stays_for_as_long_as_apps_have_the_token() -> None:
    dead = credential(verdict=Reason.GRANT_REVOKED)
    assert status_of(live(observed(dead, token_secret(dead)))).expires_at == "2026-07-01T13:00:00Z"
    assert status_of(live(observed(credential(), token_secret(), wanted=invalid_spec()))).expires_at is not None
    assert status_of(live(observed(dead, token_secret(dead, owners=DANGLING)))).expires_at is None


def test_expiry_stays_while_the_credential_cannot_be_read() -> None:
    seen = observed(Unreadable("data"), token_secret(), status=Status(expires_at="2026-07-01T13:00:00Z"))
    assert status_of(live(seen)).expires_at == "2026-07-01T13:00:00Z"


def test_the_next_refresh_is_the_same_whenever_it_is_asked_for() -> None:
    shown = {status_of(observed(credential(), now=NOW + timedelta(minutes=each))).next_refresh for each in range(3)}
    assert len(shown) == 1
    assert "2026-07-01T12:00:00Z" < str(shown.pop()) < "2026-07-01T13:00:00Z"


@pytest.mark.parametrize(
    "seen",
    [
        observed(credential(has_refresh_token=False)),
        observed(credential(), wanted=msgspec.structs.replace(spec(), suspend=True)),
        observed(credential(verdict=Reason.GRANT_REVOKED)),
        observed(credential(), wanted=invalid_spec()),
        observed(credential(refreshed_at=None)),
    ],
)
def test_no_refresh_is_announced_where_none_will_come(seen: Observed) -> None:
    assert status_of(live(seen)).next_refresh is None


def test_a_success_is_the_last_authorization_and_stays_after_a_clear() -> None:
    status = status_of(observed(credential(authorized_at=YESTERDAY)))
    assert status.authorized_at == "2026-06-30T12:00:00Z"
    assert status.last_authorization == LastAuthorization(status.authorized_at, SUCCEEDED, LONG_AGO.message)
    assert status_of(live(observed(tombstone(), status=status))).last_authorization == status.last_authorization


@pytest.mark.parametrize(
    ("stood", "stored", "heard", "last"),
    [
        pytest.param(None, None, FAILURE, FAILURE, id="the first"),
        pytest.param(LONG_AGO, None, FAILURE, FAILURE, id="newer than what stands"),
        pytest.param(FAILURE, None, None, FAILURE, id="after a restart"),
        pytest.param(FAILURE, NOW, FAILURE, None, id="mended since"),
        pytest.param(FAILURE, YESTERDAY, FAILURE, FAILURE, id="in the same second"),
        pytest.param(None, None, None, None, id="none"),
    ],
)
def test_the_last_authorization_is_the_latest_that_is_known(
    stood: LastAuthorization | None, stored: Any, heard: LastAuthorization | None, last: LastAuthorization | None
) -> None:
    seen = observed(
        credential(authorized_at=stored), status=Status(last_authorization=stood), failed_authorization=heard
    )
    found = status_of(seen).last_authorization
    assert found == (
        last if stored is not NOW else LastAuthorization("2026-07-01T12:00:00Z", SUCCEEDED, LONG_AGO.message)
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"next_refresh": "2026-07-01T12:40:00Z"},
        {"authorized_at": "2026-07-01T12:40:00Z", "last_authorization": LONG_AGO},
        {"last_authorized_as": "ada@example.com"},
    ],
)
def test_what_is_only_good_to_know_is_written_with_something_else_and_never_alone(changes: dict[str, Any]) -> None:
    stands = status_of(observed(credential()))
    assert status_patch(stands, msgspec.structs.replace(stands, **changes)) is None
    beside = status_patch(stands, msgspec.structs.replace(stands, expires_at="2026-07-01T14:00:00Z", **changes))
    assert beside is not None
    assert len(beside["status"]) == 1 + len(changes)


def test_no_status_is_written_for_the_end_of_a_token_that_earlier_versions_told_of_authorized_alone() -> None:
    stands = status_of(observed(credential()))
    before = msgspec.structs.replace(stands, state=State.NOT_AUTHORIZED, expires_at=None)
    assert status_patch(before, msgspec.structs.replace(before, expires_at="2026-07-01T14:00:00Z")) is None
    authorized = msgspec.structs.replace(stands, state=State.AUTHORIZED, expires_at=None)
    assert status_patch(authorized, msgspec.structs.replace(authorized, expires_at="2026-07-01T14:00:00Z")) is not None


def test_a_failure_is_worth_a_write_of_its_own() -> None:
    stands = status_of(observed(credential(), status=Status(last_authorization=LONG_AGO)))
    patch = status_patch(stands, msgspec.structs.replace(stands, last_authorization=FAILURE))
    assert patch is not None
    assert list(patch["status"]) == ["lastAuthorization"]


def test_the_name_of_the_token_secret_is_the_one_in_the_spec() -> None:
    assert status_of(observed(wanted=spec(token_secret={"name": "mounted"}))).token_secret_name == "mounted"


def test_an_invalid_spec_names_no_token_secret() -> None:
    assert status_of(observed(wanted=invalid_spec())).token_secret_name is None


@pytest.mark.parametrize("wanted", [spec(), spec_without_oauth2(), invalid_spec()])
def test_the_generation_that_was_looked_at_is_told_everywhere(wanted: Spec) -> None:
    status = status_of(observed(wanted=wanted, generation=7))
    assert status.observed_generation == 7
    assert {condition.observed_generation for condition in status.conditions or ()} == {7}


# Links.


def test_whoever_waits_for_a_person_gets_a_link_that_fits() -> None:
    link = link_of(observed())
    assert link is not None
    assert link.startswith("https://connect.example.com/authorize/shop/calendar?ticket=")
    ticket = ticket_in(link)
    assert ticket is not None
    assert ticket_fits(ticket, observed().ticket_scope)


WITHOUT_A_LINK = {
    "authorized": observed(credential()),
    "not configured": observed(wanted=spec(clientID=None)),
    "invalid": observed(wanted=invalid_spec()),
    "something in the way": live(observed(), problem=problem()),
    "unreadable": observed(Unreadable("annotation x")),
}


@pytest.mark.parametrize("seen", WITHOUT_A_LINK.values(), ids=WITHOUT_A_LINK)
def test_where_no_person_can_help_there_is_no_link(seen: Observed) -> None:
    assert link_of(seen) is None
    assert status_of(replace(seen, status=status_of(observed()))).authorization_link is None


def other_random(seen: Observed) -> Status:
    """The wanted status, were a new ticket to be made with other random bytes."""
    return wanted_status(seen, finding_of(seen), status_settings(random_byte=b"s"))


def test_a_link_that_stands_and_fits_is_kept() -> None:
    waiting = settled(observed())
    assert other_random(waiting).authorization_link == waiting.status.authorization_link


LINK_ENDS = {
    "used: there is a credential now, and a new one was asked for": {
        "credential": credential(),
        "requests": Requests(new_credential="1"),
    },
    "cleared": {"credential": tombstone()},
    "parameters edited": {"spec": spec(scopes=["read"])},
    "another Datasource of that name": {"uid": "another-uid"},
}


@pytest.mark.parametrize("changes", LINK_ENDS.values(), ids=LINK_ENDS)
def test_a_link_ends_with_what_it_was_offered_for(changes: dict[str, Any]) -> None:
    waiting = settled(observed())
    link = other_random(replace(waiting, **changes)).authorization_link
    assert link is not None
    assert link != waiting.status.authorization_link


def test_a_link_that_somebody_made_up_is_replaced() -> None:
    made_up = Status(authorization_link=f"{EXTERNAL_URL}/authorize/shop/calendar?ticket={'a' * 48}")
    assert link_of(observed(status=made_up)) == link_of(observed())


def test_a_standing_link_moves_with_the_external_url() -> None:
    waiting = settled(observed())
    moved = wanted_status(waiting, finding_of(waiting), status_settings("https://moved.example.com/prefix", b"s"))
    assert moved.authorization_link is not None
    assert moved.authorization_link.startswith("https://moved.example.com/prefix/authorize/shop/calendar?")
    assert ticket_in(moved.authorization_link) == ticket_in(waiting.status.authorization_link)
    assert moved.redirect_uri == "https://moved.example.com/prefix/callback/shop"


def test_a_link_is_offered_beside_a_credential_that_works() -> None:
    status = status_of(observed(credential(), requests=Requests(new_credential="1")))
    assert status.state == State.AUTHORIZED
    assert status.authorization_link is not None
    assert status.expires_at is not None


# Conditions.


@pytest.mark.parametrize("reason", Reason)
def test_conditions_are_what_kstatus_reads(reason: Reason) -> None:
    status = wanted_status(observed(), Finding(reason, "what and how"), status_settings())
    conditions = {condition.type: condition for condition in status.conditions or ()}
    assert conditions["Ready"].status == ("True" if reason is Reason.AUTHORIZED else "False")
    assert ("Stalled" in conditions) is (reason in STALLED)
    assert ("Reconciling" in conditions) is (reason in RECONCILING)
    assert {each.status for type_, each in conditions.items() if type_ != "Ready"} <= {"True"}
    assert {(each.reason, each.message) for each in conditions.values()} == {(reason.value, "what and how")}


def test_a_condition_begins_now() -> None:
    assert ready(observed()).last_transition_time == "2026-07-01T12:00:00Z"


def standing(status: str) -> Status:
    """A status whose Ready condition stands since yesterday."""
    return Status(conditions=(Condition("Ready", status, "Before", "before", EARLIER),))


def test_a_condition_keeps_its_time_while_its_status_stands() -> None:
    """Also where reason and message change: it is the time of the last change of status."""
    kept = ready(observed(status=standing("False")))
    assert (kept.last_transition_time, kept.reason) == (EARLIER, Reason.AUTHORIZATION_REQUIRED)


def test_a_condition_begins_anew_when_its_status_changes() -> None:
    assert ready(observed(credential(), status=standing("False"))).last_transition_time == "2026-07-01T12:00:00Z"
    assert ready(observed(status=standing("True"))).last_transition_time == "2026-07-01T12:00:00Z"


def test_a_condition_of_another_operator_goes() -> None:
    strange = Status(conditions=(Condition("Issuing", "True", "Strange", "", EARLIER),))
    assert [condition.type for condition in status_of(observed(status=strange)).conditions or ()] == ["Ready"]


def test_stalled_and_reconciling_go_once_they_are_over() -> None:
    stalled = settled(observed(wanted=spec_without_oauth2()))
    assert stalled.status.condition("Stalled") is not None
    assert settled(replace(stalled, spec=spec())).status.condition("Stalled") is None
    reconciling = settled(live(observed(), problem=problem(Reason.CLIENT_SECRET_NOT_FOUND)))
    assert reconciling.status.condition("Reconciling") is not None
    assert settled(replace(reconciling, surroundings=None)).status.condition("Reconciling") is None


# Echoes of requests.


def echoes(seen: Observed) -> HandledEcho | None:
    """What its status says of requests."""
    return status_of(seen).handled


def test_nothing_is_echoed_where_nothing_was_asked() -> None:
    assert echoes(observed()) is None


def test_a_request_is_echoed_once_it_was_acted_on() -> None:
    asked = Requests(clear_credential="1", new_credential="2", refresh="3")
    done = handled(clear_credential="1", new_credential="2", refresh="3")
    assert echoes(observed(credential(handled=done), requests=asked)) == HandledEcho("1", "2", "3")
    assert echoes(observed(credential(), requests=Requests(refresh="3"))) is None


def test_a_new_credential_is_acted_on_by_the_link_that_is_offered() -> None:
    assert echoes(observed(credential(), requests=Requests(new_credential="1"))) == HandledEcho(new_credential="1")


def test_a_new_credential_is_acted_on_while_refreshing_fails_too() -> None:
    dead = credential(expires_at=NOW)
    failing = observed(dead, requests=Requests(new_credential="1"), trouble=trouble())
    assert link_of(failing) is not None
    assert echoes(failing) == HandledEcho(new_credential="1")


def test_a_new_credential_is_not_acted_on_where_the_link_is_there_for_another_reason() -> None:
    assert echoes(observed(tombstone(), requests=Requests(new_credential="1"))) is None


def test_an_echo_stays_when_the_annotation_goes_or_a_new_value_waits() -> None:
    said = Status(handled=HandledEcho(clear_credential="1"))
    assert echoes(observed(tombstone(), status=said)) == said.handled
    assert echoes(observed(tombstone(), status=said, requests=Requests(clear_credential="2"))) == said.handled


def test_a_later_value_replaces_the_echo() -> None:
    said = Status(handled=HandledEcho(clear_credential="1", refresh="r"))
    done = tombstone(handled=handled(clear_credential="2"))
    seen = observed(done, status=said, requests=Requests(clear_credential="2"))
    assert echoes(seen) == HandledEcho(clear_credential="2", refresh="r")


def test_a_long_value_is_echoed_by_its_digest() -> None:
    long = "x" * 254
    said = echoes(observed(tombstone(handled=handled(refresh=long)), requests=Requests(refresh=long)))
    assert said is not None
    assert said.refresh is not None
    assert said.refresh.startswith("sha256:")


# Patches.


def test_a_status_that_is_right_needs_no_patch_whatever_the_time() -> None:
    waiting = settled(observed())
    later = replace(waiting, now=NOW + LATER)
    assert status_patch(waiting.status, other_random(later)) is None


def test_a_patch_says_only_what_changes() -> None:
    before = Status(state="NOT AUTHORIZED", authorization_link="link", handled=HandledEcho("1", None, "3"))
    after = Status(state="AUTHORIZED", handled=HandledEcho("1", "2"))
    assert status_patch(before, after) == {
        "status": {
            "state": "AUTHORIZED",
            "authorizationLink": None,
            "handled": {"newCredential": "2", "refresh": None},
        }
    }


def test_a_patch_replaces_conditions_as_a_whole() -> None:
    """A merge patch knows no lists."""
    before = settled(observed(wanted=spec_without_oauth2()))
    after = settled(replace(before, spec=spec()))
    patch = status_patch(before.status, after.status)
    assert patch is not None
    assert [condition["type"] for condition in patch["status"]["conditions"]] == ["Ready"]


def test_a_patch_survives_the_way_over_json() -> None:
    wanted = status_of(observed(credential()))
    patch = status_patch(Status(), wanted)
    assert patch is not None
    assert msgspec.json.decode(msgspec.json.encode(patch["status"]), type=Status) == wanted


TEXTS = st.none() | st.sampled_from(["", "a", "b"])
CONDITIONS = st.builds(
    Condition,
    type=st.sampled_from(["Ready", "Stalled", "Reconciling"]),
    status=st.sampled_from(["True", "False"]),
    reason=st.sampled_from(["One", "Other"]),
    message=st.sampled_from(["", "a"]),
    last_transition_time=st.just(EARLIER),
    observed_generation=st.integers(0, 2),
)
STATUSES = st.builds(
    Status,
    state=st.none() | st.sampled_from(State),
    authorization_link=TEXTS,
    redirect_uri=TEXTS,
    # One that comes alone is written for AUTHORIZED only.
    expires_at=st.sampled_from(["", "a"]),
    refreshed_at=TEXTS,
    granted_scopes=st.none() | st.lists(st.sampled_from(["read", "write"]), max_size=2).map(tuple),
    authorized_as=TEXTS,
    token_secret_name=TEXTS,
    observed_generation=st.none() | st.integers(-1, 2),
    handled=st.none() | st.builds(HandledEcho, TEXTS, TEXTS, TEXTS),
    conditions=st.none() | st.lists(CONDITIONS, max_size=2).map(tuple),
)


@given(STATUSES, STATUSES)
def test_a_patch_makes_of_one_status_exactly_the_other(current: Status, wanted: Status) -> None:
    patch = status_patch(current, wanted)
    patched = merge_patched({"status": msgspec.to_builtins(current)}, patch or {})
    assert patched == {"status": msgspec.to_builtins(wanted)}


@given(STATUSES, STATUSES | st.none())
def test_there_is_no_patch_exactly_where_nothing_differs(current: Status, other: Status | None) -> None:
    wanted = current if other is None else other
    as_stored = msgspec.convert(msgspec.to_builtins(current), Status)
    assert (status_patch(as_stored, wanted) is None) is (msgspec.to_builtins(current) == msgspec.to_builtins(wanted))


@given(STATUSES)
@walks(8, 50)
def test_a_status_written_once_needs_no_second_patch(current: Status) -> None:
    seen = observed(credential(), status=current)
    wanted = wanted_status(seen, finding_of(seen), status_settings())
    written = msgspec.convert(msgspec.to_builtins(wanted), Status)
    again = replace(seen, status=written, now=NOW + timedelta(minutes=1))
    assert status_patch(written, wanted_status(again, finding_of(again), status_settings(random_byte=b"s"))) is None


# What the API server does not take.


def test_a_field_that_the_schema_does_not_know_is_told_by_the_answer() -> None:
    patch = {
        "status": {"state": "AUTHORIZED", "expiresAt": EARLIER, "handled": {"refresh": "1", "newCredential": None}}
    }
    assert dropped_fields(patch, Status(state="AUTHORIZED", handled=HandledEcho("0"))) == {
        "expiresAt",
        "handled.refresh",
    }
    assert dropped_fields(patch, Status(state="AUTHORIZED")) == {"expiresAt", "handled"}
    assert dropped_fields(patch, Status(state="X", expires_at="other", handled=HandledEcho(refresh="1"))) == set()


def test_fields_that_are_known_to_be_dropped_make_no_patch() -> None:
    wanted = Status(state="AUTHORIZED", expires_at=EARLIER, handled=HandledEcho("1", None, "3"))
    unknown = frozenset({"expiresAt", "handled.refresh"})
    assert status_patch(Status(), wanted, unknown=unknown) == {
        "status": {"state": "AUTHORIZED", "handled": {"clearCredential": "1"}}
    }
    stands = Status(state="AUTHORIZED", handled=HandledEcho("1"))
    assert status_patch(stands, wanted, unknown=unknown) is None
    assert status_patch(stands, wanted, unknown=unknown - {"expiresAt"}) == {"status": {"expiresAt": EARLIER}}


@given(STATUSES, STATUSES)
def test_of_a_patch_nothing_is_left_without_itself(current: Status, wanted: Status) -> None:
    patch = status_patch(current, wanted)
    assert without(patch, patch or {}) == {}
    assert without(patch, {}) == (patch or {})


def leaves(patch: Mapping[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of everything that a patch sets or takes away."""
    for key, value in patch.items():
        if isinstance(value, dict):
            yield from leaves(value, (*before, key))
        else:
            yield (*before, key)


def touches(patch: Any, path: tuple[str, ...]) -> bool:
    """Whether a patch decides about what stands there."""
    for key in path:
        if not isinstance(patch, dict):
            return True
        if key not in patch:
            return False
        patch = patch[key]
    return True


@given(STATUSES, STATUSES, STATUSES)
@walks(8, 50)
def test_of_a_patch_is_left_what_the_other_does_not_touch(current: Status, wanted: Status, other: Status) -> None:
    patch, refused = status_patch(current, wanted) or {}, status_patch(current, other) or {}
    assert set(leaves(without(patch, refused))) == {path for path in leaves(patch) if not touches(refused, path)}


# The end of a grant.


def expiring(left: timedelta = timedelta(days=2), **changes: Any) -> Observed:
    """A grant of a year that ends so soon."""
    ends: dict[str, Any] = {"grant_expires_at": NOW + left, "grant_lifetime": timedelta(days=365)}
    return observed(credential(**(ends | changes)))


def test_condition_is_there_only_while_a_grant_is_expiring() -> None:
    condition = status_of(expiring()).condition("GrantExpiring")
    assert condition is not None
    assert (condition.status, condition.reason) == ("True", "EndsWithinThreeDays")
    assert condition.message in ready(expiring()).message
    assert ready(expiring()).status == "True"
    assert status_of(expiring(timedelta(days=30))).condition("GrantExpiring") is None
    assert link_of(expiring()) is not None
    assert link_of(expiring(timedelta(days=30))) is None


def test_condition_says_since_when_the_grant_is_expiring() -> None:
    first = settled(expiring())
    later = status_of(replace(first, now=NOW + timedelta(hours=47))).condition("GrantExpiring")
    assert later is not None
    assert (later.reason, later.last_transition_time) == ("EndsWithinADay", "2026-07-01T12:00:00Z")


def test_end_of_the_grant_goes_while_nobody_can_use_it() -> None:
    assert status_of(expiring()).grant_expires_at == "2026-07-03T12:00:00Z"
    assert status_of(expiring(verdict=Reason.GRANT_REVOKED)).grant_expires_at is None
    failing = replace(expiring(expires_at=NOW - LATER), trouble=trouble())
    assert status_of(failing).grant_expires_at == "2026-07-03T12:00:00Z"


def test_end_of_a_grant_that_is_learnt_with_an_upgrade_is_no_reason_to_write() -> None:
    before = settled(observed(credential())).status
    after = status_of(replace(expiring(timedelta(days=90)), status=before))
    assert after.grant_expires_at is not None
    assert status_patch(before, after) is None


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (timedelta(days=30), timedelta(days=13), True),
        (timedelta(days=13), timedelta(days=12), False),
        (timedelta(days=13), timedelta(days=2), True),
        (timedelta(days=2), timedelta(hours=1), True),
        (timedelta(hours=2), timedelta(hours=1), False),
        (timedelta(hours=1), timedelta(days=90), False),
    ],
)
def test_each_step_towards_the_end_of_a_grant_is_told_once(before: timedelta, after: timedelta, told: bool) -> None:
    note = brought_nearer(status_of(expiring(before)), status_of(expiring(after)))
    assert (note is not None) is told


def test_what_a_provider_writes_fits_into_the_schema() -> None:
    """Or the whole status could not be written, for as long as the credential lives."""
    schema = yaml.load(Path("crds/datasource.yaml").read_text(), yaml.CSafeLoader)["spec"]["versions"][0]["schema"][
        "openAPIV3Schema"
    ]
    fields = schema["properties"]["status"]["properties"]
    scopes = ("s" * 5000, *(f"scope-{number}" for number in range(1500)))
    status = status_of(observed(credential(granted_scopes=scopes, authorized_as="ä" * 5000)))
    assert status.granted_scopes is not None
    assert status.authorized_as is not None
    assert len(status.granted_scopes) == fields["grantedScopes"]["maxItems"]
    assert max(map(len, status.granted_scopes)) == fields["grantedScopes"]["items"]["maxLength"]
    assert status.granted_scopes[0].endswith("…")
    assert status.granted_scopes[-2:] == ("scope-997", "and 502 more")
    assert len(status.authorized_as) == fields["authorizedAs"]["maxLength"]
    told = wanted_status(observed(), Finding(Reason.CLIENT_REJECTED, "x" * 50_000), status_settings()).condition(
        "Ready"
    )
    assert told is not None
    assert len(told.message) == fields["conditions"]["items"]["properties"]["message"]["maxLength"]


# What is written where the API server refuses the whole.


@given(STATUSES, STATUSES, st.text(max_size=200))
def test_the_least_of_a_status_says_how_it_is_and_what_is_missing(current: Status, wanted: Status, said: str) -> None:
    """Whoever waits for a state or a condition must not wait for ever because of a field that he does not read."""
    least = essential_status(current, wanted, said)
    assert (least.state, least.observed_generation) == (wanted.state, wanted.observed_generation)
    for before, after in zip(wanted.conditions or (), least.conditions or (), strict=True):
        assert (after.type, after.status, after.reason) == (before.type, before.status, before.reason)
        assert after.message.startswith(before.message)
        assert (said in after.message and "missing here" in after.message) is (before.type == "Ready")
    kept = msgspec.structs.replace(
        least, state=current.state, observed_generation=current.observed_generation, conditions=current.conditions
    )
    assert kept == current, "nothing else is touched: that may be what is refused"


def test_the_least_of_a_status_fits_however_much_an_api_server_says() -> None:
    ready = Condition("Ready", "False", "ClientRejected", "m" * 40_000, EARLIER)
    least = essential_status(Status(), Status(conditions=(ready,)), "w" * 40_000).condition("Ready")
    assert least is not None
    assert len(least.message) == MESSAGE_LIMIT


# Where people sign in.

SIGNED_IN = replace(status_settings(), signs_in=True)


def test_link_has_no_ticket_where_people_sign_in() -> None:
    seen = observed()
    link = wanted_status(seen, finding_of(seen), SIGNED_IN).authorization_link
    assert link == f"{EXTERNAL_URL}/datasources/shop/calendar"
    assert ticket_in(link) is None


def test_link_changes_once_when_people_begin_to_sign_in_and_when_they_do_no_more() -> None:
    before = observed(status=settled(observed()).status)
    with_page = wanted_status(before, finding_of(before), SIGNED_IN)
    assert status_patch(before.status, with_page) is not None
    after = observed(status=with_page)
    assert status_patch(with_page, wanted_status(after, finding_of(after), SIGNED_IN)) is None
    back = wanted_status(after, finding_of(after), status_settings()).authorization_link
    assert ticket_fits(ticket_in(back) or "", after.ticket_scope)


def test_history_that_was_read_is_told_and_another_one_leaves_what_stands() -> None:
    entries = (entry_of("act-1", Act.CLEAR, by="ada", at=NOW), entry_of("act-2", Act.REFRESH, by="bob", at=NOW))
    stands = Status(history=(HistoryEcho("act-1", rfc3339(NOW), Act.CLEAR, "ada"),))
    seen = observed(credential(history="act-2"), status=stands, history=HistoryRead("act-2", entries))
    told = settled(seen).status.history
    assert told is not None
    assert [(each.id, each.what, each.by) for each in told] == [
        ("act-1", Act.CLEAR, "ada"),
        ("act-2", Act.REFRESH, "bob"),
    ]
    # It was read for an act before the one that the Secret names now.
    assert settled(replace(seen, history=HistoryRead("act-1", entries[:1]))).status.history == stands.history
    # A Secret whose data tells of nothing leaves nothing to tell.
    assert settled(replace(seen, history=HistoryRead("act-2", ()))).status.history is None
