"""The sentences that checks share. Pure.

What is said of a credential takes its facts: nobody can ask it of a tombstone, or of none.
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
from datasource_operator.decisions.steps import Step


def fingerprint_fits(facts: CredentialFacts, seen: Observed) -> bool:
    """Whether the tokens were obtained with the parameters that the spec has now."""
    return facts.fingerprint == seen.fingerprint


def identity_fits(facts: CredentialFacts, seen: Observed) -> bool:
    """Whether the one who authorized may have; nobody is expected where the spec names nobody.

    Who stands behind an imported refresh token is known once the provider has answered.
    """
    if seen.oauth2 is None or not seen.oauth2.expected_identity or facts.is_unproven:
        return True
    compared = facts.identity_checked == expected_identity_hash(seen.oauth2.expected_identity)
    return compared and facts.identity_fits


def access_token_is_dead(facts: CredentialFacts, seen: Observed) -> bool:
    """Whether apps have a token that has run out."""
    return facts.expires_at is not None and facts.expires_at <= seen.now


def has_run_out(facts: CredentialFacts, seen: Observed) -> bool:
    """Whether the access token is dead and nothing can renew it."""
    return access_token_is_dead(facts, seen) and not facts.has_refresh_token


def is_usable(facts: CredentialFacts, seen: Observed) -> bool:
    """Whether the tokens may be sent: ours, of these parameters, and neither run out nor judged dead."""
    return (
        not seen.is_ownerless
        and fingerprint_fits(facts, seen)
        and identity_fits(facts, seen)
        and not has_run_out(facts, seen)
        and facts.verdict is None
    )


def usable_credential(seen: Observed) -> StoredCredential | None:
    """The credential, where its tokens may be used: apps get nothing of a refresh token that nobody tried yet."""
    match seen.credential:
        case StoredCredential(facts=facts) if is_usable(facts, seen) and not facts.is_unproven:
            return seen.credential
        case _:
            return None


LATE_AFTER = timedelta(minutes=2)
"""How long a dead token may stand while nothing failed: a refresh that waits for its turn, or an operator that just began."""


def late_at(facts: CredentialFacts, seen: Observed) -> datetime | None:
    """When a token that was not refreshed until then is told as dead, though no failure is known."""
    return None if facts.expires_at is None else max(facts.expires_at, seen.first_seen or seen.now) + LATE_AFTER


def scopes_changed(facts: CredentialFacts, seen: Observed) -> bool:
    """Whether the spec asks for other scopes than the credential was obtained with."""
    return seen.oauth2 is not None and set(seen.oauth2.expanded().scopes) != set(facts.requested_scopes)


def is_to_be_revoked(facts: CredentialFacts, seen: Observed) -> bool:
    """Whether the tokens are to be revoked when the Datasource is deleted, and can be."""
    return isinstance(seen.spec, Spec) and seen.spec.deletion_policy is DeletionPolicy.REVOKE and facts.is_revocable


def outlives_its_grant(facts: CredentialFacts, seen: Observed) -> bool:
    """The refresh token is dead, or not tried yet; the access token that apps have works until it runs out, unless the
    parameters changed as well."""
    if facts.expires_at is None or (facts.verdict is None and not facts.is_unproven):
        return False
    return fingerprint_fits(facts, seen) and identity_fits(facts, seen) and seen.now < facts.expires_at


def name_is_taken(seen: Observed) -> bool:
    """Whether a Secret of somebody else has a name that we need."""
    problem = None if seen.surroundings is None else seen.surroundings.problem
    return problem is not None and problem.reason is Reason.SECRET_CONFLICT


def told_last(status: Status) -> str | None:
    """The ID of the last thing that people did, as the status tells it."""
    return status.history[-1].id if status.history else None


def asked_for_refresh(seen: Observed) -> Asked:
    """Who asked for the refresh: somebody at a page is told by name, whatever annotation stands there, too."""
    page = seen.page_request(RequestKind.REFRESH)
    return Asked() if page is None else Asked(seen.page_request_by, page.id)


def was_refused(step: Step, seen: Observed) -> bool:
    """Whether the API server refused a step of this kind in this run."""
    return seen.surroundings is not None and type(step) in seen.surroundings.refused
