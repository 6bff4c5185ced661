"""What holds, where the chain is asked about one thing."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from datasource.api.objects import Condition, Status
from datasource.api.requests import Requests
from datasource.api.states import Reason
from datasource_operator.decisions.findings import finding_of
from datasource_operator.decisions.observed import Trouble
from datasource_operator.decisions.predicates import LATE_AFTER
from datasource_operator.decisions.status import wanted_status
from tests.support.builders import NOW, OWNERLESS, credential, observed, spec, status_settings, trouble

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("first_seen", [NOW - timedelta(hours=1), None], ids=["seen for long", "seen now"])
@pytest.mark.parametrize(
    ("dead_for", "is_late"),
    [
        (-SECOND, False),
        (timedelta(0), False),
        (LATE_AFTER - SECOND, False),
        (LATE_AFTER, True),
        (timedelta(days=9), True),
    ],
)
def test_nothing_is_ready_over_a_token_that_has_been_dead_for_minutes(
    dead_for: timedelta, is_late: bool, first_seen: object
) -> None:
    seen = observed(credential(expires_at=NOW - dead_for), first_seen=first_seen)
    finding = finding_of(seen)
    late = is_late and first_seen is not None
    assert finding.reason is (Reason.REFRESH_FAILING if late else Reason.AUTHORIZED)
    ready = wanted_status(seen, finding, status_settings()).condition("Ready")
    assert ready is not None
    assert ready.status == ("False" if late else "True")


def test_operator_that_just_began_has_time_to_refresh_what_ran_out_meanwhile() -> None:
    """No write at a restart for what is mended in a moment."""
    seen = observed(credential(expires_at=NOW - timedelta(hours=5)), first_seen=NOW - SECOND)
    assert finding_of(seen).reason is Reason.AUTHORIZED


@pytest.mark.parametrize(
    ("told", "dead_for", "reason"),
    [
        (Reason.REFRESH_FAILING, SECOND, Reason.REFRESH_FAILING),
        (Reason.REFRESH_FAILING, timedelta(0), Reason.REFRESH_FAILING),
        (Reason.REFRESH_FAILING, -SECOND, Reason.AUTHORIZED),
        (Reason.AUTHORIZED, SECOND, Reason.AUTHORIZED),
        (Reason.CLIENT_REJECTED, SECOND, Reason.AUTHORIZED),
        (None, SECOND, Reason.AUTHORIZED),
    ],
)
def test_what_was_told_as_failing_is_so_until_a_refresh_succeeds(
    told: Reason | None, dead_for: timedelta, reason: Reason
) -> None:
    """`kubectl wait --for=condition=Ready` after a resume, or a restart of the operator, waits for a token that works."""
    seen = observed(credential(expires_at=NOW - dead_for), first_seen=NOW, status=status_that_says(told))
    assert finding_of(seen).reason is reason


def status_that_says(reason: Reason | None) -> Status:
    """A status whose Ready condition gives that reason; None: there is none yet."""
    if reason is None:
        return Status()
    return Status(conditions=(Condition("Ready", "False", reason, "", "2026-11-27T00:00:00Z"),))


def message(**changes: Any) -> str:
    return finding_of(observed(credential(**{"granted_scopes": (), **changes}))).message


def test_what_was_asked_for_and_not_granted_is_named() -> None:
    said = message(requested_scopes=("openid", "read", "write"), granted_scopes=("read",))
    assert said.startswith("A credential is stored. Requested but not granted: write.")


def test_scope_that_a_service_grants_with_another_is_not_told_as_missing() -> None:
    github = spec(provider="github")
    asked = ("user", "user:email", "gist")
    both = credential(obtained_with=github, requested_scopes=asked, granted_scopes=("user",))
    said = finding_of(observed(both, wanted=github)).message
    assert said.startswith("A credential is stored. Requested but not granted: gist.")


def test_grant_without_a_refresh_token_says_so_before_the_token_runs_out() -> None:
    assert "a person has to authorize again" in message(has_refresh_token=False)


def test_lifetime_that_nobody_tells_is_said_with_the_field_to_set() -> None:
    assert "the token is not refreshed. Set spec.oauth2.defaultLifetime" in message(expires_at=None)
    hinted = message(expires_at=None, expiry_hint=NOW)
    assert "the token's own exp decides when to refresh. Set spec.oauth2.defaultLifetime" in hinted
    set_by_now = observed(credential(expires_at=None, granted_scopes=()), wanted=spec(defaultLifetime="1h"))
    assert finding_of(set_by_now).message == "A credential is stored."


def test_id_token_that_did_not_fit_is_told() -> None:
    said = message(identity_problem="The id_token has no nonce.")
    assert "The account that authorized is unknown. The id_token has no nonce." in said


@pytest.mark.parametrize("verdict", [Reason.GRANT_REVOKED, Reason.REFRESH_INTERRUPTED])
def test_words_of_the_provider_stand_behind_a_dead_grant(verdict: Reason) -> None:
    said = message(verdict=verdict, verdict_message="The provider refused: invalid_grant: User disabled.")
    assert said.endswith('select "Get new credential". The provider refused: invalid_grant: User disabled.')
    assert "invalid_grant" not in message(verdict=verdict)


def test_failure_that_a_new_credential_may_mend_has_a_link() -> None:
    failure = Trouble("credential-1", 1, Reason.REFRESH_FAILING, "401.", NOW, asks_for_a_person=True)
    dead = observed(credential(expires_at=NOW - SECOND), trouble=failure)
    assert finding_of(dead).needs_person
    assert finding_of(dead).message == "401. Open status.authorizationLink for that."
    # While the token lives nobody is asked.
    assert not finding_of(observed(credential(granted_scopes=()), trouble=failure)).needs_person


@pytest.mark.parametrize(
    ("requests", "says"),
    [(Requests(refresh="1"), True), (Requests(), False), (Requests(new_credential="1"), False)],
)
def test_a_refresh_that_was_asked_for_and_waits_for_the_end_of_a_pause_is_told(requests: Requests, says: bool) -> None:
    """The token works still, so the state is AUTHORIZED; whoever asked would hear nothing."""
    alive = credential(expires_at=NOW + timedelta(hours=1))
    failed = replace(trouble(), asked="1", told="2026-07-01T12:30:00Z")
    finding = finding_of(observed(alive, requests=requests, trouble=failed))
    assert finding.reason is Reason.AUTHORIZED
    told = "The requested refresh failed. The operator tries again until 2026-07-01T12:30:00Z, and within a minute after a new"
    assert (told in finding.message) == says
    assert (trouble().message in finding.message) == says


def test_a_refresh_that_is_asked_for_after_a_failure_is_told_as_being_tried() -> None:
    failed = replace(trouble(), asked="1")
    said = finding_of(observed(credential(), requests=Requests(refresh="2"), trouble=failed)).message
    assert "is tried within a minute. The last one failed." in said


def test_a_refresh_that_was_asked_for_while_suspended_waits_for_nothing_else() -> None:
    suspended = msgspec.structs.replace(spec(), suspend=True)
    seen = observed(credential(), wanted=suspended, requests=Requests(refresh="1"), trouble=trouble())
    assert "tries again within" not in finding_of(seen).message


def test_restored_credential_that_could_not_be_adopted_is_not_used() -> None:
    """It fits the parameters, but nobody knows yet whose it is: a refused adoption is told before, where there was one."""
    assert finding_of(observed(credential(owners=OWNERLESS))).reason is Reason.AUTHORIZATION_REQUIRED
