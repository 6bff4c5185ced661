"""The sentences that checks share, each true and each false."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.spec import Spec
from datasource.api.spec_problems import parse_spec
from datasource.api.states import Reason
from datasource.oauth2.identity import expected_identity_hash
from datasource.records.contents import StoredCredential
from datasource.records.credential import CredentialFacts, Unreadable
from datasource.records.ticket import issue_ticket, ticket_fits
from datasource_operator.decisions.observed import Observed, Surroundings
from datasource_operator.decisions.predicates import (
    LATE_AFTER,
    access_token_is_dead,
    fingerprint_fits,
    has_run_out,
    identity_fits,
    is_to_be_revoked,
    is_usable,
    late_at,
    name_is_taken,
    outlives_its_grant,
    scopes_changed,
    usable_credential,
    was_refused,
)
from tests.support.builders import (
    DANGLING,
    NOW,
    OWNERLESS,
    credential,
    invalid_spec,
    leaving,
    observed,
    problem,
    raw_spec,
    spec,
    spec_without_oauth2,
    tombstone,
)
from tests.unit.datasource_operator.decisions.samples import STEPS, expecting

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
UNREADABLE = Unreadable("annotation datasource.dev/handled cannot be read")
ELSEWHERE = spec(tokenURL="https://elsewhere.example.com/token")
ADA = {"email": "ada@example.com"}
FOR_ADA = expecting(ADA)
REVOKING = parse_spec(raw_spec() | {"deletionPolicy": "Revoke"}, allow_insecure_http=False)


def checked(*, fits: bool, against: dict[str, str] = ADA) -> StoredCredential:
    """A credential whose owner was compared with an expected identity."""
    hash_ = expected_identity_hash(against)
    return credential(obtained_with=FOR_ADA, identity_checked=hash_, identity_fits=fits)


def facts_in(seen: Observed) -> CredentialFacts:
    """The facts of what is surely a credential."""
    assert seen.facts is not None
    return seen.facts


NOTHING = observed()
USABLE = observed(credential())

TRUE_AND_FALSE: list[tuple[Callable[[CredentialFacts, Observed], bool], list[Observed], list[Observed]]] = [
    (
        fingerprint_fits,
        [USABLE, observed(credential(obtained_with=ELSEWHERE), wanted=ELSEWHERE)],
        [
            observed(credential(), wanted=ELSEWHERE),
            observed(credential(), wanted=invalid_spec()),
            observed(credential(), wanted=spec_without_oauth2()),
        ],
    ),
    (
        identity_fits,
        [USABLE, observed(checked(fits=False)), observed(checked(fits=True), wanted=FOR_ADA)],
        [
            observed(checked(fits=False), wanted=FOR_ADA),
            observed(checked(fits=True, against={"email": "eve@example.com"}), wanted=FOR_ADA),
            observed(credential(obtained_with=FOR_ADA, identity_fits=True), wanted=FOR_ADA),
        ],
    ),
    (
        has_run_out,
        [observed(credential(expires_at=NOW, has_refresh_token=False))],
        [
            observed(credential(expires_at=NOW + SECOND, has_refresh_token=False)),
            observed(credential(expires_at=NOW - HOUR)),
            observed(credential(expires_at=None, has_refresh_token=False)),
        ],
    ),
    (
        access_token_is_dead,
        [observed(credential(expires_at=NOW)), observed(credential(expires_at=NOW - HOUR, has_refresh_token=False))],
        [observed(credential(expires_at=NOW + SECOND)), observed(credential(expires_at=None))],
    ),
    (
        scopes_changed,
        [observed(credential(), wanted=spec(scopes=["read"])), observed(credential(), wanted=spec(scopes=None))],
        [
            USABLE,
            observed(credential(), wanted=spec(scopes=["offline_access", "read"])),
            observed(credential(), wanted=invalid_spec()),
        ],
    ),
    (
        is_to_be_revoked,
        [observed(credential(is_revocable=True), wanted=REVOKING)],
        [
            observed(credential(is_revocable=False), wanted=REVOKING),
            observed(credential(is_revocable=True)),
            observed(credential(is_revocable=True), wanted=invalid_spec()),
        ],
    ),
    (
        outlives_its_grant,
        [observed(credential(verdict=Reason.GRANT_REVOKED, expires_at=NOW + SECOND))],
        [
            USABLE,
            observed(credential(verdict=Reason.GRANT_REVOKED, expires_at=NOW)),
            observed(credential(verdict=Reason.GRANT_REVOKED, expires_at=None)),
            observed(credential(verdict=Reason.GRANT_REVOKED), wanted=ELSEWHERE),
            observed(credential(verdict=Reason.GRANT_REVOKED, obtained_with=FOR_ADA), wanted=FOR_ADA),
        ],
    ),
    (
        is_usable,
        [USABLE, observed(credential(expires_at=NOW - HOUR)), observed(credential(expires_at=None))],
        [
            observed(credential(owners=OWNERLESS)),
            observed(credential(), wanted=ELSEWHERE),
            observed(credential(obtained_with=FOR_ADA), wanted=FOR_ADA),
            observed(credential(expires_at=NOW, has_refresh_token=False)),
            observed(credential(verdict=Reason.REFRESH_INTERRUPTED)),
        ],
    ),
]


@pytest.mark.parametrize(("holds", "seen"), [(holds, seen) for holds, true, _ in TRUE_AND_FALSE for seen in true])
def test_sentence_is_true(holds: Callable[[CredentialFacts, Observed], bool], seen: Observed) -> None:
    assert holds(facts_in(seen), seen)


@pytest.mark.parametrize(("holds", "seen"), [(holds, seen) for holds, _, false in TRUE_AND_FALSE for seen in false])
def test_sentence_is_false(holds: Callable[[CredentialFacts, Observed], bool], seen: Observed) -> None:
    assert not holds(facts_in(seen), seen)


def test_only_a_credential_is_usable() -> None:
    assert usable_credential(USABLE) == credential()
    for contents in (None, tombstone(), UNREADABLE, leaving(credential()), credential(owners=DANGLING)):
        assert usable_credential(observed(contents)) is None
    assert usable_credential(observed(credential(owners=OWNERLESS))) is None


def test_name_is_taken_where_a_live_look_said_so() -> None:
    assert name_is_taken(observed(surroundings=Surroundings(problem(Reason.SECRET_CONFLICT))))
    for surroundings in (None, Surroundings(), Surroundings(problem())):
        assert not name_is_taken(observed(surroundings=surroundings))


# What a link is bound to.

SCOPES = [
    NOTHING,
    observed(uid="another-uid"),
    observed(wanted=ELSEWHERE),
    observed(credential(credential_id="one")),
    observed(credential(credential_id="two")),
    observed(tombstone()),
]


def test_link_is_good_for_what_it_was_offered_for_and_nothing_else() -> None:
    tickets = [issue_ticket(seen.ticket_scope, lambda count: b"r" * count) for seen in SCOPES]
    for seen in SCOPES:
        fitting = [
            other for other, ticket in zip(SCOPES, tickets, strict=True) if ticket_fits(ticket, seen.ticket_scope)
        ]
        assert fitting == [seen]


@pytest.mark.parametrize("wanted", [invalid_spec(), spec_without_oauth2()])
def test_link_of_a_spec_without_parameters_is_bound_to_none(wanted: Spec) -> None:
    assert observed(wanted=wanted).ticket_scope.parameters_hash == ""


def test_link_does_not_replace_the_credential_of_an_earlier_datasource() -> None:
    assert observed(credential(owners=DANGLING)).ticket_scope.replaces == ""


# Late.


@given(
    st.integers(-100_000, 100_000).map(lambda seconds: NOW + timedelta(seconds=seconds)),
    st.none() | st.integers(-100_000, 0).map(lambda seconds: NOW + timedelta(seconds=seconds)),
)
def test_no_token_is_late_before_it_was_dead_and_seen_for_minutes(expires_at: object, first_seen: object) -> None:
    seen = observed(credential(expires_at=expires_at), first_seen=first_seen)
    late = late_at(facts_in(seen), seen)
    assert late is not None
    assert late - LATE_AFTER in {expires_at, first_seen or NOW}
    assert late - LATE_AFTER >= expires_at  # type: ignore[operator]
    assert late - LATE_AFTER >= (first_seen or NOW)  # type: ignore[operator]


def test_token_without_an_end_is_never_late() -> None:
    seen = observed(credential(expires_at=None))
    assert late_at(facts_in(seen), seen) is None


# Refusals.


def test_nothing_was_refused_where_nobody_looked() -> None:
    assert not [step for step in STEPS if was_refused(step, NOTHING)]


def test_only_steps_of_that_very_kind_were_refused() -> None:
    for step in STEPS:
        seen = observed(surroundings=Surroundings(refused=frozenset({type(step)})))
        assert [other for other in STEPS if was_refused(other, seen)] == [step]
