"""The sentences that checks share. Pure."""

from datetime import datetime, timedelta

from datasource.api.spec import DeletionPolicy, Spec
from datasource.api.states import Reason
from datasource.oauth2.identity import expected_identity_hash
from datasource.records.credential import StoredCredential
from datasource.records.fingerprint import parameters_hash
from datasource.records.ticket import TicketScope
from datasource_operator.decisions.observed import Observed
from datasource_operator.decisions.steps import Step


def ticket_scope(seen: Observed) -> TicketScope:
    """What a link offered now is bound to."""
    oauth2 = seen.oauth2
    return TicketScope(
        uid=seen.uid,
        parameters_hash="" if oauth2 is None else parameters_hash(oauth2),
        replaces="" if seen.facts is None else seen.facts.credential_id,
    )


def is_tombstone(seen: Observed) -> bool:
    """What was cleared must not be used any more: that much is sure, whatever else is wrong."""
    return seen.facts is not None and seen.facts.tombstone is not None


def is_leaving(seen: Observed) -> bool:
    """Whether somebody deleted the credential Secret, which is still there: its finalizers hold it."""
    return isinstance(seen.credential, StoredCredential) and seen.credential.is_being_deleted


def credential_is_there(seen: Observed) -> bool:
    """Whether the credential Secret holds tokens of this Datasource."""
    return seen.facts is not None and seen.facts.tombstone is None


def fingerprint_fits(seen: Observed) -> bool:
    """Whether the tokens were obtained with the parameters that the spec has now."""
    if not isinstance(seen.credential, StoredCredential) or seen.fingerprint is None:
        return False
    return seen.credential.facts.fingerprint == seen.fingerprint


def identity_fits(seen: Observed) -> bool:
    """Whether the one who authorized may have; nobody is expected where the spec names nobody."""
    if seen.oauth2 is None or seen.facts is None or not seen.oauth2.expected_identity:
        return True
    compared = seen.facts.identity_checked == expected_identity_hash(seen.oauth2.expected_identity)
    return compared and seen.facts.identity_fits


def has_run_out(seen: Observed) -> bool:
    """Whether the access token is dead and nothing can renew it."""
    facts = seen.facts
    if facts is None or facts.has_refresh_token or facts.expires_at is None:
        return False
    return facts.expires_at <= seen.now


def credential_is_usable(seen: Observed) -> bool:
    """Whether the tokens may be used: ours, of these parameters, and neither run out nor judged dead."""
    return (
        credential_is_there(seen)
        and not seen.is_ownerless
        and fingerprint_fits(seen)
        and identity_fits(seen)
        and not has_run_out(seen)
        and (seen.facts is None or seen.facts.verdict is None)
    )


def access_token_is_dead(seen: Observed) -> bool:
    """Whether apps have a token that has run out."""
    return seen.facts is not None and seen.facts.expires_at is not None and seen.facts.expires_at <= seen.now


LATE_AFTER = timedelta(minutes=2)
"""How long a dead token may stand while nothing failed: a refresh that waits for its turn, or an operator that just began."""


def late_at(seen: Observed) -> datetime | None:
    """When a token that was not refreshed until then is told as dead, though no failure is known."""
    if seen.facts is None or seen.facts.expires_at is None:
        return None
    return max(seen.facts.expires_at, seen.first_seen or seen.now) + LATE_AFTER


def scopes_changed(seen: Observed) -> bool:
    """Whether the spec asks for other scopes than the credential was obtained with."""
    return (
        seen.facts is not None
        and seen.oauth2 is not None
        and set(seen.oauth2.expanded().scopes) != set(seen.facts.requested_scopes)
    )


def is_to_be_revoked(seen: Observed) -> bool:
    """Whether the tokens are to be revoked when the Datasource is deleted, and can be."""
    if not isinstance(seen.spec, Spec) or seen.facts is None:
        return False
    return seen.spec.deletion_policy is DeletionPolicy.REVOKE and seen.facts.is_revocable


def outlives_its_grant(seen: Observed) -> bool:
    """The refresh token is dead; the access token works until it runs out, unless the parameters changed as well."""
    facts = seen.facts
    if facts is None or facts.tombstone is not None or facts.verdict is None or facts.expires_at is None:
        return False
    return fingerprint_fits(seen) and identity_fits(seen) and seen.now < facts.expires_at


def name_is_taken(seen: Observed) -> bool:
    """Whether a Secret of somebody else has a name that we need."""
    problem = None if seen.surroundings is None else seen.surroundings.problem
    return problem is not None and problem.reason is Reason.SECRET_CONFLICT


def was_refused(step: Step, seen: Observed) -> bool:
    """Whether the API server refused a step of this kind in this run."""
    return seen.surroundings is not None and type(step) in seen.surroundings.refused
