"""What to do about a Datasource, decided from what was observed. Pure: no I/O, no clock, no randomness of its own.

`next_step` is asked again after every step, with what was observed since, until it answers `Settle`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from datasource.credential import CredentialFacts, StoredCredential, UnreadableCredential
from datasource.fingerprint import fingerprint, parameters_hash
from datasource.names import credential_secret_name, ticket_in
from datasource.oauth2.identity import expected_identity_hash
from datasource.objects import Ownership, Status, ownership
from datasource.requests import HandledSet, Requests
from datasource.schedule import refresh_due
from datasource.spec import LARGEST_TEMPLATE, DeletionPolicy, InvalidSpec, OAuth2, Spec, missing_fields, template_size
from datasource.states import MEANING, Progress, Reason, State
from datasource.ticket import TicketScope, ticket_fits
from datasource.token_secret import StoredTokenSecret, TokenSecretPlan, plan


@dataclass(frozen=True, slots=True)
class Finding:
    """What holds for a Datasource: the reason decides the state, the message tells a person what to do."""

    reason: Reason
    message: str
    needs_person: bool = False
    message_without_link: str | None = None
    """What to say where no link is offered; None: the message."""
    is_suspended: bool = False

    @property
    def state(self) -> State:
        """The state that users read."""
        return MEANING[self.reason].state

    @property
    def progress(self) -> Progress:
        """Whether it heals by itself, waits for a person, or is stuck."""
        if self.is_suspended and self.reason is Reason.REFRESH_FAILING:
            # Nobody tries until a person resumes it.
            return Progress.WAITING
        return MEANING[self.reason].progress


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a live look at things that are not watched showed: the client Secret, names taken by others."""

    problem: Finding | None = None
    look_again_at: str | None = None
    """The Secret whose change may mend the problem."""
    refused: frozenset[type["Step"]] = frozenset()
    """Kinds of steps that the API server refused in this run; none of them is asked for again."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API server refused a step: no rights, a quota, somebody's policy or webhook, or an object that it does not take."""

    is_forbidden: bool
    """403; else 400 or 422."""
    words: str
    """What it said (metav1.Status.message)."""

    @property
    def is_about_rights(self) -> bool:
        """Whether RBAC refused; quotas and admission answer 403, too."""
        return self.is_forbidden and _NO_RIGHT.search(self.words) is not None

    @property
    def is_about_immutable_secret(self) -> bool:
        """Whether somebody made the Secret immutable."""
        return not self.is_forbidden and "field is immutable when `immutable` is set" in self.words


_NO_RIGHT = re.compile(r'User "[^"]*" cannot [a-z]+ resource')
_LONGEST_WORDS = 1024


@dataclass(frozen=True, slots=True)
class Trouble:
    """The last refresh of a credential failed: why, and when it is tried again. Kept in memory: a restart tries at once."""

    credential_id: str
    revision: int
    reason: Reason
    """RefreshFailing: tried again, told once the token is dead. Others (ClientRejected ...) wait for a correction."""
    message: str
    try_again_at: datetime
    look_again_at: str | None = None
    """The Secret whose change may mend it."""


@dataclass(frozen=True)
class Observed:
    """Everything that a decision rests on. No slots: what many checks ask for is worked out once."""

    namespace: str
    name: str
    uid: str
    generation: int
    being_deleted: bool
    spec: Spec | InvalidSpec
    requests: Requests
    status: Status
    credential: StoredCredential | UnreadableCredential | None
    token_secrets: tuple[StoredTokenSecret, ...]
    now: datetime
    surroundings: Surroundings | None = None
    look_around: bool = False
    """Whether the surroundings are due for a look, however settled the status seems."""
    is_live: bool = False
    """Whether credential and Datasource were read live in this run: destructive steps ask for it."""
    trouble: Trouble | None = None
    """What went wrong at the last refresh of this very revision."""
    first_seen: datetime | None = None
    """When this process first saw this revision of the credential; None: now."""
    too_large: InvalidSpec | None = None
    """What came of rendering the token Secret for this very revision: it would be too large."""

    @property
    def oauth2(self) -> OAuth2 | None:
        """The OAuth2 parameters, where the spec has any that can be read."""
        return self.spec.oauth2 if isinstance(self.spec, Spec) else None

    @property
    def template_problem(self) -> InvalidSpec | None:
        """Why no token Secret can be written, although the credential may be in order."""
        return self.too_large or (self.spec.template_problem if isinstance(self.spec, Spec) else None)

    @property
    def is_suspended(self) -> bool:
        """Whether the spec asks for neither refreshes nor links."""
        return isinstance(self.spec, Spec) and self.spec.suspend

    @cached_property
    def fingerprint(self) -> str | None:
        """Of the parameters, where there are any."""
        return None if self.oauth2 is None else fingerprint(self.oauth2)

    @cached_property
    def facts(self) -> CredentialFacts | None:
        """What the credential Secret says, tombstones included, where it is this Datasource's."""
        if isinstance(self.credential, StoredCredential) and not self._is_leaving(self.credential):
            return self.credential.facts
        return None

    @property
    def is_ownerless(self) -> bool:
        """Whether the credential Secret came without ownerReferences, as a restore leaves it."""
        return self._ownership is Ownership.OWNERLESS

    @property
    def handled(self) -> HandledSet:
        """The requests already acted on."""
        return HandledSet() if self.facts is None else self.facts.handled

    @cached_property
    def pending(self) -> Requests:
        """The requests not acted on yet."""
        return self.handled.pending(self.requests)

    def _is_leaving(self, credential: StoredCredential) -> bool:
        """It belongs to an earlier Datasource, or somebody deleted it and it waits to be revoked."""
        return credential.is_being_deleted or self._ownership is Ownership.DANGLING

    @cached_property
    def _ownership(self) -> Ownership | None:
        if not isinstance(self.credential, StoredCredential):
            return None
        return ownership(self.credential.owners, self.uid)


SUSPENDED = "spec.suspend is true: nothing is refreshed and no link is offered until it is false or left out."


# Steps: what `next_step` may answer.


@dataclass(frozen=True, slots=True)
class Nothing:
    """The Datasource is going away; its Secrets follow by the garbage collector."""


@dataclass(frozen=True, slots=True)
class ReadLive:
    """Caches lag: read credential Secret and Datasource live before what comes next."""


@dataclass(frozen=True, slots=True)
class LookAround:
    """See whether the client Secret is usable and no foreign Secret has our names."""


@dataclass(frozen=True, slots=True)
class Adopt:
    """Become the owner of a restored credential Secret."""

    credential: StoredCredential


@dataclass(frozen=True, slots=True)
class Clear:
    """Rewrite the credential Secret to a tombstone; create one where there is none, so that the request stays handled."""

    credential: StoredCredential | None
    handled: HandledSet


@dataclass(frozen=True, slots=True)
class MarkHandled:
    """A refresh was asked for, and there is no refresh token: remember that the request was seen."""

    credential: StoredCredential
    handled: HandledSet


@dataclass(frozen=True, slots=True)
class CompareIdentity:
    """Compare who authorized with an expectedIdentity that was written since."""

    credential: StoredCredential
    expected: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Hold:
    """Put our finalizer on the credential Secret, with what it takes to revoke its tokens once the Datasource is gone."""

    credential: StoredCredential


@dataclass(frozen=True, slots=True)
class Release:
    """Take our finalizer off the credential Secret, and nobody else's."""

    credential: StoredCredential


@dataclass(frozen=True, slots=True)
class WriteTokenSecret:
    """Bring the token Secret to what it should be."""

    plan: TokenSecretPlan
    credential: StoredCredential
    stored: StoredTokenSecret | None


@dataclass(frozen=True, slots=True)
class DeleteTokenSecret:
    """Take a token Secret away: its token must not be used any more, or it stands under another name now."""

    stored: StoredTokenSecret


@dataclass(frozen=True, slots=True)
class Settle:
    """Nothing is left to do but to say so, and perhaps to refresh meanwhile: that takes longer than a step may."""

    finding: Finding
    wake_at: datetime | None = None
    refresh: bool = False


Step = (
    Nothing
    | ReadLive
    | LookAround
    | Adopt
    | Clear
    | MarkHandled
    | CompareIdentity
    | Hold
    | Release
    | WriteTokenSecret
    | DeleteTokenSecret
    | Settle
)


def next_step(seen: Observed) -> Step:
    """Decide the next step for a Datasource.

    Destructive steps (clear, leaving AUTHORIZED, deletion) are only answered for what was read live, and so is a token Secret
    that has gone: the Datasource may have gone with it.
    """
    step = _wanted_step(seen)
    if seen.is_live or not (is_destructive(step, seen) or _brings_back(step, seen)):
        return step
    if _was_refused(ReadLive(), seen):
        # Nothing can be read, so nothing is taken from anybody; but that much is said.
        return _settle(seen, find(seen))
    return ReadLive()


def _brings_back(step: Step, seen: Observed) -> bool:
    """Whether a step makes a token Secret again that the status says is there."""
    if not isinstance(step, WriteTokenSecret) or step.stored is not None:
        return False
    return seen.status.state == State.AUTHORIZED and seen.status.token_secret_name == step.plan.name


def is_destructive(step: Step, seen: Observed) -> bool:
    """Whether a step takes something away from somebody."""
    match step:
        case Clear() | DeleteTokenSecret():
            return True
        case Settle(finding=finding):
            # Where rights do not reach, nothing can be read either.
            is_sure = finding.reason is Reason.SECRETS_FORBIDDEN
            return seen.status.state == State.AUTHORIZED and finding.state is not State.AUTHORIZED and not is_sure
        case _:
            return False


def ticket_scope(seen: Observed) -> TicketScope:
    """What a link offered now is bound to."""
    oauth2 = seen.oauth2
    return TicketScope(
        uid=seen.uid,
        parameters_hash="" if oauth2 is None else parameters_hash(oauth2),
        replaces="" if seen.facts is None else seen.facts.credential_id,
    )


def _wanted_step(seen: Observed) -> Step:
    if seen.being_deleted:
        return Nothing()
    for prepare in PREPARATIONS:
        step = prepare(seen)
        if step is not None and not _was_refused(step, seen):
            return step
    finding = find(seen)
    step = _token_secret_step(seen, finding)
    return _settle(seen, finding) if step is None or _was_refused(step, seen) else step


def _settle(seen: Observed, finding: Finding) -> Settle:
    return Settle(finding, _wake_at(seen, finding), refresh_is_wanted(seen))


def _was_refused(step: Step, seen: Observed) -> bool:
    return seen.surroundings is not None and type(step) in seen.surroundings.refused


def refused(step: Step, seen: Observed, refusal: Refusal) -> Observed:
    """What is known after the API server refused a step: the same, with that in the way. Of several the first is told."""
    stood = seen.surroundings or Surroundings()
    kinds = stood.refused | {type(step)}
    if stood.problem is not None:
        return replace(seen, surroundings=replace(stood, refused=kinds))
    name = step.plan.name if isinstance(step, WriteTokenSecret) else credential_secret_name(seen.name)
    watched = name if refusal.is_about_immutable_secret else None
    return replace(seen, surroundings=Surroundings(_refused_step(step, name, seen, refusal), watched, kinds))


def _refused_step(step: Step, name: str, seen: Observed, refusal: Refusal) -> Finding:
    words = refusal.words[:_LONGEST_WORDS]
    if refusal.is_about_rights:
        return secrets_forbidden(seen.namespace, words)
    if refusal.is_about_immutable_secret:
        return immutable_secret(name, seen.namespace, is_credential=not isinstance(step, WriteTokenSecret))
    if refusal.is_forbidden or not isinstance(step, WriteTokenSecret):
        return Finding(
            Reason.SECRETS_FORBIDDEN,
            f"The API server refuses what the operator has to do with Secret {name}. It says: {words}. It is tried again "
            "every minute.",
        )
    return Finding(
        Reason.INVALID_CONFIGURATION,
        f"The API server does not take Secret {name} as spec.tokenSecret describes it. It says: {words}. Correct "
        "spec.tokenSecret, or ask whoever made the rule.",
    )


def secrets_forbidden(namespace: str, words: str = "") -> Finding:
    """The operator's rights do not reach this namespace's Secrets."""
    said = f" The API server says: {words}." if words else ""
    return Finding(
        Reason.SECRETS_FORBIDDEN,
        f"The operator may not read or write Secrets in namespace {namespace}. "
        f"Give its ServiceAccount the rights of deploy/ there (RoleBinding datasource-operator).{said}",
    )


def immutable_secret(name: str, namespace: str, *, is_credential: bool) -> Finding:
    """The API server will not let us write into a Secret of ours. Nobody can take `immutable` back."""
    remedy = (
        "Do not delete it for good, it holds the tokens. Make it anew without that field: "
        f"kubectl get secret {name} -n {namespace} -o json | jq 'del(.immutable, .metadata.uid, .metadata.resourceVersion)' "
        "| kubectl replace --force -f -. Where spec.deletionPolicy is Revoke, set it to Delete before."
        if is_credential
        else "Delete it, it is made anew."
    )
    return Finding(Reason.SECRET_CONFLICT, f"Secret {name} cannot be written: somebody made it immutable. {remedy}")


# Preparations: what must be done before the state can be told.


def restored_credential_has_no_owner(seen: Observed) -> Step | None:
    """A restore drops ownerReferences; a credential that fits the parameters is ours again. Tombstones always fit."""
    if not isinstance(seen.credential, StoredCredential) or not seen.is_ownerless:
        return None
    fits = seen.credential.facts.tombstone is not None or _fingerprint_fits(seen)
    return Adopt(seen.credential) if fits else None


def clear_is_requested(seen: Observed) -> Step | None:
    """Acted on once per value. The tombstone remembers the value even where there was nothing to clear."""
    if seen.pending.clear_credential is None or isinstance(seen.credential, UnreadableCredential):
        return None
    if seen.facts is None and _name_is_taken(seen):
        # There is nothing of ours to clear, and no place for a tombstone.
        return None
    credential = seen.credential if seen.facts is not None else None
    return Clear(credential, seen.handled.with_requests(Requests(clear_credential=seen.requests.clear_credential)))


def surroundings_are_unknown(seen: Observed) -> Step | None:
    """Before a link is offered: is the client Secret there, are the names free? A link that stands says it was so."""
    if seen.surroundings is not None or not _waits_for_person(seen) or _is_settled_waiting(seen):
        return None
    return LookAround()


def refresh_is_requested_in_vain(seen: Observed) -> Step | None:
    """Without a refresh token, or with a dead one, there is nothing to do; the request must not wait for ever."""
    if seen.pending.refresh is None or seen.facts is None or not isinstance(seen.credential, StoredCredential):
        return None
    if seen.is_suspended:
        # Only a clear is acted on; this one waits.
        return None
    if seen.facts.has_refresh_token and seen.facts.verdict is None:
        return None
    return MarkHandled(seen.credential, seen.handled.with_requests(Requests(refresh=seen.requests.refresh)))


def identity_is_not_compared(seen: Observed) -> Step | None:
    """expectedIdentity was set or changed since the credential was obtained."""
    if not isinstance(seen.credential, StoredCredential) or not _credential_is_there(seen) or seen.oauth2 is None:
        return None
    expected = seen.oauth2.expected_identity
    if not expected or not _fingerprint_fits(seen):
        return None
    if seen.credential.facts.identity_checked == expected_identity_hash(expected):
        return None
    return CompareIdentity(seen.credential, expected)


def deletion_is_to_revoke(seen: Observed) -> Step | None:
    """`deletionPolicy: Revoke`: the Secret must outlive the Datasource until its tokens are dead.

    Not while the parameters are others: the client secret there is now is none of the old provider's business.
    """
    if not isinstance(seen.credential, StoredCredential) or seen.credential.is_held or not _is_to_be_revoked(seen):
        return None
    return Hold(seen.credential) if _credential_is_there(seen) and _fingerprint_fits(seen) else None


def deletion_is_not_to_revoke(seen: Observed) -> Step | None:
    """`deletionPolicy: Delete`: nothing holds the Secret. One that is being deleted is left to the revocation under way."""
    if not isinstance(seen.credential, StoredCredential) or seen.facts is None or not seen.credential.is_held:
        return None
    if not isinstance(seen.spec, Spec) or seen.spec.deletion_policy is DeletionPolicy.REVOKE:
        return None
    return Release(seen.credential)


PREPARATIONS: tuple[Callable[[Observed], Step | None], ...] = (
    restored_credential_has_no_owner,
    clear_is_requested,
    refresh_is_requested_in_vain,
    identity_is_not_compared,
    deletion_is_to_revoke,
    deletion_is_not_to_revoke,
    surroundings_are_unknown,
)


# Findings: what holds, first match wins.


def spec_is_invalid(seen: Observed) -> Finding | None:
    """What the API server's schema could not see."""
    return Finding(Reason.INVALID_CONFIGURATION, str(seen.spec)) if isinstance(seen.spec, InvalidSpec) else None


def template_is_unusable(seen: Observed) -> Finding | None:
    """No token Secret can be written. That is no reason to let the grant die: refreshing goes on."""
    problem = seen.template_problem
    if problem is None or (seen.too_large is not None and not _credential_is_usable(seen)):
        # A grant that is gone is told first: whoever renews it may get a shorter token.
        return None
    kept = " Until then the credential is kept, and apps keep the token Secret as it is."
    return Finding(Reason.INVALID_CONFIGURATION, f"{problem}{kept if _credential_is_usable(seen) else ''}")


def credential_is_unreadable(seen: Observed) -> Finding | None:
    """Somebody edited the credential Secret. Nothing is lost yet, so nothing is overwritten."""
    if not isinstance(seen.credential, UnreadableCredential):
        return None
    return Finding(Reason.CREDENTIAL_UNREADABLE, seen.credential.advice(seen.name))


def oauth2_is_missing(seen: Observed) -> Finding | None:
    """Nothing to authorize with yet."""
    if seen.oauth2 is not None:
        return None
    return Finding(
        Reason.OAUTH2_MISSING,
        "spec.oauth2 is not set. Register an application with the service, with the redirect URI in status.redirectURI, "
        "then fill in clientID, clientSecretRef, authorizeURL, tokenURL and scopes; an issuer or a provider tells the URLs.",
    )


def parameters_are_incomplete(seen: Observed) -> Finding | None:
    """Some are there, not all."""
    missing = () if seen.oauth2 is None else seen.oauth2.missing()
    if not missing:
        return None
    return Finding(Reason.PARAMETERS_INCOMPLETE, missing_fields(missing))


def surroundings_are_in_the_way(seen: Observed) -> Finding | None:
    """A client Secret that is not there, or a name that somebody else's Secret has."""
    return None if seen.surroundings is None else seen.surroundings.problem


def refreshing_is_blocked(seen: Observed) -> Finding | None:
    """The provider rejects the client, or the Secret cannot be written. The credential is kept until that is mended."""
    if not _credential_is_usable(seen) or seen.trouble is None or seen.trouble.reason is Reason.REFRESH_FAILING:
        return None
    return Finding(seen.trouble.reason, seen.trouble.message)


def token_ran_out_while_suspended(seen: Observed) -> Finding | None:
    """Nobody refreshes it, and apps have a dead token."""
    if not seen.is_suspended or not _credential_is_usable(seen) or not _access_token_is_dead(seen):
        return None
    return Finding(Reason.REFRESH_FAILING, "The access token ran out and is not refreshed.")


def refreshing_fails(seen: Observed) -> Finding | None:
    """A credential is stored, but apps have a dead token."""
    if not _credential_is_usable(seen) or seen.trouble is None or not _access_token_is_dead(seen):
        return None
    return _with_offer(seen, Reason.REFRESH_FAILING, seen.trouble.message)


def credential_is_stored(seen: Observed) -> Finding | None:
    """AUTHORIZED says this and no more; a further link may be offered beside it."""
    if not _credential_is_usable(seen):
        return None
    return _with_offer(seen, Reason.AUTHORIZED, _stored(seen))


def credential_was_cleared(seen: Observed) -> Finding | None:
    """By request; the parameters stay."""
    if seen.facts is None or seen.facts.tombstone is not Reason.CREDENTIAL_CLEARED:
        return None
    return _person_needed(Reason.CREDENTIAL_CLEARED, "The credential was cleared on request")


def refresh_token_is_dead(seen: Observed) -> Finding | None:
    """The provider said so, and the verdict stands on the Secret: the token is never sent again."""
    if not _credential_is_there(seen) or seen.facts is None or seen.facts.verdict is None:
        return None
    if seen.facts.verdict is Reason.REFRESH_INTERRUPTED:
        return _person_needed(
            Reason.REFRESH_INTERRUPTED,
            "A refresh was interrupted: its answer was lost, and the provider does not accept the old refresh token any more",
        )
    return _person_needed(
        Reason.GRANT_REVOKED, "The provider does not accept the refresh token any more: it was revoked or has run out"
    )


def parameters_changed(seen: Observed) -> Finding | None:
    """Tokens obtained with other parameters are not sent anywhere; reverting the edit brings them back."""
    if not _credential_is_there(seen) or _fingerprint_fits(seen):
        return None
    return _person_needed(
        Reason.PARAMETERS_CHANGED,
        "clientID, issuer, provider, authorizeURL or tokenURL in spec.oauth2 changed since the credential was obtained. "
        "Revert the change to use it again, or get a new credential",
    )


def somebody_else_authorized(seen: Observed) -> Finding | None:
    """As with changed parameters: the tokens are kept and not used, and reverting the edit brings them back."""
    if not _credential_is_there(seen) or _identity_fits(seen):
        return None
    return _person_needed(
        Reason.PARAMETERS_CHANGED,
        "spec.oauth2.expectedIdentity does not name the one who authorized, or no issuer vouched for who that was. "
        "Correct it to use the credential again, or get a new credential",
    )


def token_has_expired(seen: Observed) -> Finding | None:
    """Without a refresh token only a person can go on."""
    if not _credential_is_there(seen) or not _has_run_out(seen):
        return None
    return _person_needed(
        Reason.TOKEN_EXPIRED,
        "The access token expired and the provider gave no refresh token "
        "(with OpenID Connect the scope offline_access yields one)",
    )


def authorization_is_required(_: Observed) -> Finding:
    """Everything is there but a person's consent."""
    return _person_needed(Reason.AUTHORIZATION_REQUIRED, "The parameters are complete, a person has to consent once")


# Later checks rely on earlier ones: those from refreshing_is_blocked on know that the parameters are complete.
CHAIN: tuple[Callable[[Observed], Finding | None], ...] = (
    spec_is_invalid,
    template_is_unusable,
    credential_is_unreadable,
    oauth2_is_missing,
    parameters_are_incomplete,
    surroundings_are_in_the_way,
    refreshing_is_blocked,
    token_ran_out_while_suspended,
    refreshing_fails,
    credential_is_stored,
    credential_was_cleared,
    refresh_token_is_dead,
    parameters_changed,
    somebody_else_authorized,
    token_has_expired,
    authorization_is_required,
)


def find(seen: Observed) -> Finding:
    """Tell what holds."""
    finding = next(finding for check in CHAIN if (finding := check(seen)) is not None)
    return _while_suspended(finding) if seen.is_suspended else finding


def _while_suspended(finding: Finding) -> Finding:
    """The same state and reason, and nobody is sent to a link that there is not."""
    what = finding.message if finding.message_without_link is None else finding.message_without_link
    return Finding(finding.reason, f"{what} {SUSPENDED}", is_suspended=True)


def _with_offer(seen: Observed, reason: Reason, message: str) -> Finding:
    """A finding about a stored credential, with a link to get another where one is wanted."""
    if seen.pending.new_credential is not None:
        offer = "A new one was asked for: open status.authorizationLink; the old one works until then."
    elif _scopes_changed(seen):
        offer = "spec.oauth2.scopes changed since: open status.authorizationLink to get one with the new scopes."
    else:
        return Finding(reason, message)
    return Finding(reason, f"{message} {offer}", needs_person=True, message_without_link=message)


def _stored(seen: Observed) -> str:
    said = ["A credential is stored."]
    if isinstance(seen.spec, Spec):
        if seen.spec.deletion_policy is DeletionPolicy.REVOKE and not _is_to_be_revoked(seen):
            said.append(
                "spec.deletionPolicy is Revoke, but no revocation URL was known when it was obtained, so "
                "nothing will be revoked: set spec.oauth2.revocationURL and get a new credential."
            )
        if (size := template_size(seen.spec.token_secret.template)) > LARGEST_TEMPLATE:
            # An earlier version let it in, and it goes on working; an edit would be refused.
            said.append(
                f"spec.tokenSecret.template has {size:,} bytes, and a new one may have {LARGEST_TEMPLATE:,}: "
                "shorten it when you change it next."
            )
    return " ".join(said)


def _is_to_be_revoked(seen: Observed) -> bool:
    """Whether the tokens are to be revoked when the Datasource is deleted, and can be."""
    if not isinstance(seen.spec, Spec) or seen.facts is None:
        return False
    return seen.spec.deletion_policy is DeletionPolicy.REVOKE and seen.facts.is_revocable


def _person_needed(reason: Reason, what: str) -> Finding:
    return Finding(
        reason,
        f"{what}: open status.authorizationLink and choose Get new credential.",
        needs_person=True,
        message_without_link=f"{what}.",
    )


def _waits_for_person(seen: Observed) -> bool:
    return find(replace(seen, surroundings=None)).state is State.NOT_AUTHORIZED


def _is_settled_waiting(seen: Observed) -> bool:
    """The status says that the surroundings were found in order for this very generation, and its link still fits.

    While suspended there is no link that could say so: there must be none.
    """
    if seen.look_around or seen.status.observed_generation != seen.generation:
        return False
    ticket = ticket_in(seen.status.authorization_link)
    if seen.is_suspended:
        return seen.status.state == State.NOT_AUTHORIZED and ticket is None
    return seen.status.state == State.NOT_AUTHORIZED and ticket is not None and ticket_fits(ticket, ticket_scope(seen))


def _name_is_taken(seen: Observed) -> bool:
    problem = None if seen.surroundings is None else seen.surroundings.problem
    return problem is not None and problem.reason is Reason.SECRET_CONFLICT


def _is_tombstone(seen: Observed) -> bool:
    """What was cleared must not be used any more: that much is sure, whatever else is wrong."""
    return seen.facts is not None and seen.facts.tombstone is not None


def _credential_is_there(seen: Observed) -> bool:
    return seen.facts is not None and seen.facts.tombstone is None


def _fingerprint_fits(seen: Observed) -> bool:
    if not isinstance(seen.credential, StoredCredential) or seen.fingerprint is None:
        return False
    return seen.credential.facts.fingerprint == seen.fingerprint


def _identity_fits(seen: Observed) -> bool:
    """Whether the one who authorized may have; nobody is expected where the spec names nobody."""
    if seen.oauth2 is None or seen.facts is None or not seen.oauth2.expected_identity:
        return True
    compared = seen.facts.identity_checked == expected_identity_hash(seen.oauth2.expected_identity)
    return compared and seen.facts.identity_fits


def _has_run_out(seen: Observed) -> bool:
    facts = seen.facts
    if facts is None or facts.has_refresh_token or facts.expires_at is None:
        return False
    return facts.expires_at <= seen.now


def _credential_is_usable(seen: Observed) -> bool:
    return (
        _credential_is_there(seen)
        and not seen.is_ownerless
        and _fingerprint_fits(seen)
        and _identity_fits(seen)
        and not _has_run_out(seen)
        and (seen.facts is None or seen.facts.verdict is None)
    )


def _access_token_is_dead(seen: Observed) -> bool:
    return seen.facts is not None and seen.facts.expires_at is not None and seen.facts.expires_at <= seen.now


def _due(seen: Observed) -> datetime | None:
    if seen.facts is None or not isinstance(seen.spec, Spec):
        return None
    refresh_before = seen.spec.refresh_before_duration()
    return refresh_due(seen.facts, refresh_before=refresh_before, first_seen=seen.first_seen or seen.now)


def refresh_is_wanted(seen: Observed) -> bool:
    """Whether to send the refresh token now: it is due, or somebody asked; and the last failure is long enough ago."""
    if not _credential_is_usable(seen) or seen.facts is None or not seen.facts.has_refresh_token or seen.is_suspended:
        return False
    if seen.trouble is not None:
        return seen.trouble.try_again_at <= seen.now
    due = _due(seen)
    return seen.pending.refresh is not None or (due is not None and due <= seen.now)


def _scopes_changed(seen: Observed) -> bool:
    return (
        seen.facts is not None
        and seen.oauth2 is not None
        and set(seen.oauth2.expanded().scopes) != set(seen.facts.requested_scopes)
    )


def _wake_at(seen: Observed, finding: Finding) -> datetime | None:
    """When time alone changes what holds or what is to be done."""
    if seen.facts is None or not _credential_is_there(seen):
        return None
    times: list[datetime | None] = []
    if _credential_is_usable(seen) and not seen.is_suspended:
        times.append(_due(seen) if seen.trouble is None else seen.trouble.try_again_at)
    if finding.state is State.AUTHORIZED or _outlives_its_grant(seen) or seen.template_problem is not None:
        times.append(seen.facts.expires_at)
    return min((time for time in times if time is not None and time > seen.now), default=None)


# Nothing is known for sure: apps keep what they have.
_NOTHING_IS_SURE = frozenset(
    {
        Reason.CREDENTIAL_UNREADABLE,
        Reason.INVALID_CONFIGURATION,
        Reason.SECRET_CONFLICT,
        Reason.SECRETS_FORBIDDEN,
        Reason.CLIENT_REJECTED,
    }
)


def _token_secret_step(seen: Observed, finding: Finding) -> Step | None:
    if finding.reason in _NOTHING_IS_SURE and not _must_not_be_used(seen):
        return None
    ours = tuple(
        stored for stored in seen.token_secrets if ownership(stored.owners, seen.uid) is not Ownership.DANGLING
    )
    wanted = _wanted_token_secret(seen) if finding.state is State.AUTHORIZED or _outlives_its_grant(seen) else None
    if wanted is not None and isinstance(seen.credential, StoredCredential):
        stored = next((stored for stored in ours if stored.name == wanted.name), None)
        if stored is None or not _is_as_wanted(stored, wanted, seen.uid):
            return None if seen.too_large is not None else WriteTokenSecret(wanted, seen.credential, stored)
    return next((DeleteTokenSecret(stored) for stored in ours if wanted is None or stored.name != wanted.name), None)


def _must_not_be_used(seen: Observed) -> bool:
    """Whether apps may have no token, whatever else is wrong: a template that cannot be used does not keep them one."""
    if _is_tombstone(seen):
        return True
    is_known = seen.template_problem is not None and _credential_is_there(seen)
    return is_known and not _credential_is_usable(seen) and not _outlives_its_grant(seen)


def _outlives_its_grant(seen: Observed) -> bool:
    """The refresh token is dead; the access token works until it runs out, unless the parameters changed as well."""
    facts = seen.facts
    if facts is None or facts.tombstone is not None or facts.verdict is None or facts.expires_at is None:
        return False
    return _fingerprint_fits(seen) and _identity_fits(seen) and seen.now < facts.expires_at


def _wanted_token_secret(seen: Observed) -> TokenSecretPlan | None:
    if seen.facts is None or not isinstance(seen.spec, Spec):
        return None
    return plan(namespace=seen.namespace, name=seen.name, uid=seen.uid, spec=seen.spec, facts=seen.facts)


def _is_as_wanted(stored: StoredTokenSecret, wanted: TokenSecretPlan, uid: str) -> bool:
    return (
        stored.content == wanted.content
        and wanted.fields <= stored.fields
        and ownership(stored.owners, uid) is Ownership.OURS
    )
