"""What becomes of a refresh token that somebody brought along, by all that it may meet."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from datasource.api.objects import Status
from datasource.api.spec import Spec
from datasource.api.spec_problems import parse_spec
from datasource.api.states import IMPORTED, ImportReason, Reason, State
from datasource.records.contents import Contents, StoredCredential, StoredTombstone
from datasource.records.credential import Unreadable
from datasource.records.import_secret import ImportedFrom, ImportSecret
from datasource.records.intent import Intent
from datasource_operator.decisions.findings import finding_of
from datasource_operator.decisions.imports import step_of_import, waiting_import
from datasource_operator.decisions.observed import ImportLook, Observed, SeenImport, Surroundings
from datasource_operator.decisions.policy import next_step
from datasource_operator.decisions.predicates import outlives_its_grant, usable_credential
from datasource_operator.decisions.status import refused_import, wanted_status
from datasource_operator.decisions.steps import DeleteImport, LookAround, LookAtImport, ReadLive, Step, TakeImport
from datasource_operator.decisions.timing import refresh_is_wanted
from tests.support.builders import (
    DANGLING,
    NOW,
    OURS,
    OWNERLESS,
    credential,
    invalid_spec,
    leaving,
    live,
    observed,
    problem,
    raw_spec,
    spec,
    spec_without_oauth2,
    status_settings,
    tombstone,
    trouble,
)
from tests.unit.datasource_operator.decisions.samples import expecting

HASH, OTHER_HASH = "a" * 64, "b" * 64
SECRET = ImportSecret("uid-1", "9", OURS)
LOOK = ImportLook(HASH)
THIS = ImportedFrom(HASH, "uid-1")
AROUND = Surroundings()
ELSEWHERE = spec(tokenURL="https://elsewhere.example.com/token")
SUSPENDED = parse_spec(raw_spec() | {"suspend": True}, allow_insecure_http=False)
FOR_ADA = expecting({"email": "ada@example.com"})


def importing(
    stored: Contents | None = None,
    *,
    secret: ImportSecret = SECRET,
    look: ImportLook | None = LOOK,
    surroundings: Surroundings | None = AROUND,
    **changes: Any,
) -> Observed:
    """A Datasource beside which an import Secret stands."""
    return observed(stored, imported=SeenImport(secret, look), surroundings=surroundings, **changes)


def unproven(*, obtained_with: Spec | None = None, **changes: Any) -> StoredCredential:
    """What an import leaves until the provider has answered."""
    usual: dict[str, Any] = {"expires_at": None, "refreshed_at": None, "granted_scopes": (), "authorized_as": None}
    return credential(obtained_with=obtained_with, **(usual | {"imported": THIS} | changes))


def cleared(**changes: Any) -> StoredTombstone:
    """A tombstone that says more."""
    stored = tombstone()
    return msgspec.structs.replace(stored, facts=msgspec.structs.replace(stored.facts, **changes))


RUN_OUT = credential(has_refresh_token=False, expires_at=NOW - timedelta(minutes=1))
DEAD = credential(verdict=Reason.GRANT_REVOKED, expires_at=NOW - timedelta(minutes=1))
SENT = Intent("intent-1", "process-1", "pod-1", NOW)


# What is done.


@pytest.mark.parametrize(
    "stored", [None, tombstone(), RUN_OUT, DEAD, cleared(imported=ImportedFrom(OTHER_HASH, "uid-1"))]
)
def test_import_is_taken_over_where_nothing_stands_that_is_of_use(stored: Contents | None) -> None:
    step = step_of_import(importing(stored))
    assert isinstance(step, TakeImport)
    assert (step.secret, step.token_hash, step.replaced) == (SECRET, HASH, stored)


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        pytest.param(credential(), "of use", id="in use"),
        pytest.param(credential(expires_at=NOW - timedelta(days=1)), "its refresh token is", id="to be refreshed"),
        pytest.param(credential(obtained_with=ELSEWHERE), "a revert brings it back", id="of other parameters"),
        pytest.param(credential(has_refresh_token=False), "until it runs out", id="without a refresh token"),
        pytest.param(credential(owners=OWNERLESS, obtained_with=ELSEWHERE), "a restore", id="not adopted"),
        pytest.param(unproven(imported=ImportedFrom(HASH, "another")), "another import", id="another import"),
        pytest.param(unproven(imported=ImportedFrom(OTHER_HASH, "uid-1")), "it was edited", id="edited meanwhile"),
        pytest.param(unproven(obtained_with=ELSEWHERE, revision=2), "it was rotated", id="rotated for others"),
        pytest.param(unproven(obtained_with=ELSEWHERE, intent=SENT), "perhaps rotated", id="sent for others"),
    ],
)
def test_import_is_refused_while_a_credential_stands_that_may_be_of_use(stored: StoredCredential, why: str) -> None:
    seen = importing(stored)
    waiting = waiting_import(seen)
    assert step_of_import(seen) is None, why
    assert waiting is not None
    assert waiting.reason is ImportReason.CREDENTIAL_EXISTS
    assert "kubectl datasource clear calendar" in waiting.message


def test_import_that_was_never_sent_is_taken_over_anew_once_the_parameters_are_corrected() -> None:
    assert isinstance(step_of_import(importing(unproven(obtained_with=ELSEWHERE))), TakeImport)
    dead = unproven(obtained_with=ELSEWHERE, verdict=Reason.GRANT_REVOKED)
    assert isinstance(step_of_import(importing(dead)), TakeImport)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"wanted": SUSPENDED}, "spec.suspend is false", id="suspended"),
        pytest.param({"wanted": spec_without_oauth2()}, "spec.oauth2 is complete", id="not configured"),
        pytest.param({"wanted": spec(clientID=None)}, "spec.oauth2 is complete", id="incomplete"),
        pytest.param({"wanted": invalid_spec()}, "spec.oauth2 is complete", id="invalid"),
        pytest.param({"stored": Unreadable("data")}, "credential Secret is readable", id="unreadable"),
        pytest.param({"stored": leaving(credential())}, "credential Secret is readable, or gone", id="leaving"),
        pytest.param({"stored": cleared(revoke_until=NOW)}, "is revoked", id="a revocation is under way"),
        pytest.param({"surroundings": Surroundings(problem())}, "condition Ready", id="no client Secret"),
        pytest.param({"import_waits": "The metadata is being read."}, "metadata is being read", id="metadata"),
        pytest.param({"look": None, "import_waits": "The operator may not read it."}, "may not read", id="no right"),
    ],
)
def test_import_waits_for_what_will_be_mended_and_says_so(changes: dict[str, Any], words: str) -> None:
    seen = importing(**changes)
    waiting = waiting_import(seen)
    assert step_of_import(seen) is None
    assert waiting is not None
    assert waiting.reason is ImportReason.WAITING
    assert waiting.message.startswith("Secret calendar-oauth2-import waits")
    assert words in waiting.message


def test_import_is_looked_at_before_anything_is_done_with_it() -> None:
    assert step_of_import(importing(look=None)) == LookAtImport(SECRET)
    assert step_of_import(importing(surroundings=None)) == LookAround()
    waiting = waiting_import(importing(look=None))
    assert waiting is not None
    assert waiting.reason is ImportReason.WAITING


@pytest.mark.parametrize("is_authorized", [True, False])
def test_import_that_cannot_be_one_is_told_and_left_alone(is_authorized: bool) -> None:
    seen = importing(credential() if is_authorized else None, look=ImportLook(problem="It has no key refresh_token."))
    waiting = waiting_import(seen)
    assert step_of_import(seen) is None
    assert waiting is not None
    assert (waiting.reason, "It has no key refresh_token." in waiting.message) == (ImportReason.INVALID, True)


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param(ImportSecret("uid-1", "9", DANGLING), id="of an earlier Datasource"),
        pytest.param(ImportSecret("uid-1", "9", OURS, is_leaving=True), id="being deleted"),
    ],
)
def test_import_that_goes_by_itself_is_none(secret: ImportSecret) -> None:
    seen = importing(secret=secret)
    assert (step_of_import(seen), waiting_import(seen)) == (None, None)


@pytest.mark.parametrize("owners", [OURS, OWNERLESS])
def test_import_need_not_say_whose_it_is(owners: Any) -> None:
    assert isinstance(step_of_import(importing(secret=ImportSecret("uid-1", "9", owners))), TakeImport)


@pytest.mark.parametrize(
    ("stored", "step"),
    [
        pytest.param(credential(imported=THIS), DeleteImport, id="proved"),
        pytest.param(credential(imported=THIS, verdict=Reason.GRANT_REVOKED), DeleteImport, id="proved, dead since"),
        pytest.param(cleared(imported=THIS), DeleteImport, id="cleared"),
        pytest.param(unproven(), type(None), id="being tried"),
        pytest.param(unproven(revision=2), type(None), id="being tried, and rotated"),
        pytest.param(unproven(verdict=Reason.GRANT_REVOKED), type(None), id="refused"),
        pytest.param(credential(imported=ImportedFrom(HASH, "another")), type(None), id="the same token once more"),
        pytest.param(cleared(imported=ImportedFrom(HASH, "another")), TakeImport, id="once more after a clear"),
        pytest.param(
            unproven(verdict=Reason.GRANT_REVOKED, imported=ImportedFrom(OTHER_HASH, "uid-1")),
            TakeImport,
            id="another after a refusal",
        ),
    ],
)
def test_import_is_deleted_once_it_was_proved_or_cleared_and_never_before(
    stored: Contents, step: type[Step | None]
) -> None:
    assert isinstance(step_of_import(importing(stored)), step)


def test_import_that_cannot_be_deleted_is_told_and_not_tried_for_ever() -> None:
    seen = importing(credential(imported=THIS), import_waits="Delete it yourself.")
    waiting = waiting_import(seen)
    assert step_of_import(seen) is None
    assert waiting is not None


def test_token_that_apps_have_outlives_the_change_to_an_import() -> None:
    """The refresh token is dead, the access token is not: what is brought may be dead as well."""
    dying = credential(verdict=Reason.GRANT_REVOKED)
    step = step_of_import(importing(dying))
    assert isinstance(step, TakeImport)
    assert step.keeps_access_token
    step = step_of_import(importing(DEAD))
    assert isinstance(step, TakeImport)
    assert not step.keeps_access_token
    kept = unproven(expires_at=NOW + timedelta(minutes=1))
    assert outlives_its_grant(kept.facts, observed(kept))


def test_nothing_is_taken_over_for_what_a_cache_showed() -> None:
    """Somebody may have edited the token URL a moment ago."""
    seen = importing(surroundings=None)
    assert next_step(replace(seen, surroundings=AROUND)) == ReadLive()
    assert isinstance(next_step(live(seen)), TakeImport)


# What is told.


@pytest.mark.parametrize("wanted", [spec(), FOR_ADA])
def test_what_was_imported_is_sent_at_once_and_nobody_gets_a_token_before(wanted: Spec) -> None:
    seen = importing(unproven(obtained_with=wanted), wanted=wanted)
    finding = finding_of(seen)
    assert refresh_is_wanted(seen)
    assert usable_credential(seen) is None
    assert (finding.state, finding.reason) == (State.NOT_AUTHORIZED, Reason.AUTHORIZATION_REQUIRED)
    assert not finding.needs_person
    assert "The operator tries it before apps get a token." in finding.message


def test_what_was_imported_is_not_sent_while_suspended() -> None:
    assert not refresh_is_wanted(importing(unproven(), wanted=SUSPENDED))


@pytest.mark.parametrize(
    ("reason", "asks", "state", "has_link"),
    [
        (Reason.REFRESH_FAILING, False, State.NOT_AUTHORIZED, False),
        (Reason.REFRESH_FAILING, True, State.NOT_AUTHORIZED, True),
        (Reason.CLIENT_REJECTED, False, State.ERROR, False),
    ],
)
def test_what_goes_wrong_with_an_import_is_told_and_it_stays(
    reason: Reason, asks: bool, state: State, has_link: bool
) -> None:
    seen = importing(unproven(), trouble=replace(trouble(reason), asks_for_a_person=asks))
    finding, waiting = finding_of(seen), waiting_import(seen)
    assert (finding.state, finding.needs_person) == (state, has_link)
    assert trouble(reason).message in finding.message
    assert step_of_import(seen) is None
    assert waiting is not None
    assert waiting.reason is ImportReason.BEING_TRIED


def test_import_that_the_provider_refuses_is_told_as_one() -> None:
    seen = importing(unproven(verdict=Reason.GRANT_REVOKED, verdict_message="The provider says: used up."))
    finding, waiting = finding_of(seen), waiting_import(seen)
    assert finding.reason is Reason.GRANT_REVOKED
    assert "does not accept the refresh token that was imported" in finding.message
    assert "The provider says: used up." in finding.message
    assert waiting is not None
    assert waiting.reason is ImportReason.REFUSED


def test_condition_stands_as_long_as_the_secret_does_and_a_refusal_is_news_once() -> None:
    bad = importing(look=ImportLook(problem="It has no key refresh_token."))
    status = wanted_status(bad, finding_of(bad), status_settings())
    condition = status.condition(IMPORTED)
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", "Invalid")
    assert refused_import(Status(), status) == condition.message
    assert refused_import(status, status) is None
    waiting = importing(wanted=SUSPENDED)
    waits = wanted_status(waiting, finding_of(waiting), status_settings())
    assert refused_import(Status(), waits) is None
    assert refused_import(waits, status) == condition.message
    none = observed()
    assert wanted_status(none, finding_of(none), status_settings()).condition(IMPORTED) is None
