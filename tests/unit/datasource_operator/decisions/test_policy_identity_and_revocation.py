"""What expectedIdentity and deletionPolicy ask for."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from datasource.api.names import REVOKE_FINALIZER
from datasource.api.spec import Spec
from datasource.api.spec_problems import parse_spec
from datasource.api.states import Reason, State
from datasource.oauth2.identity import expected_identity_hash
from datasource_operator.decisions.findings import finding_of
from datasource_operator.decisions.observed import Observed
from datasource_operator.decisions.policy import next_step
from datasource_operator.decisions.steps import (
    CompareIdentity,
    DeleteTokenSecret,
    Hold,
    Release,
    Settle,
    WriteTokenSecret,
)
from datasource_operator.decisions.timing import refresh_is_wanted
from tests.support.builders import (
    DANGLING,
    credential,
    invalid_spec,
    leaving,
    live,
    observed,
    raw_spec,
    settled,
    spec,
    token_secret,
    tombstone,
)

ADA = {"email": "ada@example.com"}
EXPECTED = spec(issuer="https://login.example.com", scopes=["openid"], expectedIdentity=ADA)
HASH = expected_identity_hash(ADA)


def with_policy(policy: str) -> Spec:
    return parse_spec(raw_spec() | {"deletionPolicy": policy}, allow_insecure_http=False)


REVOKE, DELETE = with_policy("Revoke"), with_policy("Delete")


def held(*, is_being_deleted: bool = False, **changes: Any) -> Observed:
    """A credential that our finalizer holds."""
    stored = msgspec.structs.replace(credential(is_revocable=True), finalizers=("example.com/backup", REVOKE_FINALIZER))
    return observed(leaving(stored) if is_being_deleted else stored, **changes)


def test_identity_is_compared_when_somebody_is_expected_all_at_once() -> None:
    stored = credential(obtained_with=EXPECTED)
    assert next_step(observed(stored, wanted=EXPECTED)) == CompareIdentity(stored, ADA)


def test_identity_is_compared_again_when_somebody_else_is_expected() -> None:
    stored = credential(obtained_with=EXPECTED, identity_checked="of another expectation", identity_fits=True)
    assert next_step(observed(stored, wanted=EXPECTED)) == CompareIdentity(stored, ADA)


def test_the_one_expected_stays_authorized() -> None:
    stored = credential(obtained_with=EXPECTED, identity_checked=HASH, identity_fits=True)
    seen = observed(stored, wanted=EXPECTED)
    assert isinstance(next_step(seen), WriteTokenSecret)
    assert finding_of(seen).reason is Reason.AUTHORIZED


def test_tokens_of_somebody_else_are_kept_and_not_used() -> None:
    stored = credential(obtained_with=EXPECTED, identity_checked=HASH, identity_fits=False)
    seen = observed(stored, token_secret(stored, EXPECTED), wanted=EXPECTED)
    finding = finding_of(seen)
    assert (finding.state, finding.reason) == (State.NOT_AUTHORIZED, Reason.PARAMETERS_CHANGED)
    assert "spec.oauth2.expectedIdentity" in finding.message
    assert finding.needs_person
    assert not refresh_is_wanted(replace(seen, first_seen=None))
    assert isinstance(next_step(live(seen)), DeleteTokenSecret)


def test_dead_grant_of_somebody_else_gives_apps_nothing_either() -> None:
    stored = credential(
        obtained_with=EXPECTED, identity_checked=HASH, identity_fits=False, verdict=Reason.GRANT_REVOKED
    )
    seen = observed(stored, token_secret(stored, EXPECTED), wanted=EXPECTED)
    assert isinstance(next_step(live(seen)), DeleteTokenSecret)


def test_nobody_is_compared_where_nobody_is_expected() -> None:
    stored = credential(identity_checked=HASH, identity_fits=False)
    assert finding_of(observed(stored)).reason is Reason.AUTHORIZED
    assert isinstance(next_step(observed(stored)), WriteTokenSecret)


def test_identity_is_not_compared_for_other_parameters_or_after_a_clear() -> None:
    assert finding_of(observed(credential(), wanted=EXPECTED)).reason is Reason.PARAMETERS_CHANGED
    for stored in (credential(), tombstone()):
        assert not isinstance(next_step(live(observed(stored, wanted=EXPECTED))), CompareIdentity)


def test_credential_that_is_to_be_revoked_is_held() -> None:
    stored = credential(is_revocable=True)
    assert next_step(observed(stored, wanted=REVOKE)) == Hold(stored)


def test_held_credential_is_held_once() -> None:
    assert isinstance(next_step(held(wanted=REVOKE)), WriteTokenSecret)


@pytest.mark.parametrize("wanted", [DELETE, spec()])
def test_held_credential_is_released_where_nothing_is_to_be_revoked(wanted: Spec) -> None:
    seen = held(wanted=wanted)
    assert next_step(seen) == Release(seen.credential)  # type: ignore[arg-type]


def test_invalid_spec_releases_nothing() -> None:
    assert isinstance(next_step(live(held(wanted=invalid_spec()))), Settle)


def test_credential_that_cannot_be_revoked_is_not_held_and_that_is_told() -> None:
    seen = observed(credential(), wanted=REVOKE)
    assert isinstance(next_step(seen), WriteTokenSecret)
    assert "spec.oauth2.revocationURL" in finding_of(seen).message
    assert finding_of(held(wanted=REVOKE)).message == "A credential is stored."


def test_credential_of_other_parameters_is_not_held() -> None:
    other = parse_spec(raw_spec(clientID="another") | {"deletionPolicy": "Revoke"}, allow_insecure_http=False)
    assert not isinstance(next_step(live(observed(credential(is_revocable=True), wanted=other))), Hold)
    assert not isinstance(next_step(live(observed(tombstone(), wanted=REVOKE))), Hold)


def test_credential_that_is_being_deleted_counts_as_none() -> None:
    seen = settled(live(held(is_being_deleted=True, wanted=DELETE)))
    assert finding_of(seen).reason is Reason.AUTHORIZATION_REQUIRED
    assert isinstance(next_step(seen), Settle)
    assert not refresh_is_wanted(seen)


def test_credential_of_an_earlier_datasource_is_left_to_its_revocation() -> None:
    stored = credential(is_revocable=True, owners=DANGLING)
    assert isinstance(next_step(live(observed(stored, wanted=REVOKE))), Settle)


def test_a_finalizer_is_not_put_where_our_rights_go_with_the_namespace() -> None:
    """The namespace's deletion takes the Role first, and nobody could take the finalizer off."""
    seen = live(observed(credential(is_revocable=True), wanted=REVOKE))
    assert isinstance(next_step(seen), Hold)
    without = replace(seen, rights_outlive_namespace=False)
    assert not isinstance(next_step(without), Hold)
    assert "A deletion then revokes nothing." in finding_of(without).message
    assert "revokes nothing" not in finding_of(replace(without, spec=DELETE)).message


def test_a_finalizer_is_taken_off_where_our_rights_go_with_the_namespace() -> None:
    """As an earlier version, or a cluster-wide installation, left it there."""
    seen = live(held(wanted=REVOKE))
    assert not isinstance(next_step(seen), Release)
    assert isinstance(next_step(replace(seen, rights_outlive_namespace=False)), Release)
