"""The next step for a Datasource, decided from what was observed. Pure: no I/O, no clock, no randomness of its own.

The reconciler takes the step, observes again and calls `next_step` again, until that returns `Settle` or `Nothing`.
"""

from dataclasses import replace
from typing import assert_never

from datasource.api.names import SecretType
from datasource.api.objects import Ownership, ownership
from datasource.api.spec import Spec
from datasource.api.states import Reason, State
from datasource.records.contents import Leaving, StoredCredential, StoredTombstone
from datasource.records.credential import Unreadable
from datasource.records.stored_token_secret import StoredTokenSecret
from datasource.records.token_secret import TokenSecretPlan, plan_token_secret
from datasource_operator.decisions.findings import finding_of
from datasource_operator.decisions.observed import Finding, Observed
from datasource_operator.decisions.predicates import (
    is_usable,
    outlives_its_grant,
    was_refused,
)
from datasource_operator.decisions.preparations import PREPARATIONS
from datasource_operator.decisions.steps import (
    Clear,
    DeleteTokenSecret,
    LookForTokenSecret,
    Nothing,
    ReadLive,
    Settle,
    Step,
    TakeImport,
    WriteTokenSecret,
)
from datasource_operator.decisions.timing import refresh_is_wanted, wake_at


def next_step(seen: Observed) -> Step:
    """Decide the next step for a Datasource.

    A destructive step (a clear, a deletion, the end of AUTHORIZED) is returned only for what was read live. Otherwise
    `ReadLive` comes first. The same holds for a token Secret that has disappeared, since the Datasource may be gone as well.
    """
    step = _wanted_step(seen)
    is_sure = not (is_destructive(step, seen) or _brings_back(step, seen) or isinstance(step, _ASKS_FOR_A_LIVE_READ))
    if seen.is_live or is_sure:
        return step
    if was_refused(ReadLive(), seen):
        # Nothing can be read live, so nothing is deleted. The status says so.
        return _settle(seen, finding_of(seen))
    return ReadLive()


_ASKS_FOR_A_LIVE_READ = (LookForTokenSecret, TakeImport)
"""Steps that need a live read. An imported refresh token, for one, goes only to the endpoints of the current spec."""


def is_destructive(step: Step, seen: Observed) -> bool:
    """Whether a step takes tokens from apps or from the Datasource, or ends AUTHORIZED."""
    match step:
        case Clear() | DeleteTokenSecret():
            return True
        case Settle(finding=finding):
            # Without rights nothing can be read live either.
            is_sure = finding.reason is Reason.SECRETS_FORBIDDEN
            return seen.status.state == State.AUTHORIZED and finding.state is not State.AUTHORIZED and not is_sure
        case _:
            return False


def _brings_back(step: Step, seen: Observed) -> bool:
    """Whether a step creates a token Secret that exists according to the status."""
    if not isinstance(step, WriteTokenSecret) or step.stored is not None:
        return False
    return seen.status.state == State.AUTHORIZED and seen.status.token_secret_name == step.plan.name


def _wanted_step(seen: Observed) -> Step:
    if seen.being_deleted:
        return Nothing()
    for prepare in PREPARATIONS:
        step = prepare(seen)
        if step is not None and not was_refused(step, seen):
            return step
    finding = finding_of(seen)
    step = _token_secret_step(seen, finding)
    return _settle(seen, finding) if step is None or was_refused(step, seen) else step


def _settle(seen: Observed, finding: Finding) -> Settle:
    return Settle(finding, wake_at(seen, finding), refresh_is_wanted(seen))


# With these reasons the cause may be elsewhere than at the tokens, so apps keep the token Secret.
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
    if seen.stands_in_ring:
        # The same token follows in a Secret of the new name.
        return DeleteTokenSecret(seen.own_token_secrets[0])
    if finding.reason in _NOTHING_IS_SURE and not _must_not_be_used(seen):
        return None
    ours = seen.own_token_secrets
    wanted = _wanted_write(seen, finding)
    if wanted is not None:
        stored = next((stored for stored in ours if stored.name == wanted.plan.name), None)
        if stored is None or not _is_as_wanted(stored, wanted.plan, seen.uid):
            return None if seen.unrenderable is not None else replace(wanted, stored=stored)
    unwanted = (stored for stored in ours if wanted is None or stored.name != wanted.plan.name)
    return next((DeleteTokenSecret(stored) for stored in unwanted), _look_for_one_unseen(seen, wanted))


def _look_for_one_unseen(seen: Observed, wanted: WriteTokenSecret | None) -> LookForTokenSecret | None:
    """Look for the token Secret of the status before a state that has none. Without its label a watch may not show it."""
    name, status = seen.status.token_secret_name, seen.status
    if name is None or name in seen.names_looked_at or (wanted is not None and wanted.plan.name == name):
        return None
    stood = status.state == State.AUTHORIZED or status.expires_at is not None
    is_shown = any(stored.name == name for stored in seen.token_secrets)
    return LookForTokenSecret(name) if stood and not is_shown else None


def _must_not_be_used(seen: Observed) -> bool:
    """Whether apps must lose the token, whatever else is wrong."""
    match seen.credential:
        case StoredCredential(facts=facts):
            # A template that cannot be used is no reason for apps to keep a token.
            is_known = seen.template_problem is not None
            return is_known and not is_usable(facts, seen) and not outlives_its_grant(facts, seen)
        case StoredTombstone():
            return True
        case Leaving(is_deleted=is_deleted):
            return is_deleted
        case Unreadable() | None:
            return False
        case _:
            assert_never(seen.credential)


def _wanted_write(seen: Observed, finding: Finding) -> WriteTokenSecret | None:
    """The step that creates the wanted token Secret; None where apps are to have none."""
    if not isinstance(seen.spec, Spec) or not isinstance(seen.credential, StoredCredential):
        return None
    facts = seen.credential.facts
    if finding.state is not State.AUTHORIZED and not outlives_its_grant(facts, seen):
        return None
    plan = plan_token_secret(namespace=seen.namespace, name=seen.name, uid=seen.uid, spec=seen.spec, facts=facts)
    return WriteTokenSecret(plan, seen.credential, None)


def _is_as_wanted(stored: StoredTokenSecret, wanted: TokenSecretPlan, uid: str) -> bool:
    return (
        stored.content == wanted.content
        and stored.has_usual_type is (wanted.type == SecretType.TOKEN)
        and wanted.fields <= stored.fields
        and ownership(stored.owners, uid) is Ownership.OURS
    )
