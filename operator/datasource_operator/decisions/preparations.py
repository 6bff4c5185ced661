"""Steps that come before the state can be decided: what people requested, and what the Secrets lack. Pure.

The name of a check is a sentence that is true where it returns a step.
"""

from collections.abc import Callable
from typing import assert_never

from datasource.api.names import ticket_in
from datasource.api.requests import HandledSet, Requests, echo
from datasource.api.spec import DeletionPolicy, Spec
from datasource.api.states import State
from datasource.oauth2.identity import expected_identity_hash
from datasource.records.contents import Leaving, Readable, StoredCredential, StoredTombstone
from datasource.records.credential import Unreadable
from datasource.records.page_request import RequestKind
from datasource.records.secret_labels import as_written
from datasource.records.ticket import ticket_fits
from datasource_operator.decisions.findings import finding_of
from datasource_operator.decisions.imports import step_of_import
from datasource_operator.decisions.observed import Asked, Observed
from datasource_operator.decisions.predicates import (
    asked_for_refresh,
    fingerprint_fits,
    is_to_be_revoked,
    name_is_taken,
    told_last,
)
from datasource_operator.decisions.steps import (
    Adopt,
    Clear,
    CompareIdentity,
    Hold,
    LookAround,
    MarkHandled,
    ReadHistory,
    Relabel,
    Release,
    Step,
)

NO_REFRESH_TOKEN = "NoRefreshToken"  # noqa: S105 - why nothing came of a request, as the history tells it


def restored_credential_has_no_owner(seen: Observed) -> Step | None:
    """A restore drops ownerReferences. A credential that fits the parameters, and any tombstone, gets its owner again."""
    match seen.credential:
        case StoredTombstone() if seen.is_ownerless:
            return Adopt(seen.credential)
        case StoredCredential(facts=facts) if seen.is_ownerless and fingerprint_fits(facts, seen):
            return Adopt(seen.credential)
        case _:
            return None


def clear_is_requested(seen: Observed) -> Step | None:
    """A clear was requested. Each value of the annotation is acted on once; the tombstone remembers the value.

    A request at a page is kept with the credential that it is about, and goes with it.
    """
    asked, page = seen.pending.clear_credential, seen.page_request(RequestKind.CLEAR)
    if page is not None and isinstance(seen.credential, StoredCredential):
        handled = seen.handled.with_requests(Requests(clear_credential=asked))
        return Clear(seen.credential, handled, Asked(seen.page_request_by, page.id))
    if asked is None:
        return None
    handled = seen.handled.with_requests(Requests(clear_credential=asked))
    match seen.credential:
        case StoredCredential() | StoredTombstone():
            return Clear(seen.credential, handled)
        case Unreadable():
            return _clear_of_what_cannot_be_read(seen, seen.credential, asked)
        case Leaving() | None:
            # Where a foreign Secret has the name, there is nothing to clear, and no room for a tombstone.
            return None if name_is_taken(seen) else Clear(None, handled)
        case _:
            assert_never(seen.credential)


def _clear_of_what_cannot_be_read(seen: Observed, unreadable: Unreadable, asked: str) -> Step | None:
    """A clear works even where the credential Secret was altered: people clear after an incident.

    A value is not acted on twice. Where the Secret does not show the handled values any more, the status does.
    """
    handled, told = unreadable.handled, seen.status.handled
    if handled is None:
        is_pending = told is None or told.clear_credential != echo(asked)
    else:
        is_pending = handled.pending(seen.requests).clear_credential is not None
    if not is_pending:
        return None
    return Clear(unreadable, (handled or HandledSet()).with_requests(Requests(clear_credential=asked)))


def refresh_is_requested_in_vain(seen: Observed) -> Step | None:
    """A refresh was requested, but there is no refresh token, or the provider rejected it. The request must not stay open."""
    # While the Datasource is suspended only a clear is acted on, so this request waits.
    if seen.asked_refresh is None or seen.is_suspended or not isinstance(seen.credential, Readable):
        return None
    if seen.facts is not None and seen.facts.has_refresh_token and seen.facts.verdict is None:
        return None
    handled = seen.handled.with_requests(Requests(refresh=seen.pending.refresh))
    verdict = None if seen.facts is None else seen.facts.verdict
    return MarkHandled(seen.credential, handled, verdict or NO_REFRESH_TOKEN, asked_for_refresh(seen))


def identity_is_not_compared(seen: Observed) -> Step | None:
    """spec.oauth2.expectedIdentity was set or changed after the credential was obtained."""
    if not isinstance(seen.credential, StoredCredential) or seen.oauth2 is None:
        return None
    expected, facts = seen.oauth2.expected_identity, seen.credential.facts
    # The account behind an imported refresh token is known only once the provider has answered.
    if not expected or not fingerprint_fits(facts, seen) or facts.is_unproven:
        return None
    if facts.identity_checked == expected_identity_hash(expected):
        return None
    return CompareIdentity(seen.credential, expected)


def deletion_is_to_revoke(seen: Observed) -> Step | None:
    """`deletionPolicy: Revoke`: our finalizer keeps the Secret after the Datasource is deleted, until its tokens are revoked.

    It is not set where our rights are deleted with the namespace. We could not remove it, and the namespace would stay.

    It is not set while the spec has other parameters: the client secret of now must not go to the earlier provider.
    """
    match seen.credential:
        case StoredCredential(facts=facts, is_held=False) if seen.rights_outlive_namespace:
            is_wanted = is_to_be_revoked(facts, seen) and fingerprint_fits(facts, seen)
            return Hold(seen.credential) if is_wanted else None
        case _:
            return None


def deletion_is_not_to_revoke(seen: Observed) -> Step | None:
    """`deletionPolicy: Delete`: our finalizer is removed. A Secret that is being deleted is left to its revocation."""
    if not isinstance(seen.credential, Readable) or not seen.credential.is_held:
        return None
    if not isinstance(seen.spec, Spec):
        return None
    if seen.spec.deletion_policy is DeletionPolicy.REVOKE and seen.rights_outlive_namespace:
        return None
    return Release(seen.credential)


def template_of_the_credential_changed(seen: Observed) -> Step | None:
    """`spec.credentialSecret.template` differs from the one that was last written. Without a template nothing is written."""
    if not isinstance(seen.credential, Readable) or not isinstance(seen.spec, Spec) or seen.is_ownerless:
        return None
    template = seen.spec.credential_secret.template
    return None if seen.credential.written == as_written(template) else Relabel(seen.credential, template)


def history_is_not_told(seen: Observed) -> Step | None:
    """The last entry of the history is neither in the status nor known from an earlier read."""
    if seen.last_act is None or seen.last_act == told_last(seen.status):
        return None
    return None if seen.history is not None and seen.history.entry_id == seen.last_act else ReadHistory()


def surroundings_are_unknown(seen: Observed) -> Step | None:
    """A link is to be offered, and the surroundings were not read yet. A link in the status shows that they were in order."""
    if seen.surroundings is not None or not _waits_for_person(seen) or _is_settled_waiting(seen):
        return None
    return LookAround()


PREPARATIONS: tuple[Callable[[Observed], Step | None], ...] = (
    restored_credential_has_no_owner,
    clear_is_requested,
    refresh_is_requested_in_vain,
    identity_is_not_compared,
    deletion_is_to_revoke,
    deletion_is_not_to_revoke,
    template_of_the_credential_changed,
    history_is_not_told,
    step_of_import,
    surroundings_are_unknown,
)


def _waits_for_person(seen: Observed) -> bool:
    return finding_of(seen).state is State.NOT_AUTHORIZED


def _is_settled_waiting(seen: Observed) -> bool:
    """Whether the status shows that the surroundings were in order for this generation, and its link still fits.

    A suspended Datasource has no link. There the state NOT AUTHORIZED without a link shows it.
    """
    if seen.look_around or seen.status.observed_generation != seen.generation:
        return False
    link = seen.status.authorization_link
    if seen.status.state != State.NOT_AUTHORIZED or seen.is_suspended:
        return seen.status.state == State.NOT_AUTHORIZED and link is None
    if link is None:
        return False
    ticket = ticket_in(link)
    # Where people sign in a link has no ticket. The generation is enough then.
    return ticket is None or ticket_fits(ticket, seen.ticket_scope)
