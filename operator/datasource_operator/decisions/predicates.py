"""Predicates that several checks use. Pure.

A predicate about a credential takes its facts, so that it cannot be called where there is no credential.
"""

from datetime import datetime, timedelta

from datasource.api.objects import Status
from datasource.api.spec import DeletionPolicy, Spec
from datasource.api.states import Reason
from datasource.oauth2.identity import expected_identity_hash
from datasource.records.contents import StoredCredential
from datasource.records.credential import CredentialFacts
from datasource.records.page_request import RequestKind
from datasource_operator.decisions.observed import Asked, Observed
from datasource_operator.decisions.once import once
from datasource_operator.decisions.steps import Step


def fingerprint_fits(facts: CredentialFacts, seen: Observed) -> bool:
    """Whether the tokens were obtained with the parameters that the spec has now."""
    return facts.fingerprint == seen.fingerprint


def identity_fits(facts: CredentialFacts, seen: Observed) -> bool:
    """Whether the account that authorized is the one of spec.oauth2.expectedIdentity. True where the spec names none.

    The account behind an imported refresh token is known only once the provider has answered.
    """
    if seen.oauth2 is None or not seen.oauth2.expected_identity or facts.is_unproven:
        return True
    compared = facts.identity_checked == expected_identity_hash(seen.oauth2.expected_identity)
    return compared and facts.identity_fits


def access_token_is_dead(facts: CredentialFacts, seen: Observed) -> bool:
    """Whether the access token that apps have has expired."""
    return facts.expires_at is not None and facts.expires_at <= seen.now


def has_run_out(facts: CredentialFacts, seen: Observed) -> bool:
    """Whether the access token has expired and there is no refresh token to renew it with."""
    return access_token_is_dead(facts, seen) and not facts.has_refresh_token


@once
def is_usable(facts: CredentialFacts, seen: Observed) -> bool:
    """Whether the tokens may be sent to the provider.

    They belong to this Datasource and its parameters. They did not expire for good, and the provider did not reject them.
    """
    return (
        not seen.is_ownerless
        and fingerprint_fits(facts, seen)
        and identity_fits(facts, seen)
        and not has_run_out(facts, seen)
        and facts.verdict is None
    )


def usable_credential(seen: Observed) -> StoredCredential | None:
    """The credential, where apps may use its tokens; else None. An imported refresh token must be tried first."""
    match seen.credential:
        case StoredCredential(facts=facts) if is_usable(facts, seen) and not facts.is_unproven:
            return seen.credential
        case _:
            return None


LATE_AFTER = timedelta(minutes=2)
"""How long an expired token is tolerated without a failure. A refresh may wait for its turn, or the operator just started."""


def late_at(facts: CredentialFacts, seen: Observed) -> datetime | None:
    """When the status reports an expired token although no refresh failed; None where its expiry is not known."""
    return None if facts.expires_at is None else max(facts.expires_at, seen.first_seen or seen.now) + LATE_AFTER


def scopes_changed(facts: CredentialFacts, seen: Observed) -> bool:
    """Whether the spec asks for other scopes than the credential was obtained with."""
    return seen.oauth2 is not None and set(seen.oauth2.expanded().scopes) != set(facts.requested_scopes)


def is_to_be_revoked(facts: CredentialFacts, seen: Observed) -> bool:
    """Whether deletion of the Datasource should revoke the tokens, and a revocation endpoint is known."""
    return isinstance(seen.spec, Spec) and seen.spec.deletion_policy is DeletionPolicy.REVOKE and facts.is_revocable


def outlives_its_grant(facts: CredentialFacts, seen: Observed) -> bool:
    """Whether apps keep the access token although the refresh token is rejected or not tried yet.

    They keep it until it expires, unless the parameters or the expected identity changed as well.
    """
    if facts.expires_at is None or (facts.verdict is None and not facts.is_unproven):
        return False
    return fingerprint_fits(facts, seen) and identity_fits(facts, seen) and seen.now < facts.expires_at


def name_is_taken(seen: Observed) -> bool:
    """Whether a foreign Secret has a name that the operator needs."""
    problem = None if seen.surroundings is None else seen.surroundings.problem
    return problem is not None and problem.reason is Reason.SECRET_CONFLICT


def told_last(status: Status) -> str | None:
    """The ID of the last entry of the history in the status; None where it has none."""
    return status.history[-1].id if status.history else None


def asked_for_refresh(seen: Observed) -> Asked:
    """Who requested the refresh. A request at a page comes first, because it names the person."""
    page = seen.page_request(RequestKind.REFRESH)
    return Asked() if page is None else Asked(seen.page_request_by, page.id)


def was_refused(step: Step, seen: Observed) -> bool:
    """Whether the API server refused a step of this kind in this reconciliation."""
    return seen.surroundings is not None and type(step) in seen.surroundings.refused
