"""What holds for a Datasource: a chain of checks, of which the first match wins. Pure.

The name of a check is a sentence that is true where it returns a finding. Its message tells a person what to do. Where no
check of `CHAIN` matches, the content of the credential Secret decides.
"""

from collections.abc import Callable, Iterator
from typing import assert_never

from datasource.api.presets import scopes_included
from datasource.api.spec import DeletionPolicy, Spec, SpecProblem, missing_fields
from datasource.api.states import OPEN_THE_LINK, Reason
from datasource.api.template_problems import LARGEST_TEMPLATE, template_size
from datasource.oauth2.scopes import scopes_not_granted
from datasource.records.contents import Leaving, StoredCredential, StoredTombstone
from datasource.records.credential import CredentialFacts, TombstoneFacts, Unreadable
from datasource_operator.decisions.expiring_grants import expiring_grant
from datasource_operator.decisions.observed import Finding, Observed
from datasource_operator.decisions.once import once
from datasource_operator.decisions.predicates import (
    access_token_is_dead,
    fingerprint_fits,
    has_run_out,
    identity_fits,
    is_to_be_revoked,
    is_usable,
    late_at,
    scopes_changed,
    usable_credential,
)

SUSPENDED = "spec.suspend is true: nothing is refreshed and no link is offered until it is false or left out."


def spec_is_invalid(seen: Observed) -> Finding | None:
    """The spec has a mistake that the schema of the CRD cannot express."""
    return Finding(Reason.INVALID_CONFIGURATION, str(seen.spec)) if isinstance(seen.spec, SpecProblem) else None


def template_is_unusable(seen: Observed) -> Finding | None:
    """No token Secret can be written with this template. Refreshes go on, so that the grant is kept."""
    problem, is_kept = seen.template_problem, usable_credential(seen) is not None
    if problem is None or (seen.unrenderable is not None and not is_kept):
        # The loss of the grant is reported first: the next token may be shorter and fit the template.
        return None
    kept = " Until then the credential is kept, and apps keep the token Secret as it is."
    return Finding(Reason.INVALID_CONFIGURATION, f"{problem}{kept if is_kept else ''}")


def credential_is_unreadable(seen: Observed) -> Finding | None:
    """The credential Secret was edited and cannot be read. It may still hold the grant, so it is not overwritten."""
    if not isinstance(seen.credential, Unreadable):
        return None
    return Finding(Reason.CREDENTIAL_UNREADABLE, seen.credential.advice(seen.name))


def oauth2_is_missing(seen: Observed) -> Finding | None:
    """The spec has no OAuth2 parameters."""
    if seen.oauth2 is not None:
        return None
    return Finding(
        Reason.OAUTH2_MISSING,
        "spec.oauth2 is not set. Register an application with the service, with the redirect URI in status.redirectURI. "
        "Then fill in clientID, clientSecretRef, authorizeURL, tokenURL and scopes. An issuer or a provider preset replaces "
        "the URLs.",
    )


def parameters_are_incomplete(seen: Observed) -> Finding | None:
    """The spec has some OAuth2 parameters, but others are required as well."""
    oauth2 = seen.oauth2
    missing = () if oauth2 is None else oauth2.missing()
    if oauth2 is None or not missing:
        return None
    return Finding(Reason.PARAMETERS_INCOMPLETE, missing_fields(missing, oauth2.preset))


def surroundings_are_in_the_way(seen: Observed) -> Finding | None:
    """The client Secret is missing, or a foreign Secret has a name that the operator needs."""
    return None if seen.surroundings is None else seen.surroundings.problem


def refreshing_is_blocked(facts: CredentialFacts, seen: Observed) -> Finding | None:
    """The provider rejects the client, or the Secret cannot be written. The credential is kept until that is corrected."""
    if not is_usable(facts, seen) or seen.trouble is None or seen.trouble.reason is Reason.REFRESH_FAILING:
        return None
    return Finding(seen.trouble.reason, seen.trouble.message)


def imported_token_is_unproven(facts: CredentialFacts, seen: Observed) -> Finding | None:
    """The refresh token was imported, and the provider has not accepted it yet."""
    if not facts.is_unproven or not is_usable(facts, seen):
        return None
    tried = "A refresh token was imported. The operator tries it before apps get a token"
    if seen.trouble is None:
        return Finding(Reason.AUTHORIZATION_REQUIRED, f"{tried}.")
    message = f"{tried}, and that has not succeeded yet. {seen.trouble.message}"
    if seen.trouble.asks_for_a_person:
        return _with_link(Reason.AUTHORIZATION_REQUIRED, message)
    return Finding(Reason.AUTHORIZATION_REQUIRED, message)


def token_ran_out_while_suspended(facts: CredentialFacts, seen: Observed) -> Finding | None:
    """The access token has expired, and spec.suspend keeps the operator from refreshing it."""
    if not seen.is_suspended or not is_usable(facts, seen) or not access_token_is_dead(facts, seen):
        return None
    return Finding(Reason.REFRESH_FAILING, "The access token expired and is not refreshed.")


def refreshing_fails(facts: CredentialFacts, seen: Observed) -> Finding | None:
    """The access token has expired, and the last refresh failed."""
    if not is_usable(facts, seen) or seen.trouble is None or not access_token_is_dead(facts, seen):
        return None
    if seen.trouble.asks_for_a_person:
        return _with_link(Reason.REFRESH_FAILING, seen.trouble.message)
    return _with_offer(facts, seen, Reason.REFRESH_FAILING, seen.trouble.message)


def refreshing_is_late(facts: CredentialFacts, seen: Observed) -> Finding | None:
    """The access token expired minutes ago, and no failure is known. Whatever the cause, the Datasource is not Ready.

    A Datasource that was RefreshFailing stays so until a refresh succeeds. Neither a restart of the operator nor the end of
    spec.suspend makes it Ready.
    """
    late = late_at(facts, seen)
    if not is_usable(facts, seen) or late is None:
        return None
    if late > seen.now and not (access_token_is_dead(facts, seen) and seen.was_told(Reason.REFRESH_FAILING)):
        return None
    return _with_offer(
        facts,
        seen,
        Reason.REFRESH_FAILING,
        "The access token expired, and no refresh has succeeded since. The operator tries again by itself. Its log says "
        "what it waits for.",
    )


def credential_is_stored(facts: CredentialFacts, seen: Observed) -> Finding | None:
    """A usable credential is stored: the state is AUTHORIZED. A link for another credential may be offered as well."""
    if not isinstance(seen.spec, Spec) or not is_usable(facts, seen):
        return None
    message = f"{_stored(facts, seen, seen.spec)}{_refresh_that_waits(seen)}"
    return _with_offer(facts, seen, Reason.AUTHORIZED, message)


def refresh_token_is_dead(facts: CredentialFacts, _: Observed) -> Finding | None:
    """The provider rejected the refresh token for good. The Secret keeps that verdict, and the token is never sent again."""
    if facts.verdict is None:
        return None
    said = f" {facts.verdict_message}" if facts.verdict_message else ""
    if facts.is_unproven:
        return _person_needed(
            Reason.GRANT_REVOKED,
            "The provider does not accept the refresh token that was imported. It was used up or revoked, it expired, or it "
            "belongs to another client ID than spec.oauth2.clientID",
            said,
        )
    if facts.verdict is Reason.REFRESH_INTERRUPTED:
        return _person_needed(
            Reason.REFRESH_INTERRUPTED,
            "A refresh was interrupted, and its result is unknown. The provider no longer accepts the old refresh token",
            said,
        )
    return _person_needed(
        Reason.GRANT_REVOKED,
        "The provider no longer accepts the refresh token: it was revoked or it expired",
        said,
    )


def parameters_changed(facts: CredentialFacts, seen: Observed) -> Finding | None:
    """The tokens were obtained with other parameters. They are kept but not sent. Reverting the edit makes them usable."""
    if fingerprint_fits(facts, seen):
        return None
    return _person_needed(
        Reason.PARAMETERS_CHANGED,
        "clientID, issuer, provider, authorizeURL or tokenURL in spec.oauth2 changed since the credential was obtained. "
        "Revert the change to use it again, or get a new credential",
    )


def somebody_else_authorized(facts: CredentialFacts, seen: Observed) -> Finding | None:
    """Another account authorized than spec.oauth2.expectedIdentity names. The tokens are kept but not used, as above."""
    if identity_fits(facts, seen):
        return None
    return _person_needed(
        Reason.PARAMETERS_CHANGED,
        "spec.oauth2.expectedIdentity does not name the account that authorized, or no issuer confirmed that account. "
        "Correct it to use the credential again, or get a new credential",
    )


def token_has_expired(facts: CredentialFacts, seen: Observed) -> Finding | None:
    """The access token has expired, and there is no refresh token. Only a person can get another credential."""
    if not has_run_out(facts, seen):
        return None
    return _person_needed(
        Reason.TOKEN_EXPIRED,
        "The access token expired and the provider gave no refresh token "
        "(with OpenID Connect, add the scope offline_access to get one)",
    )


def credential_was_cleared(facts: TombstoneFacts) -> Finding | None:
    """The credential was cleared by request; the parameters stay."""
    if facts.reason is not Reason.CREDENTIAL_CLEARED:
        return None
    return _person_needed(Reason.CREDENTIAL_CLEARED, "The credential was cleared on request")


def authorization_is_required() -> Finding:
    """Only a person's consent is missing."""
    return _person_needed(Reason.AUTHORIZATION_REQUIRED, "Ready for authorization")


# The order matters: a check may rely on the earlier ones having found nothing.
CHAIN: tuple[Callable[[Observed], Finding | None], ...] = (
    spec_is_invalid,
    template_is_unusable,
    credential_is_unreadable,
    oauth2_is_missing,
    parameters_are_incomplete,
    surroundings_are_in_the_way,
)

# The checks of a stored credential. They run only where no check of CHAIN matched, so the parameters are complete.
CHAIN_OF_A_CREDENTIAL: tuple[Callable[[CredentialFacts, Observed], Finding | None], ...] = (
    refreshing_is_blocked,
    imported_token_is_unproven,
    token_ran_out_while_suspended,
    refreshing_fails,
    refreshing_is_late,
    credential_is_stored,
    refresh_token_is_dead,
    parameters_changed,
    somebody_else_authorized,
    token_has_expired,
)


@once
def finding_of(seen: Observed) -> Finding:
    """The finding of the first check that matches, with the suspension in its message if the Datasource is suspended."""
    in_the_way = next((finding for check in CHAIN if (finding := check(seen)) is not None), None)
    finding = in_the_way or _found_in(seen) or authorization_is_required()
    return _while_suspended(finding) if seen.is_suspended else finding


def _found_in(seen: Observed) -> Finding | None:
    """The finding that follows from the content of the credential Secret; None where it has no credential."""
    match seen.credential:
        case StoredCredential(facts=facts):
            checks = CHAIN_OF_A_CREDENTIAL
            return next((finding for check in checks if (finding := check(facts, seen)) is not None), None)
        case StoredTombstone(facts=facts):
            return credential_was_cleared(facts)
        case Unreadable() | Leaving() | None:
            # CHAIN has a check for a credential that cannot be read.
            return None
        case _:
            assert_never(seen.credential)


def _while_suspended(finding: Finding) -> Finding:
    """The same state and reason with a message that mentions no link, because a suspended Datasource offers none."""
    what = finding.message if finding.message_without_link is None else finding.message_without_link
    return Finding(finding.reason, f"{what} {SUSPENDED}", is_suspended=True)


def _known_gaps(facts: CredentialFacts, seen: Observed) -> Iterator[str]:
    """Sentences about what the provider did not grant or tell, and what that means later."""
    included = scopes_included(None if seen.oauth2 is None else seen.oauth2.provider)
    if missing := scopes_not_granted(facts.requested_scopes, facts.granted_scopes, included):
        yield f"Requested but not granted: {', '.join(missing)}."
    if facts.identity_problem is not None:
        yield f"The account that authorized is unknown. {facts.identity_problem}"
    if not facts.has_refresh_token:
        yield "The provider gave no refresh token. When the access token expires, a person has to authorize again."
    elif facts.expires_at is None and (seen.oauth2 is None or not seen.oauth2.expanded().default_lifetime):
        how = (
            "the token is not refreshed" if facts.expiry_hint is None else "the token's own exp decides when to refresh"
        )
        yield f"The provider does not say how long its tokens last, so {how}. Set spec.oauth2.defaultLifetime."


def _with_link(reason: Reason, message: str) -> Finding:
    """A finding about a stored credential, with a link to get another one in its place."""
    offer = "Open status.authorizationLink for that."
    return Finding(reason, f"{message} {offer}", needs_person=True, message_without_link=message)


def _with_offer(facts: CredentialFacts, seen: Observed, reason: Reason, message: str) -> Finding:
    """A finding about a stored credential. It has a link only where another credential was requested or is needed soon."""
    if seen.pending.new_credential is not None:
        offer = "A new credential was requested: open status.authorizationLink. The old one works until then."
    elif scopes_changed(facts, seen):
        offer = "spec.oauth2.scopes changed since then. Open status.authorizationLink to get a credential with the new scopes."
    elif (grant := expiring_grant(seen)) is not None:
        offer = grant.message
    else:
        return Finding(reason, message)
    return Finding(reason, f"{message} {offer}", needs_person=True, message_without_link=message)


def _refresh_that_waits(seen: Observed) -> str:
    """A sentence for a requested refresh that waits for the end of a pause after a failure; empty: none waits."""
    if seen.asked_refresh is None or seen.trouble is None or seen.is_suspended:
        return ""
    if seen.trouble.asked != seen.asked_refresh:
        return f" The requested refresh is tried within a minute. The last one failed. {seen.trouble.message}"
    return (
        f" The requested refresh failed. The operator tries again until {seen.trouble.told}, and within a minute after a new "
        f"request. {seen.trouble.message}"
    )


def _stored(facts: CredentialFacts, seen: Observed, spec: Spec) -> str:
    said = ["A credential is stored.", *_known_gaps(facts, seen)]
    if spec.deletion_policy is DeletionPolicy.REVOKE and not seen.rights_outlive_namespace:
        said.append(
            "spec.deletionPolicy is Revoke, but the operator loses its rights when this namespace is deleted. A deletion "
            "then revokes nothing. Clear the credential first, which revokes it, or install the operator cluster-wide."
        )
    elif spec.deletion_policy is DeletionPolicy.REVOKE and not is_to_be_revoked(facts, seen):
        said.append(
            "spec.deletionPolicy is Revoke, but no revocation URL was known when the credential was obtained. A deletion "
            "revokes nothing. Set spec.oauth2.revocationURL and get a new credential."
        )
    if (size := template_size(spec.token_secret.template)) > LARGEST_TEMPLATE:
        # An earlier version of the CRD accepted this template. It goes on working, but an edit of it would be refused.
        said.append(
            f"spec.tokenSecret.template has {size:,} bytes, and a new one may have {LARGEST_TEMPLATE:,}: "
            "shorten it when you change it next."
        )
    return " ".join(said)


def _person_needed(reason: Reason, what: str, said: str = "") -> Finding:
    return Finding(
        reason,
        f"{what}. {OPEN_THE_LINK}{said}",
        needs_person=True,
        message_without_link=f"{what}.{said}",
    )
