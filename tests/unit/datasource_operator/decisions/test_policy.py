"""What is decided from what is seen, step by step."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from datasource.api.objects import HandledEcho, OwnerReference, Status
from datasource.api.requests import HandledSet, Requests
from datasource.api.spec import Spec
from datasource.api.states import Progress, Reason, State
from datasource.records.contents import Readable, StoredCredential, seen_from
from datasource.records.credential import Unreadable
from datasource.records.stored_token_secret import StoredTokenSecret
from datasource_operator.decisions.observed import Finding, Observed, Refusal, Surroundings
from datasource_operator.decisions.obstacles import refused
from datasource_operator.decisions.policy import is_destructive, next_step
from datasource_operator.decisions.steps import (
    Adopt,
    Clear,
    DeleteTokenSecret,
    LookAround,
    MarkHandled,
    Nothing,
    ReadLive,
    Settle,
    Step,
    WriteTokenSecret,
)
from datasource_operator.decisions.timing import refresh_is_wanted
from tests.support.builders import (
    DANGLING,
    NOW,
    OURS,
    OWNERLESS,
    UID,
    credential,
    fingerprint_of,
    handled,
    invalid_spec,
    leaving,
    live,
    observed,
    planned,
    problem,
    settled,
    spec,
    spec_without_oauth2,
    token_secret,
    tombstone,
    too_large,
    trouble,
)

Owners = tuple[OwnerReference, ...]

UNREADABLE = Unreadable("annotation datasource.dev/handled cannot be read")
AN_HOUR = timedelta(hours=1)
OTHER_TOKEN_URL = spec(tokenURL="https://elsewhere.example.com/token")
BROKEN = {"template": {"data": {"header": "Bearer {{ acess_token }}"}}}
"""A template that no token Secret can be made of."""
BROKEN_TEMPLATE = spec(token_secret=BROKEN)

# The table of design.md section 2.
MEANING = {
    Reason.AUTHORIZED: (State.AUTHORIZED, Progress.WAITING),
    Reason.REFRESH_FAILING: (State.AUTHORIZED, Progress.RECONCILING),
    Reason.AUTHORIZATION_REQUIRED: (State.NOT_AUTHORIZED, Progress.WAITING),
    Reason.CREDENTIAL_CLEARED: (State.NOT_AUTHORIZED, Progress.WAITING),
    Reason.PARAMETERS_CHANGED: (State.NOT_AUTHORIZED, Progress.WAITING),
    Reason.GRANT_REVOKED: (State.NOT_AUTHORIZED, Progress.WAITING),
    Reason.TOKEN_EXPIRED: (State.NOT_AUTHORIZED, Progress.WAITING),
    Reason.REFRESH_INTERRUPTED: (State.NOT_AUTHORIZED, Progress.WAITING),
    Reason.OAUTH2_MISSING: (State.NOT_CONFIGURED, Progress.STALLED),
    Reason.PARAMETERS_INCOMPLETE: (State.NOT_CONFIGURED, Progress.STALLED),
    Reason.CLIENT_SECRET_NOT_FOUND: (State.NOT_CONFIGURED, Progress.RECONCILING),
    Reason.SECRET_CONFLICT: (State.ERROR, Progress.STALLED),
    Reason.CREDENTIAL_UNREADABLE: (State.ERROR, Progress.WAITING),
    Reason.CLIENT_REJECTED: (State.ERROR, Progress.STALLED),
    Reason.INVALID_CONFIGURATION: (State.ERROR, Progress.STALLED),
    Reason.SECRETS_FORBIDDEN: (State.ERROR, Progress.RECONCILING),
}
VERDICTS = (Reason.GRANT_REVOKED, Reason.REFRESH_INTERRUPTED)


def running_out(in_: timedelta, *, has_refresh_token: bool = False, owners: Owners = OURS) -> StoredCredential:
    """A credential whose access token expires so long from now."""
    return credential(expires_at=NOW + in_, has_refresh_token=has_refresh_token, owners=owners)


def sentenced(verdict: Reason, *, in_: timedelta = -AN_HOUR) -> StoredCredential:
    """A credential whose refresh token the provider does not take any more; its access token expires so long from now."""
    return credential(verdict=verdict, expires_at=NOW + in_)


def authorized() -> Observed:
    """A Datasource in use, where everything is as it should be, the status too."""
    return settled(observed(credential(), token_secret()))


def finding_of(seen: Observed) -> Finding:
    """What a Datasource settles on."""
    step = next_step(seen)
    assert isinstance(step, Settle), step
    return step.finding


def reason_of(seen: Observed) -> Reason:
    """The reason a Datasource settles with once it has no token Secret that must go first."""
    return finding_of(seen).reason


DEAD = running_out(-AN_HOUR, has_refresh_token=True)
"""Its access token ran out, and it can be refreshed."""

# Reason, what leads to it, and how it ends: what mends it, and what is then found.
WAYS_IN_AND_OUT = [
    pytest.param(
        Reason.AUTHORIZED,
        observed(credential(), token_secret()),
        observed(None),
        Reason.AUTHORIZATION_REQUIRED,
        id="authorized until the credential Secret is deleted",
    ),
    pytest.param(
        Reason.AUTHORIZATION_REQUIRED,
        observed(None),
        observed(credential(), token_secret()),
        Reason.AUTHORIZED,
        id="required until somebody consents",
    ),
    pytest.param(
        Reason.CREDENTIAL_CLEARED,
        observed(tombstone()),
        observed(credential(replaces="tombstone-1"), token_secret()),
        Reason.AUTHORIZED,
        id="cleared until somebody consents anew",
    ),
    pytest.param(
        Reason.PARAMETERS_CHANGED,
        observed(credential(), wanted=OTHER_TOKEN_URL),
        observed(credential(), token_secret()),
        Reason.AUTHORIZED,
        id="parameters changed until the edit is reverted",
    ),
    pytest.param(
        Reason.TOKEN_EXPIRED,
        observed(running_out(-AN_HOUR)),
        observed(credential(credential_id="credential-2"), token_secret(credential(credential_id="credential-2"))),
        Reason.AUTHORIZED,
        id="expired until there is a new credential",
    ),
    pytest.param(
        Reason.GRANT_REVOKED,
        observed(sentenced(Reason.GRANT_REVOKED)),
        observed(credential(credential_id="credential-2"), token_secret(credential(credential_id="credential-2"))),
        Reason.AUTHORIZED,
        id="revoked until there is a new credential",
    ),
    pytest.param(
        Reason.REFRESH_INTERRUPTED,
        observed(sentenced(Reason.REFRESH_INTERRUPTED)),
        observed(credential(revision=2), token_secret(credential(revision=2))),
        Reason.AUTHORIZED,
        id="interrupted until the answer that was thought lost is stored after all",
    ),
    pytest.param(
        Reason.REFRESH_FAILING,
        observed(DEAD, token_secret(DEAD), trouble=trouble()),
        observed(credential(revision=2), token_secret(credential(revision=2))),
        Reason.AUTHORIZED,
        id="failing until a refresh works",
    ),
    pytest.param(
        Reason.CLIENT_REJECTED,
        observed(credential(), token_secret(), trouble=trouble(Reason.CLIENT_REJECTED)),
        observed(credential(), token_secret()),
        Reason.AUTHORIZED,
        id="rejected until the client is corrected",
    ),
    pytest.param(
        Reason.OAUTH2_MISSING,
        observed(wanted=spec_without_oauth2()),
        observed(wanted=spec(tokenURL=None)),
        Reason.PARAMETERS_INCOMPLETE,
        id="nothing until something is filled in",
    ),
    pytest.param(
        Reason.PARAMETERS_INCOMPLETE,
        observed(wanted=spec(clientID=None)),
        observed(),
        Reason.AUTHORIZATION_REQUIRED,
        id="incomplete until the rest is filled in",
    ),
    pytest.param(
        Reason.INVALID_CONFIGURATION,
        observed(wanted=invalid_spec()),
        observed(),
        Reason.AUTHORIZATION_REQUIRED,
        id="invalid until it is corrected",
    ),
    pytest.param(
        Reason.INVALID_CONFIGURATION,
        observed(credential(), token_secret(), wanted=BROKEN_TEMPLATE),
        observed(credential(), token_secret()),
        Reason.AUTHORIZED,
        id="a template that cannot be used until it is corrected",
    ),
    pytest.param(
        Reason.INVALID_CONFIGURATION,
        observed(credential(), unrenderable=too_large()),
        observed(credential(), token_secret()),
        Reason.AUTHORIZED,
        id="a token Secret that would be too large until the template is corrected",
    ),
    pytest.param(
        Reason.CREDENTIAL_UNREADABLE,
        observed(UNREADABLE),
        observed(credential(), token_secret()),
        Reason.AUTHORIZED,
        id="unreadable until it is restored",
    ),
    pytest.param(
        Reason.CREDENTIAL_UNREADABLE,
        observed(UNREADABLE),
        observed(None),
        Reason.AUTHORIZATION_REQUIRED,
        id="unreadable until it is deleted",
    ),
]


@pytest.mark.parametrize(("reason", "seen", "mended", "afterwards"), WAYS_IN_AND_OUT)
def test_each_reason_is_found_and_ends(reason: Reason, seen: Observed, mended: Observed, afterwards: Reason) -> None:
    assert reason_of(live(seen)) is reason
    standing = settled(seen).status
    assert reason_of(live(replace(mended, status=standing))) is afterwards


IN_THE_WAY = [
    Reason.CLIENT_SECRET_NOT_FOUND,
    Reason.SECRET_CONFLICT,
    Reason.SECRETS_FORBIDDEN,
    Reason.INVALID_CONFIGURATION,
]


@pytest.mark.parametrize("reason", IN_THE_WAY)
def test_what_is_in_the_way_is_told_instead_of_a_link(reason: Reason) -> None:
    found = finding_of(live(observed(), problem=problem(reason)))
    assert found == problem(reason)
    assert not found.needs_person


@pytest.mark.parametrize("reason", IN_THE_WAY)
def test_what_was_in_the_way_is_looked_at_again_and_ends(reason: Reason) -> None:
    stuck = live(observed(), problem=problem(reason))
    again = replace(settled(stuck), surroundings=None, is_live=False)
    assert next_step(again) == LookAround()
    assert reason_of(replace(again, surroundings=Surroundings())) is Reason.AUTHORIZATION_REQUIRED


def test_the_tables_of_these_tests_know_every_reason() -> None:
    in_and_out = {parameters.values[0] for parameters in WAYS_IN_AND_OUT}
    assert in_and_out | set(IN_THE_WAY) == set(MEANING) == set(Reason)


@pytest.mark.parametrize("reason", MEANING)
def test_a_finding_has_the_state_and_progress_of_its_reason(reason: Reason) -> None:
    finding = Finding(reason, "")
    assert (finding.state, finding.progress) == MEANING[reason]


@pytest.mark.parametrize("reason", [r for r, (state, _) in MEANING.items() if state is State.NOT_AUTHORIZED])
def test_whoever_waits_for_a_person_says_so_and_where_to_click(reason: Reason) -> None:
    seen = next(p.values[1] for p in WAYS_IN_AND_OUT if p.values[0] is reason)
    assert isinstance(seen, Observed)
    found = finding_of(live(seen))
    assert found.needs_person
    assert "status.authorizationLink" in found.message


# The order of the chain: what hides what.


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (observed(UNREADABLE, wanted=invalid_spec()), Reason.INVALID_CONFIGURATION),
        (observed(UNREADABLE, wanted=spec_without_oauth2()), Reason.CREDENTIAL_UNREADABLE),
        (observed(credential(), wanted=spec_without_oauth2()), Reason.OAUTH2_MISSING),
        (observed(credential(), wanted=spec(authorizeURL=None)), Reason.PARAMETERS_INCOMPLETE),
        (observed(running_out(-AN_HOUR), wanted=OTHER_TOKEN_URL), Reason.PARAMETERS_CHANGED),
        (observed(tombstone(), wanted=OTHER_TOKEN_URL), Reason.CREDENTIAL_CLEARED),
        (observed(sentenced(Reason.GRANT_REVOKED), wanted=OTHER_TOKEN_URL), Reason.GRANT_REVOKED),
        (
            observed(credential(), wanted=OTHER_TOKEN_URL, trouble=trouble(Reason.CLIENT_REJECTED)),
            Reason.PARAMETERS_CHANGED,
        ),
    ],
)
def test_the_first_thing_to_mend_is_told(seen: Observed, reason: Reason) -> None:
    assert reason_of(live(seen)) is reason


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ({"clientID": None}, "spec.oauth2.clientID."),
        ({"authorizeURL": None, "tokenURL": None}, "spec.oauth2.authorizeURL, spec.oauth2.tokenURL."),
    ],
)
def test_incomplete_parameters_are_named(missing: dict[str, None], named: str) -> None:
    assert named in finding_of(observed(wanted=spec(**missing))).message


def test_an_invalid_spec_is_quoted_with_its_remedy() -> None:
    assert finding_of(observed(wanted=invalid_spec())).message == "spec.oauth2.tokenURL is not https. Use https://."


def test_an_unreadable_credential_is_told_by_name_and_annotation() -> None:
    message = finding_of(observed(UNREADABLE)).message
    assert "calendar-oauth2-credential" in message
    assert "datasource.dev/handled" in message


def test_a_datasource_that_is_being_deleted_is_left_alone() -> None:
    going = observed(credential(), token_secret(), being_deleted=True, requests=Requests(clear_credential="1"))
    assert next_step(live(going)) == Nothing()


# Surroundings.


def test_before_a_link_is_offered_the_surroundings_are_looked_at() -> None:
    assert next_step(observed()) == LookAround()


def test_an_authorized_datasource_has_no_need_to_look_around() -> None:
    assert isinstance(next_step(observed(credential(), token_secret())), Settle)


def test_an_unconfigured_datasource_has_no_need_to_look_around() -> None:
    assert isinstance(next_step(observed(wanted=spec_without_oauth2())), Settle)


def test_surroundings_are_trusted_while_a_fitting_link_stands() -> None:
    waiting = settled(live(observed()))
    restarted = replace(waiting, surroundings=None, is_live=False)
    assert reason_of(restarted) is Reason.AUTHORIZATION_REQUIRED


NO_LONGER_TRUSTED: dict[str, dict[str, Any]] = {
    "a look is due": {"look_around": True},
    "the generation moved on": {"generation": 2},
    "the parameters changed": {"spec": spec(scopes=["read"])},
    "it is another Datasource of that name": {"uid": "another-uid"},
    "the link replaces another credential": {"credential": tombstone()},
}


@pytest.mark.parametrize("changes", NO_LONGER_TRUSTED.values(), ids=NO_LONGER_TRUSTED)
def test_surroundings_are_looked_at_again_where_the_status_no_longer_speaks_for_them(
    changes: dict[str, Any],
) -> None:
    waiting = settled(live(observed()))
    assert next_step(replace(waiting, surroundings=None, is_live=False, **changes)) == LookAround()


@pytest.mark.parametrize(
    "status",
    [
        Status(state=State.NOT_AUTHORIZED, observed_generation=1),
        Status(
            state=State.NOT_AUTHORIZED,
            observed_generation=1,
            authorization_link="https://connect.example.com/authorize/shop/calendar?ticket=made-up",
        ),
    ],
)
def test_a_status_without_a_fitting_link_does_not_speak_for_the_surroundings(status: Status) -> None:
    assert next_step(observed(status=status)) == LookAround()


def test_a_fitting_link_of_another_state_does_not_speak_for_the_surroundings() -> None:
    waiting = settled(live(observed()))
    status = Status(
        state=State.NOT_CONFIGURED, observed_generation=1, authorization_link=waiting.status.authorization_link
    )
    assert next_step(observed(status=status)) == LookAround()


def test_what_is_offered_is_bound_to_parameters_uid_and_credential() -> None:
    scopes = {
        observed().ticket_scope,
        observed(wanted=spec(scopes=["read"])).ticket_scope,
        observed(uid="another-uid").ticket_scope,
        observed(credential()).ticket_scope,
        observed(tombstone()).ticket_scope,
    }
    assert len(scopes) == 5


def test_a_link_is_not_bound_to_the_credential_of_a_namesake() -> None:
    assert observed(credential(owners=DANGLING)).ticket_scope == observed().ticket_scope


# AUTHORIZED.


def test_authorized_asks_for_nobody_and_nothing() -> None:
    step = next_step(authorized())
    assert isinstance(step, Settle)
    assert step.finding == Finding(Reason.AUTHORIZED, "A credential is stored.")
    assert not step.refresh


@pytest.mark.parametrize(
    "changed",
    [
        spec(clientID="other"),
        spec(issuer="https://login.example.com"),
        spec(authorizeURL="https://elsewhere.example.com/authorize"),
        OTHER_TOKEN_URL,
        spec(tokenURL="https://login.example.com/token/"),
    ],
)
def test_a_credential_of_other_parameters_is_not_used(changed: Spec) -> None:
    assert reason_of(live(observed(credential(), wanted=changed))) is Reason.PARAMETERS_CHANGED


@pytest.mark.parametrize(
    "changed",
    [
        spec(clientSecretRef={"name": "rotated"}),
        spec(clientSecretRef=None),
        spec(revocationURL="https://login.example.com/revoke"),
        spec(authorizeParameters={"prompt": "consent"}),
    ],
)
def test_an_edit_that_sends_no_token_elsewhere_keeps_the_credential(changed: Spec) -> None:
    found = finding_of(observed(credential(), token_secret(), wanted=changed))
    assert (found.reason, found.needs_person) == (Reason.AUTHORIZED, False)


@pytest.mark.parametrize(
    "scopes", [["read"], ["read", "offline_access", "write"], []], ids=["fewer", "more", "none at all"]
)
def test_changed_scopes_keep_authorized_and_offer_a_link(scopes: list[str]) -> None:
    found = finding_of(observed(credential(), token_secret(), wanted=spec(scopes=scopes)))
    assert (found.state, found.needs_person) == (State.AUTHORIZED, True)
    assert "spec.oauth2.scopes changed" in found.message


def test_scopes_in_another_order_are_the_same_scopes() -> None:
    found = finding_of(observed(credential(), token_secret(), wanted=spec(scopes=["offline_access", "read"])))
    assert not found.needs_person


def test_scopes_that_were_not_granted_are_no_change() -> None:
    narrowed = credential(granted_scopes=("read",))
    assert not finding_of(observed(narrowed, token_secret(narrowed))).needs_person


# Expiry.


@pytest.mark.parametrize("ago", [timedelta(0), timedelta(microseconds=1), AN_HOUR])
def test_an_access_token_that_ran_out_without_a_refresh_token_needs_a_person(ago: timedelta) -> None:
    assert reason_of(live(observed(running_out(-ago)))) is Reason.TOKEN_EXPIRED


def test_an_access_token_that_has_not_run_out_is_good_until_then() -> None:
    short = running_out(timedelta(seconds=1))
    step = next_step(observed(short, token_secret(short)))
    assert isinstance(step, Settle)
    assert step.finding.reason is Reason.AUTHORIZED
    assert step.wake_at == short.facts.expires_at


def test_with_a_refresh_token_the_access_token_may_run_out() -> None:
    assert finding_of(observed(DEAD, token_secret(DEAD))).reason is Reason.AUTHORIZED


def test_a_token_of_unknown_lifetime_is_good_for_ever() -> None:
    eternal = credential(expires_at=None, has_refresh_token=False)
    step = next_step(observed(eternal, token_secret(eternal)))
    assert isinstance(step, Settle)
    assert (step.finding.reason, step.wake_at) == (Reason.AUTHORIZED, None)


def test_nobody_is_woken_for_a_token_that_ran_out_already() -> None:
    step = next_step(live(observed(running_out(-AN_HOUR))))
    assert isinstance(step, Settle)
    assert step.wake_at is None


# Refreshing.

DUE = credential(expires_at=NOW + timedelta(minutes=1), refreshed_at=NOW - AN_HOUR)
REFRESH = Requests(refresh="1")


def settle(seen: Observed) -> Settle:
    """What is decided once the token Secret is as it should be."""
    assert isinstance(seen.credential, StoredCredential)
    step = next_step(live(replace(seen, token_secrets=(token_secret(seen.credential),))))
    assert isinstance(step, Settle), step
    return step


@pytest.mark.parametrize("stored", [DUE, DEAD], ids=["due", "ran out already"])
def test_a_credential_that_is_due_is_refreshed_and_stays_authorized(stored: StoredCredential) -> None:
    step = settle(observed(stored))
    assert (step.finding.reason, step.refresh) == (Reason.AUTHORIZED, True)


def test_a_credential_that_is_not_due_wakes_the_operator_before_it_runs_out() -> None:
    step = settle(observed(credential()))
    assert not step.refresh
    assert step.wake_at is not None
    assert NOW < step.wake_at < NOW + AN_HOUR


def test_a_refresh_that_is_asked_for_is_done_before_it_is_due() -> None:
    assert settle(observed(credential(), requests=REFRESH)).refresh


def test_a_refresh_that_was_asked_for_once_is_done_once() -> None:
    assert not settle(observed(credential(handled=handled(refresh="1")), requests=REFRESH)).refresh


@pytest.mark.parametrize(
    "seen",
    [
        observed(DUE, wanted=OTHER_TOKEN_URL, requests=REFRESH),
        observed(credential(owners=DANGLING), requests=REFRESH),
        observed(credential(obtained_with=OTHER_TOKEN_URL, owners=OWNERLESS), requests=REFRESH),
        observed(DUE, wanted=spec_without_oauth2(), requests=REFRESH),
        observed(DUE, wanted=invalid_spec(), requests=REFRESH),
        observed(UNREADABLE, requests=REFRESH),
        observed(None, requests=REFRESH),
    ],
)
def test_what_is_not_sure_to_be_ours_and_fitting_is_never_sent(seen: Observed) -> None:
    step = next_step(live(seen))
    assert isinstance(step, Settle)
    assert not step.refresh


def test_without_a_refresh_token_there_is_nothing_to_send() -> None:
    assert not refresh_is_wanted(observed(credential(has_refresh_token=False), requests=REFRESH))


IN_VAIN = {
    "there is no refresh token": credential(has_refresh_token=False),
    "it was cleared": tombstone(),
    "the refresh token is dead": sentenced(Reason.GRANT_REVOKED),
}


@pytest.mark.parametrize("stored", IN_VAIN.values(), ids=IN_VAIN)
def test_a_refresh_asked_for_in_vain_counts_as_handled(stored: Readable) -> None:
    result = Reason.GRANT_REVOKED if stored == IN_VAIN["the refresh token is dead"] else "NoRefreshToken"
    step = next_step(live(observed(stored, requests=Requests(refresh="1", new_credential="n"))))
    assert step == MarkHandled(stored, handled(refresh="1"), result)


@pytest.mark.parametrize(
    "seen", [observed(None, requests=REFRESH), observed(credential(owners=DANGLING), requests=REFRESH)]
)
def test_a_refresh_asked_for_where_there_is_no_credential_waits_for_one(seen: Observed) -> None:
    assert reason_of(live(seen)) is Reason.AUTHORIZATION_REQUIRED


def test_a_failed_refresh_is_not_told_while_apps_have_a_token_that_works() -> None:
    step = settle(observed(DUE, trouble=trouble()))
    assert step == Settle(Finding(Reason.AUTHORIZED, "A credential is stored."), NOW + timedelta(minutes=1), False)


def test_a_failed_refresh_is_told_once_the_access_token_is_dead() -> None:
    step = settle(observed(DEAD, trouble=trouble()))
    assert step.finding == Finding(Reason.REFRESH_FAILING, trouble().message)


@pytest.mark.parametrize("reason", [Reason.REFRESH_FAILING, Reason.CLIENT_REJECTED])
def test_a_failed_refresh_is_tried_again_when_its_time_has_come(reason: Reason) -> None:
    waiting = settle(observed(DEAD, trouble=trouble(reason), requests=REFRESH))
    assert (waiting.refresh, waiting.wake_at) == (False, trouble().try_again_at)
    assert settle(observed(DEAD, trouble=trouble(reason, try_again_in=timedelta(0)))).refresh


@pytest.mark.parametrize("reason", [Reason.CLIENT_REJECTED, Reason.SECRET_CONFLICT, Reason.CREDENTIAL_UNREADABLE])
def test_what_only_a_person_can_mend_is_told_at_once_and_apps_keep_their_token(reason: Reason) -> None:
    in_use = replace(authorized(), trouble=trouble(reason))
    assert next_step(in_use) == ReadLive()
    assert reason_of(replace(in_use, is_live=True)) is reason


def test_a_new_credential_is_offered_while_refreshing_fails() -> None:
    """Who asks for one is most likely to ask then."""
    failing = observed(DEAD, trouble=trouble(), requests=Requests(new_credential="1"))
    assert settle(failing).finding.needs_person


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_dead_refresh_token_is_never_sent_again(verdict: Reason) -> None:
    asked = observed(sentenced(verdict), requests=REFRESH)
    marked = msgspec.structs.replace(sentenced(verdict).facts, handled=handled(refresh="1"))
    assert isinstance(next_step(live(asked)), MarkHandled)
    step = next_step(live(replace(asked, credential=StoredCredential(marked, "8", OURS))))
    assert isinstance(step, Settle)
    assert (step.finding.reason, step.refresh) == (verdict, False)


@pytest.mark.parametrize("verdict", VERDICTS)
def test_apps_keep_the_access_token_of_a_dead_grant_until_it_runs_out(verdict: Reason) -> None:
    alive = sentenced(verdict, in_=AN_HOUR)
    step = settle(observed(alive))
    assert (step.finding.reason, step.wake_at) == (verdict, alive.facts.expires_at)
    stored = token_secret(alive)
    ran_out = live(observed(alive, stored, now=NOW + AN_HOUR))
    assert next_step(ran_out) == DeleteTokenSecret(stored)


def test_the_token_secret_of_a_dead_grant_is_still_kept_in_order() -> None:
    alive = sentenced(Reason.GRANT_REVOKED, in_=AN_HOUR)
    assert next_step(live(observed(alive))) == WriteTokenSecret(planned(alive), alive, None)


@pytest.mark.parametrize(
    "seen",
    [
        observed(sentenced(Reason.GRANT_REVOKED, in_=AN_HOUR), token_secret(), wanted=OTHER_TOKEN_URL),
        observed(credential(verdict=Reason.GRANT_REVOKED, expires_at=None), token_secret()),
    ],
    ids=["the parameters changed as well", "nobody knows when it runs out"],
)
def test_the_access_token_of_a_dead_grant_goes_at_once(seen: Observed) -> None:
    assert isinstance(next_step(live(seen)), DeleteTokenSecret)


# Clear.

CLEAR = Requests(clear_credential="1")


def cleared_from(seen: Observed) -> Clear:
    """The step that a clear request leads to, once everything was read live."""
    step = next_step(live(replace(seen, requests=CLEAR)))
    assert isinstance(step, Clear), step
    return step


STARTING_POINTS: dict[str, Readable | None] = {
    "never authorized": None,
    "authorized": credential(),
    "parameters changed": credential(obtained_with=OTHER_TOKEN_URL),
    "expired": running_out(-AN_HOUR),
    "cleared before": tombstone(handled=handled(clear_credential="0")),
    "cleared before it was ever authorized": tombstone(Reason.AUTHORIZATION_REQUIRED),
    "restored with other parameters": credential(obtained_with=OTHER_TOKEN_URL, owners=OWNERLESS),
}


@pytest.mark.parametrize("stored", STARTING_POINTS.values(), ids=STARTING_POINTS)
def test_a_clear_request_is_acted_on_wherever_it_starts_from(stored: Readable | None) -> None:
    step = cleared_from(observed(stored))
    assert step.credential == stored
    assert step.handled.pending(CLEAR) == Requests()


@pytest.mark.parametrize("stored", STARTING_POINTS.values(), ids=STARTING_POINTS)
def test_a_clear_request_is_acted_on_only_for_what_was_read_live(stored: Readable | None) -> None:
    assert next_step(observed(stored, requests=CLEAR)) == ReadLive()


def test_a_clear_request_remembers_what_was_handled_before() -> None:
    before = handled(clear_credential="0", new_credential="n", refresh="r")
    step = cleared_from(observed(credential(handled=before)))
    assert step.handled == before.with_requests(CLEAR)


def test_a_clear_request_handles_no_other_request() -> None:
    every = Requests(clear_credential="1", new_credential="n", refresh="r")
    step = next_step(live(observed(credential(), requests=every)))
    assert isinstance(step, Clear)
    assert step.handled.pending(every) == Requests(new_credential="n", refresh="r")


def test_a_clear_request_is_acted_on_before_anybody_looks_around() -> None:
    assert isinstance(next_step(replace(observed(requests=CLEAR), is_live=True)), Clear)


@pytest.mark.parametrize("wanted", [invalid_spec(), spec_without_oauth2(), spec(clientID=None)])
def test_a_clear_request_needs_no_valid_parameters(wanted: Spec) -> None:
    assert isinstance(next_step(live(observed(credential(), wanted=wanted, requests=CLEAR))), Clear)


@pytest.mark.parametrize(
    ("unreadable", "status"),
    [
        pytest.param(UNREADABLE, None, id="nobody knows of any"),
        pytest.param(UNREADABLE, Status(handled=HandledEcho(clear_credential="0")), id="the status tells of another"),
        pytest.param(Unreadable("x", handled=handled(clear_credential="0")), None, id="the Secret tells of another"),
    ],
)
def test_a_clear_is_acted_on_although_the_credential_is_unreadable(
    unreadable: Unreadable, status: Status | None
) -> None:
    """The button of an incident: somebody who altered the Secret must not keep others from it."""
    step = cleared_from(observed(unreadable, requests=CLEAR, status=status))
    assert step.credential == unreadable
    assert step.handled.pending(CLEAR) == Requests()


@pytest.mark.parametrize(
    ("unreadable", "status"),
    [
        pytest.param(UNREADABLE, Status(handled=HandledEcho(clear_credential="1")), id="the status tells"),
        pytest.param(Unreadable("x", handled=handled(clear_credential="1")), None, id="the Secret tells"),
    ],
)
def test_a_clear_that_was_acted_on_clears_no_unreadable_credential(
    unreadable: Unreadable, status: Status | None
) -> None:
    """Its annotation stands on the Datasource for ever; the credential was obtained since."""
    assert reason_of(live(observed(unreadable, requests=CLEAR, status=status))) is Reason.CREDENTIAL_UNREADABLE


def test_an_unreadable_credential_that_nobody_asks_to_clear_is_kept() -> None:
    assert reason_of(live(observed(UNREADABLE))) is Reason.CREDENTIAL_UNREADABLE


@pytest.mark.parametrize("stored", [credential(), tombstone(), UNREADABLE], ids=lambda each: type(each).__name__)
def test_a_clear_of_a_credential_that_does_not_go_is_told_and_takes_the_token_from_the_apps(
    stored: Readable | Unreadable,
) -> None:
    """Somebody deleted the Secret, and somebody's finalizer holds it: there is no place for a tombstone."""
    deleted = live(observed(leaving(stored), token_secret(), requests=CLEAR))
    held = replace(deleted, surroundings=Surroundings(problem(Reason.SECRET_CONFLICT)))
    assert isinstance(next_step(held), DeleteTokenSecret)
    assert reason_of(replace(held, token_secrets=())) is Reason.SECRET_CONFLICT


def test_there_is_nothing_to_clear_where_a_foreign_secret_has_the_name() -> None:
    beside_it = live(observed(requests=CLEAR), problem=problem(Reason.SECRET_CONFLICT))
    assert reason_of(beside_it) is Reason.SECRET_CONFLICT


def test_the_credential_of_a_namesake_is_not_cleared() -> None:
    assert cleared_from(observed(credential(owners=DANGLING))).credential is None


def test_a_restored_credential_is_adopted_before_it_is_cleared() -> None:
    restored = credential(owners=OWNERLESS)
    assert next_step(live(observed(restored, requests=CLEAR))) == Adopt(restored)


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (tombstone(handled=handled(clear_credential="1")), Reason.CREDENTIAL_CLEARED),
        (
            tombstone(Reason.AUTHORIZATION_REQUIRED, handled=handled(clear_credential="1")),
            Reason.AUTHORIZATION_REQUIRED,
        ),
        (credential(handled=handled(clear_credential="1")), Reason.AUTHORIZED),
    ],
)
def test_a_clear_request_that_was_handled_does_nothing(stored: Readable, reason: Reason) -> None:
    tokens = (token_secret(stored),) if isinstance(stored, StoredCredential) else ()
    assert reason_of(live(observed(stored, *tokens, requests=CLEAR))) is reason


@pytest.mark.parametrize(
    ("value", "is_acted_on"),
    [(None, False), ("first", False), ("second", False), ("third", True), ("", True)],
    ids=["removed", "reverted to an older value", "kept, or added again", "a new value", "empty, but there"],
)
def test_a_value_is_acted_on_once_whatever_becomes_of_the_annotation(value: str | None, is_acted_on: bool) -> None:
    both = HandledSet().with_requests(Requests("first", "first")).with_requests(Requests("second", "second"))
    stored = credential(handled=both)
    clear = next_step(live(observed(stored, token_secret(stored), requests=Requests(clear_credential=value))))
    assert isinstance(clear, Clear) is is_acted_on
    offer = finding_of(observed(stored, token_secret(stored), requests=Requests(new_credential=value)))
    assert offer.needs_person is is_acted_on


def test_a_new_credential_is_offered_while_the_old_one_works() -> None:
    found = finding_of(observed(credential(), token_secret(), requests=Requests(new_credential="1")))
    assert (found.reason, found.needs_person) == (Reason.AUTHORIZED, True)
    assert "The old one works until then" in found.message


def test_a_refresh_request_neither_clears_nor_offers_anything() -> None:
    found = finding_of(observed(credential(), token_secret(), requests=Requests(refresh="1")))
    assert (found.reason, found.needs_person) == (Reason.AUTHORIZED, False)


# Owners.


@pytest.mark.parametrize(
    "restored",
    [
        credential(owners=OWNERLESS),
        running_out(-AN_HOUR, owners=OWNERLESS),
        tombstone(owners=OWNERLESS),
        tombstone(Reason.AUTHORIZATION_REQUIRED, owners=OWNERLESS),
    ],
)
def test_a_restored_credential_that_fits_is_adopted(restored: Readable) -> None:
    assert next_step(observed(restored)) == Adopt(restored)


def test_an_owner_of_another_kind_does_not_own_a_credential() -> None:
    kept_by_a_backup = credential(owners=(OwnerReference(uid="b", kind="Backup"),))
    assert next_step(observed(kept_by_a_backup)) == Adopt(kept_by_a_backup)


def test_a_restored_credential_of_other_parameters_is_not_adopted() -> None:
    restored = credential(obtained_with=OTHER_TOKEN_URL, owners=OWNERLESS)
    assert reason_of(live(observed(restored))) is Reason.PARAMETERS_CHANGED


@pytest.mark.parametrize("wanted", [invalid_spec(), spec_without_oauth2()])
def test_a_restored_credential_is_not_adopted_while_nobody_knows_whether_it_fits(wanted: Spec) -> None:
    step = next_step(live(observed(credential(owners=OWNERLESS), wanted=wanted)))
    assert isinstance(step, Settle)


def test_a_credential_with_an_owner_is_not_adopted() -> None:
    assert not isinstance(next_step(observed(credential())), Adopt)


def test_the_credential_of_a_namesake_is_ignored() -> None:
    namesakes = observed(credential(owners=DANGLING))
    assert namesakes.facts is None
    assert namesakes.handled == HandledSet()
    assert next_step(namesakes) == LookAround()
    assert reason_of(live(namesakes)) is Reason.AUTHORIZATION_REQUIRED


def test_what_a_namesake_was_asked_for_is_still_to_be_done() -> None:
    done_for_a_namesake = credential(owners=DANGLING, handled=handled(clear_credential="1"))
    assert observed(done_for_a_namesake, requests=CLEAR).pending == CLEAR


# Destructive steps.

LEAVING_AUTHORIZED: dict[str, dict[str, Any]] = {
    "the credential is gone": {"credential": None, "token_secrets": ()},
    "it was cleared": {"credential": tombstone(), "token_secrets": ()},
    "it cannot be read": {"credential": UNREADABLE},
    "the grant was revoked": {"credential": sentenced(Reason.GRANT_REVOKED), "token_secrets": ()},
    "the parameters changed": {"spec": OTHER_TOKEN_URL, "token_secrets": ()},
    "the spec became invalid": {"spec": invalid_spec()},
    "the parameters were removed": {"spec": spec_without_oauth2(), "token_secrets": ()},
    "the token ran out": {"credential": running_out(-AN_HOUR), "token_secrets": ()},
    "a namesake's credential is there": {
        "credential": seen_from(credential(owners=DANGLING), UID),
        "token_secrets": (),
    },
}


@pytest.mark.parametrize("changes", LEAVING_AUTHORIZED.values(), ids=LEAVING_AUTHORIZED)
def test_authorized_is_only_left_after_a_live_read(changes: dict[str, Any]) -> None:
    leaving = replace(authorized(), surroundings=Surroundings(), **changes)
    assert next_step(leaving) == ReadLive()
    step = next_step(live(leaving))
    assert isinstance(step, Settle)
    assert step.finding.state is not State.AUTHORIZED


@pytest.mark.parametrize("changes", LEAVING_AUTHORIZED.values(), ids=LEAVING_AUTHORIZED)
def test_a_state_that_was_not_authorized_is_told_without_a_live_read(changes: dict[str, Any]) -> None:
    fresh = replace(observed(credential(), token_secret()), surroundings=Surroundings(), **changes)
    assert isinstance(next_step(fresh), Settle)


def test_a_token_secret_is_only_deleted_after_a_live_read() -> None:
    stale = observed(tombstone(), token_secret(), surroundings=Surroundings())
    assert next_step(stale) == ReadLive()
    assert next_step(live(stale)) == DeleteTokenSecret(token_secret())


@pytest.mark.parametrize(
    ("step", "takes_something"),
    [
        (Clear(None, HandledSet()), True),
        (DeleteTokenSecret(token_secret()), True),
        (Settle(Finding(Reason.AUTHORIZATION_REQUIRED, "")), True),
        (Settle(Finding(Reason.AUTHORIZED, "")), False),
        (Settle(Finding(Reason.REFRESH_FAILING, "")), False),
        (WriteTokenSecret(planned(), credential(), None), False),
        (Adopt(credential()), False),
        (MarkHandled(credential(), HandledSet(), "NoRefreshToken"), False),
        (LookAround(), False),
        (ReadLive(), False),
        (Nothing(), False),
    ],
)
def test_what_takes_something_away_is_destructive(step: Step, takes_something: bool) -> None:
    assert is_destructive(step, authorized()) is takes_something


# Token Secrets.


def test_an_authorized_datasource_gets_its_token_secret() -> None:
    assert next_step(observed(credential())) == WriteTokenSecret(planned(), credential(), None)


def test_a_token_secret_that_is_as_it_should_be_is_left_alone() -> None:
    assert isinstance(next_step(observed(credential(), token_secret())), Settle)


DRIFT = {
    "somebody changed a key": token_secret(fields=planned().fields - {"data/access_token"}),
    "somebody took all of it over": token_secret(fields=frozenset()),
    "it was written from another revision": token_secret(credential(revision=2)),
    "it was written from another credential": token_secret(credential(credential_id="credential-0")),
    "it was written in another shape": token_secret(wanted=spec(token_secret={"template": {"labels": {"a": "b"}}})),
    "somebody changed what it says of itself": token_secret(content=""),
    "a restore took its owner away": token_secret(owners=OWNERLESS),
}


@pytest.mark.parametrize("stored", DRIFT.values(), ids=DRIFT)
def test_a_token_secret_that_drifted_is_written_again(stored: StoredTokenSecret) -> None:
    step = next_step(observed(credential(), stored))
    assert step == WriteTokenSecret(planned(), credential(), stored)


def test_keys_of_ours_beyond_the_template_are_no_drift() -> None:
    """What an earlier template put in goes with the change of content that comes with it."""
    more = token_secret(fields=planned().fields | {"data/extra"})
    assert isinstance(next_step(observed(credential(), more)), Settle)


def test_a_label_of_the_template_that_somebody_took_over_is_drift() -> None:
    labelled = spec(token_secret={"template": {"labels": {"app": "shop"}}})
    due = planned(wanted=labelled)
    taken = token_secret(wanted=labelled, fields=due.fields - {"labels/app"})
    assert next_step(observed(credential(), taken, wanted=labelled)) == WriteTokenSecret(due, credential(), taken)


def test_a_renamed_token_secret_is_written_anew_and_then_the_old_one_deleted() -> None:
    renamed = spec(token_secret={"name": "renamed"})
    old = token_secret()
    assert next_step(observed(credential(), old, wanted=renamed)) == WriteTokenSecret(
        planned(wanted=renamed), credential(), None
    )
    new = token_secret(wanted=renamed)
    written = observed(credential(), old, new, wanted=renamed)
    assert next_step(written) == ReadLive()
    assert next_step(live(written)) == DeleteTokenSecret(old)
    assert isinstance(next_step(observed(credential(), new, wanted=renamed)), Settle)


WITHOUT_A_USABLE_TOKEN = {
    "cleared": observed(tombstone(), token_secret()),
    "parameters changed": observed(credential(), token_secret(), wanted=OTHER_TOKEN_URL),
    "expired": observed(running_out(-AN_HOUR), token_secret()),
    "revoked and expired": observed(sentenced(Reason.GRANT_REVOKED), token_secret()),
    "interrupted and expired": observed(sentenced(Reason.REFRESH_INTERRUPTED), token_secret()),
    "the credential is gone": observed(None, token_secret()),
    "a namesake's credential is there": observed(credential(owners=DANGLING), token_secret()),
    "the parameters were removed": observed(credential(), token_secret(), wanted=spec_without_oauth2()),
    "restored beside no credential": observed(None, token_secret(owners=OWNERLESS)),
}


@pytest.mark.parametrize("seen", WITHOUT_A_USABLE_TOKEN.values(), ids=WITHOUT_A_USABLE_TOKEN)
def test_a_token_that_must_not_be_used_any_more_is_taken_from_the_apps(seen: Observed) -> None:
    step = next_step(live(seen))
    assert step == DeleteTokenSecret(seen.token_secrets[0])


def test_every_token_secret_goes_one_by_one() -> None:
    first, second = token_secret(), token_secret(name="older", uid="uid-2")
    assert next_step(live(observed(tombstone(), first, second))) == DeleteTokenSecret(first)
    assert next_step(live(observed(tombstone(), second))) == DeleteTokenSecret(second)


NO_TOKEN_SECRET_CAN_BE_WRITTEN = {
    "the template is wrong": {"wanted": BROKEN_TEMPLATE},
    "the Secret would be too large": {"unrenderable": too_large()},
}
ARGUMENTS, IDS = NO_TOKEN_SECRET_CAN_BE_WRITTEN.values(), NO_TOKEN_SECRET_CAN_BE_WRITTEN.keys()


@pytest.mark.parametrize("given", ARGUMENTS, ids=IDS)
def test_a_template_that_cannot_be_used_stops_no_refresh(given: dict[str, Any]) -> None:
    due = running_out(timedelta(seconds=1), has_refresh_token=True)
    step = next_step(live(observed(due, **given)))
    assert isinstance(step, Settle)
    assert step.finding.reason is Reason.INVALID_CONFIGURATION
    assert step.refresh
    assert "the credential is kept, and apps keep the token Secret as it is" in step.finding.message
    later = next_step(live(observed(credential(), **given)))
    assert isinstance(later, Settle)
    assert later.wake_at is not None


@pytest.mark.parametrize("given", ARGUMENTS, ids=IDS)
@pytest.mark.parametrize("stored", [credential(), sentenced(Reason.GRANT_REVOKED, in_=AN_HOUR)], ids=["alive", "dead"])
def test_apps_keep_a_token_that_works_while_the_template_cannot_be_used(
    stored: StoredCredential, given: dict[str, Any]
) -> None:
    other = token_secret(stored, content="of an earlier revision")
    assert isinstance(next_step(live(observed(stored, other, **given))), Settle)


@pytest.mark.parametrize(
    "stored",
    [
        tombstone(),
        credential(obtained_with=OTHER_TOKEN_URL),
        sentenced(Reason.GRANT_REVOKED),
        running_out(-AN_HOUR),
    ],
    ids=["cleared", "of other parameters", "revoked and run out", "run out without a refresh token"],
)
@pytest.mark.parametrize("given", ARGUMENTS, ids=IDS)
def test_what_must_not_be_used_goes_however_wrong_the_template_is(
    stored: StoredCredential, given: dict[str, Any]
) -> None:
    seen = live(observed(stored, token_secret(), **given))
    assert next_step(seen) == DeleteTokenSecret(token_secret())
    assert isinstance(next_step(replace(seen, token_secrets=())), Settle)


def test_a_token_secret_is_given_up_when_its_token_runs_out_however_wrong_the_template_is() -> None:
    step = next_step(live(observed(running_out(AN_HOUR), token_secret(), wanted=BROKEN_TEMPLATE)))
    assert isinstance(step, Settle)
    assert step.wake_at is not None
    assert step.wake_at <= NOW + AN_HOUR


def test_a_credential_that_cannot_be_read_takes_nothing_from_apps_beside_a_wrong_template() -> None:
    assert isinstance(next_step(live(observed(UNREADABLE, token_secret(), wanted=BROKEN_TEMPLATE))), Settle)


def test_a_grant_that_is_gone_is_told_before_a_secret_that_would_be_too_large() -> None:
    """The next token may be a shorter one, and only a person can get it."""
    dead = sentenced(Reason.GRANT_REVOKED, in_=AN_HOUR)
    assert finding_of(live(observed(dead, unrenderable=too_large()))).needs_person


def test_a_template_that_an_earlier_version_let_in_is_served_and_told() -> None:
    large = spec(token_secret={"template": {"data": {f"key-{number}": "x" * 8192 for number in range(9)}}})
    finding = finding_of(live(observed(credential(), token_secret(wanted=large), wanted=large)))
    assert finding.reason is Reason.AUTHORIZED
    assert "spec.tokenSecret.template has 73,773 bytes, and a new one may have 65,536" in finding.message


UNSURE = {
    "the credential cannot be read": live(observed(UNREADABLE, token_secret())),
    "the spec is invalid": live(observed(credential(), token_secret(), wanted=invalid_spec())),
    "a foreign Secret has our name": live(
        observed(credential(), token_secret()), problem=problem(Reason.SECRET_CONFLICT)
    ),
    "the provider rejects the client": live(
        observed(credential(), token_secret(), trouble=trouble(Reason.CLIENT_REJECTED))
    ),
}


@pytest.mark.parametrize("seen", UNSURE.values(), ids=UNSURE)
def test_apps_keep_what_they_have_while_nothing_is_known_for_sure(seen: Observed) -> None:
    assert isinstance(next_step(seen), Settle)


CLEARED_BUT_STUCK = {
    "the spec is invalid": live(observed(tombstone(), token_secret(), wanted=invalid_spec())),
    "the client Secret may not be used": live(
        observed(tombstone(), token_secret()), problem=problem(Reason.INVALID_CONFIGURATION)
    ),
    "a foreign Secret has our name": live(
        observed(tombstone(), token_secret()), problem=problem(Reason.SECRET_CONFLICT)
    ),
}


@pytest.mark.parametrize("seen", CLEARED_BUT_STUCK.values(), ids=CLEARED_BUT_STUCK)
def test_a_clear_takes_the_token_from_the_apps_whatever_else_is_wrong(seen: Observed) -> None:
    """A tombstone is sure knowledge: what was cleared must not be used any more."""
    assert next_step(seen) == DeleteTokenSecret(token_secret())


def test_the_token_secret_of_a_namesake_is_neither_deleted_nor_taken_for_ours() -> None:
    namesakes = token_secret(owners=DANGLING)
    assert isinstance(next_step(live(observed(None, namesakes))), Settle)
    assert next_step(observed(credential(), namesakes)) == WriteTokenSecret(planned(), credential(), None)


def test_a_reverted_edit_brings_the_token_secret_back() -> None:
    assert fingerprint_of(spec()) != fingerprint_of(OTHER_TOKEN_URL)
    changed = live(observed(credential(), token_secret(), wanted=OTHER_TOKEN_URL))
    assert isinstance(next_step(changed), DeleteTokenSecret)
    reverted = replace(changed, spec=spec(), token_secrets=())
    assert isinstance(next_step(reverted), WriteTokenSecret)


def test_the_owner_is_told_by_uid_alone() -> None:
    among_others = (OwnerReference(uid="b", kind="Backup"), OwnerReference(uid=UID))
    assert isinstance(next_step(observed(credential(owners=among_others), token_secret(owners=among_others))), Settle)


# What the API server refuses.

NO_RIGHT = Refusal(
    is_forbidden=True,
    words='secrets "a" is forbidden: User "system:serviceaccount:datasource-system:datasource-operator" cannot patch '
    'resource "secrets" in API group "" in the namespace "shop"',
)
QUOTA = Refusal(is_forbidden=True, words='secrets "a" is forbidden: exceeded quota: small, requested: count/secrets=1')
IMMUTABLE = Refusal(
    is_forbidden=False,
    words='Secret "a" is invalid: data: Forbidden: field is immutable when `immutable` is set',
)


def due_for_a_refresh() -> Observed:
    """AUTHORIZED, and the token Secret is not as it should be any more."""
    stored = credential(refreshed_at=NOW - AN_HOUR, expires_at=NOW + timedelta(minutes=5), has_refresh_token=True)
    return settled(observed(stored, token_secrets=(token_secret(content="another content"),)))


def test_destructive_step_that_is_refused_is_first_looked_at_live() -> None:
    """AUTHORIZED is not left for what a cache shows."""
    seen = due_for_a_refresh()
    after = refused(next_step(seen), seen, IMMUTABLE)
    assert isinstance(next_step(after), ReadLive)


def test_where_nothing_may_be_read_that_is_said_without_reading_it() -> None:
    seen = due_for_a_refresh()
    after = refused(next_step(seen), seen, NO_RIGHT)
    step = next_step(after)
    assert isinstance(step, Settle)
    assert step.finding.reason is Reason.SECRETS_FORBIDDEN


@pytest.mark.parametrize("refusal", [NO_RIGHT, QUOTA], ids=["no right", "a webhook or quota"])
@pytest.mark.parametrize("stored", STARTING_POINTS.values(), ids=STARTING_POINTS)
def test_nothing_is_cleared_where_it_may_not_be_read_live_and_that_is_said(
    stored: StoredCredential | None, refusal: Refusal
) -> None:
    seen = refused(ReadLive(), observed(stored, requests=CLEAR), refusal)
    step = next_step(seen)
    assert isinstance(step, Settle)
    assert step.finding.reason is Reason.SECRETS_FORBIDDEN
    assert refusal.words in step.finding.message


def test_of_several_refusals_the_first_is_told() -> None:
    seen = refused(Clear(None, HandledSet()), observed(credential()), QUOTA)
    again = refused(LookAround(), seen, IMMUTABLE)
    assert again.surroundings is not None
    assert seen.surroundings is not None
    assert again.surroundings.problem == seen.surroundings.problem
    assert again.surroundings.refused == {Clear, LookAround}
