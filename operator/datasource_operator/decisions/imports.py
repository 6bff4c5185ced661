"""Whether and when the operator takes over the refresh token of an import Secret. Pure.

The token is stored before it is sent. So it is not lost if the provider rotates it. From then on it is a credential like any
other, but apps get no new token from it until the provider has answered.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from datasource.api.names import import_secret_name
from datasource.api.objects import Ownership, ownership
from datasource.api.spec import Spec
from datasource.api.states import ImportReason
from datasource.records.contents import Leaving, Readable, StoredCredential, StoredTombstone
from datasource.records.credential import CredentialFacts, Unreadable
from datasource.records.import_secret import ImportedFrom
from datasource_operator.decisions.observed import Observed, SeenImport
from datasource_operator.decisions.predicates import fingerprint_fits, has_run_out, outlives_its_grant
from datasource_operator.decisions.steps import DeleteImport, LookAround, LookAtImport, Step, TakeImport


@dataclass(frozen=True, slots=True)
class WaitingImport:
    """An import Secret that still exists, and the reason."""

    reason: ImportReason
    message: str


def step_of_import(seen: Observed) -> Step | None:
    """The next step for the import Secret; None where there is nothing to do now."""
    found = _import_for(seen)
    if found is None or seen.import_waits:
        return None
    if found.look is None:
        return LookAtImport(found.secret)
    if found.look.problem:
        return None
    if _is_done(seen, found.look.token_hash, found):
        return DeleteImport(found.secret)
    if _obstacle(seen, found) is not None:
        return None
    if seen.surroundings is None:
        return LookAround()
    return TakeImport(
        found.secret,
        found.look.token_hash,
        seen.credential if isinstance(seen.credential, Readable) else None,
        keeps_access_token=seen.facts is not None and outlives_its_grant(seen.facts, seen),
    )


def waiting_import(seen: Observed) -> WaitingImport | None:
    """What the status says of an import Secret that still exists; None where there is none."""
    found = _import_for(seen)
    if found is None:
        return None
    reason, why = _why_it_stands(seen, found)
    return WaitingImport(reason, f"Secret {import_secret_name(seen.name)} {why}")


def _import_for(seen: Observed) -> SeenImport | None:
    """The import Secret; None where it is being deleted, or belongs to an earlier Datasource of that name."""
    found = seen.imported
    if found is None or found.secret.is_leaving:
        return None
    return None if ownership(found.secret.owners, seen.uid) is Ownership.DANGLING else found


def _is_done(seen: Observed, token_hash: str, found: SeenImport) -> bool:
    """Whether this token of this Secret was taken over, and since then the provider accepted it or it was cleared."""
    match seen.credential:
        case StoredCredential(facts=facts):
            return facts.imported == ImportedFrom(token_hash, found.secret.uid) and not facts.is_unproven
        case StoredTombstone(facts=facts):
            return facts.imported == ImportedFrom(token_hash, found.secret.uid)
        case _:
            return False


def _why_it_stands(seen: Observed, found: SeenImport) -> tuple[ImportReason, str]:
    if found.look is not None and found.look.problem:
        return (
            ImportReason.INVALID,
            f"cannot be imported. {found.look.problem} Delete it, and import the right one.",
        )
    obstacle = None if found.look is None or seen.import_waits else _obstacle(seen, found)
    if obstacle is not None:
        return obstacle
    why = seen.import_waits or "The operator has not been able to take it over."
    return ImportReason.WAITING, f"waits. {why}"


def _obstacle(seen: Observed, found: SeenImport) -> tuple[ImportReason, str] | None:
    """The first obstacle that keeps a readable import Secret from being taken over now; None where there is none."""
    return next((obstacle for check in _OBSTACLES if (obstacle := check(seen, found)) is not None), None)


_Obstacle = tuple[ImportReason, str]


def _it_was_taken_over(seen: Observed, found: SeenImport) -> _Obstacle | None:
    facts = seen.facts
    if facts is None or found.look is None or not facts.is_unproven:
        return None
    if facts.imported != ImportedFrom(found.look.token_hash, found.secret.uid) or not fingerprint_fits(facts, seen):
        return None
    if facts.verdict is None:
        return ImportReason.BEING_TRIED, "is being imported. It is deleted once the provider takes its refresh token."
    return (
        ImportReason.REFUSED,
        "was not imported: the provider does not accept its refresh token. Delete it, and import another one, or open the "
        "link in status.authorizationLink.",
    )


def _it_is_suspended(seen: Observed, _: SeenImport) -> _Obstacle | None:
    return (ImportReason.WAITING, "waits until spec.suspend is false.") if seen.is_suspended else None


def _parameters_are_missing(seen: Observed, _: SeenImport) -> _Obstacle | None:
    if isinstance(seen.spec, Spec) and seen.oauth2 is not None and not seen.oauth2.missing():
        return None
    return ImportReason.WAITING, "waits until spec.oauth2 is complete and correct."


def _something_is_in_the_way(seen: Observed, _: SeenImport) -> _Obstacle | None:
    if seen.surroundings is None or seen.surroundings.problem is None:
        return None
    return ImportReason.WAITING, "waits until what the condition Ready says is corrected."


def _credential_stands(seen: Observed, _: SeenImport) -> _Obstacle | None:
    match seen.credential:
        case StoredCredential(facts=facts) if _may_be_replaced(facts, seen):
            return None
        case StoredCredential():
            return (
                ImportReason.CREDENTIAL_EXISTS,
                "was not imported: a credential is stored already. Delete it, or clear that credential first "
                f"(kubectl datasource clear {seen.name}).",
            )
        case StoredTombstone(facts=facts) if facts.revoke_until is not None:
            return ImportReason.WAITING, "waits until the credential that was cleared is revoked."
        case Unreadable() | Leaving():
            return ImportReason.WAITING, "waits until the credential Secret is readable, or gone."
        case StoredTombstone() | None:
            return None
        case _:
            assert_never(seen.credential)


def _may_be_replaced(facts: CredentialFacts, seen: Observed) -> bool:
    """Whether an import may replace the stored credential.

    It may where that credential cannot be used any more. It may also where that credential is an import that was never sent,
    and the parameters were changed since.
    """
    if facts.verdict is not None or has_run_out(facts, seen):
        return True
    return facts.was_never_sent and not fingerprint_fits(facts, seen)


_OBSTACLES: tuple[Callable[[Observed, SeenImport], _Obstacle | None], ...] = (
    _it_was_taken_over,
    _it_is_suspended,
    _parameters_are_missing,
    _credential_stands,
    _something_is_in_the_way,
)
