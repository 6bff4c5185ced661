"""A tiny model of the API server and of what the steps do there, to see where a chain of decisions leads.

It follows `datasource_operator.steps` branch by branch, without I/O. Real Secrets and real races are what the tests on a real
API server are for; here the question is only whether decisions come to an end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from datasource.api.names import REVOKE_FINALIZER, credential_secret_name
from datasource.api.objects import Ownership, Status, ownership
from datasource.api.spec import Spec
from datasource.api.states import Reason
from datasource.oauth2.identity import expected_identity_hash
from datasource.records.contents import Readable, StoredCredential, StoredTombstone, seen_from
from datasource.records.contents import tombstone as tombstone_of
from datasource.records.credential import Unreadable, UnreadableCredential
from datasource.records.fingerprint import fingerprint
from datasource.records.token_secret import StoredTokenSecret
from datasource_operator.decisions.observed import Finding, Observed, Refusal, Surroundings
from datasource_operator.decisions.obstacles import refused
from datasource_operator.decisions.policy import next_step
from datasource_operator.decisions.status import status_patch, wanted_status
from datasource_operator.decisions.steps import (
    Adopt,
    Clear,
    CompareIdentity,
    DeleteTokenSecret,
    Hold,
    LookAround,
    MarkHandled,
    Nothing,
    ReadLive,
    Release,
    Settle,
    Step,
    WriteTokenSecret,
)
from datasource_operator.reconciler import STEPS_LIMIT
from tests.support.builders import OURS, surface, too_large
from tests.support.merge_patch import merge_patched

Credential = Readable | Unreadable | None


class Stale(Exception):
    """A compare-and-swap was lost: the reconciliation starts over."""


class NeverSettled(AssertionError):
    """More steps than any Datasource needs; says which."""


@dataclass
class World:
    """One Datasource as it is, its Secrets, and the names and the client Secret around it."""

    datasource: Observed
    """Spec, requests and status; what it says of Secrets is not looked at."""
    credential: Credential
    shown: Credential
    """The credential that the watch shows: it may lag behind."""
    data_fit: bool
    """Whether the credential's data say what its annotations say."""
    token_secrets: tuple[StoredTokenSecret, ...]
    client_secret_problem: Finding | None
    taken: frozenset[str]
    """Names that Secrets of others have."""
    refuses: Mapping[type[Step], Refusal] = field(default_factory=dict)
    """Kinds of steps that the API server refuses."""
    token_is_too_long: bool = False
    """Whether the token Secret would be larger than one may be."""
    writes: list[Step] = field(default_factory=list)

    def reconcile(self) -> Settle | Nothing:
        """Take step after step until nothing is left to do; start over where a swap was lost."""
        taken: list[Step] = []
        seen = self.observe()
        while len(taken) < STEPS_LIMIT:
            step = next_step(seen)
            taken.append(step)
            if isinstance(step, Nothing):
                return step
            if isinstance(step, Settle):
                self._write_status(seen, step.finding)
                return step
            try:
                seen = self._take(step, seen)
            except UnreadableCredential as error:
                seen = seen.with_unreadable(error.unreadable)
            except Stale:
                self._let_time_pass()
                seen = self.observe()
        raise NeverSettled([type(step).__name__ for step in taken])

    def observe(self) -> Observed:
        """What the caches show."""
        credential = seen_from(self.shown, self.datasource.uid)
        return replace(self.datasource, credential=credential, token_secrets=self.token_secrets)

    def _take(self, step: Step, seen: Observed) -> Observed:
        if type(step) in self.refuses:
            return refused(step, seen, self.refuses[type(step)])
        match step:
            case ReadLive():
                self.shown = self.credential
                return replace(self._again(seen), is_live=True, surroundings=None)
            case LookAround():
                return replace(seen, surroundings=self._surroundings(seen))
            case Adopt():
                self._adopt(seen)
            case Clear():
                return self._clear(seen, step)
            case MarkHandled():
                self._mark_handled(step)
            case CompareIdentity(credential=credential, expected=expected):
                self._compare_identity(credential, expected)
            case Hold(credential=credential):
                self._hold(seen, credential)
            case Release(credential=credential):
                self._put_finalizers(
                    credential, tuple(each for each in credential.finalizers if each != REVOKE_FINALIZER)
                )
            case WriteTokenSecret():
                return self._write_token_secret(seen, step)
            case DeleteTokenSecret(stored=stored):
                assert seen.is_live, "deleted what a cache showed"
                self._put_token_secret(stored, None)
            case _:
                raise AssertionError(f"not a step to take: {step}")
        self.writes.append(step)
        return self._again(seen)

    def _again(self, seen: Observed) -> Observed:
        return replace(self.observe(), surroundings=seen.surroundings, is_live=seen.is_live)

    def _surroundings(self, seen: Observed) -> Surroundings:
        if not isinstance(seen.spec, Spec) or seen.spec.oauth2 is None:
            return Surroundings()
        if self.client_secret_problem is not None and seen.spec.oauth2.client_secret_ref is not None:
            return Surroundings(self.client_secret_problem)
        for name in (credential_secret_name(seen.name), seen.spec.token_secret_name(seen.name)):
            if name in self.taken:
                return Surroundings(_conflict(name))
        return Surroundings()

    def _adopt(self, seen: Observed) -> None:
        stored = self._get_credential()
        if isinstance(stored, StoredCredential) and not (
            stored.facts.fingerprint == _fingerprint_in(seen) and self.data_fit
        ):
            raise UnreadableCredential("data key fingerprint differs from the annotation")
        self._store(msgspec.structs.replace(stored, owners=OURS))

    def _clear(self, seen: Observed, step: Clear) -> Observed:
        assert seen.is_live, "cleared what a cache showed"
        before = step.credential.facts if isinstance(step.credential, Readable) else step.credential
        left = tombstone_of(before, credential_id=f"tombstone-{len(self.writes)}", handled=step.handled)
        if isinstance(step.credential, Unreadable):
            self._store(StoredTombstone(facts=left, resource_version="1", owners=OURS))
        elif step.credential is not None:
            self._store(StoredTombstone(left, "1", step.credential.owners, step.credential.finalizers))
        elif credential_secret_name(seen.name) in self.taken:
            return replace(seen, surroundings=Surroundings(_conflict(credential_secret_name(seen.name))))
        elif self.credential is not None:
            raise Stale
        else:
            self._store(StoredTombstone(facts=left, resource_version="1", owners=OURS))
        self.writes.append(step)
        return self._again(seen)

    def _mark_handled(self, step: MarkHandled) -> None:
        if self.credential != step.credential:
            raise Stale
        facts = msgspec.structs.replace(step.credential.facts, handled=step.handled)
        self._store(msgspec.structs.replace(step.credential, facts=facts))

    def _compare_identity(self, credential: StoredCredential, expected: Mapping[str, str]) -> None:
        if self._get_credential() != credential:
            raise Stale
        checked = {"identity_checked": expected_identity_hash(expected), "identity_fits": self.data_fit}
        self._store(msgspec.structs.replace(credential, facts=msgspec.structs.replace(credential.facts, **checked)))

    def _hold(self, seen: Observed, credential: StoredCredential) -> None:
        if self._get_credential().facts != credential.facts:
            raise Stale
        if not self.data_fit or credential.facts.fingerprint != _fingerprint_in(seen):
            raise UnreadableCredential("data key fingerprint differs from the annotation")
        self._put_finalizers(credential, (*credential.finalizers, REVOKE_FINALIZER))

    def _put_finalizers(self, credential: Readable, finalizers: tuple[str, ...]) -> None:
        if self.credential != credential:
            raise Stale
        self._store(msgspec.structs.replace(credential, finalizers=finalizers))

    def _write_token_secret(self, seen: Observed, step: WriteTokenSecret) -> Observed:
        stored = self._get_credential()
        if stored.facts != step.credential.facts:
            raise Stale
        if not self.data_fit:
            return seen.with_unreadable(Unreadable("data key fingerprint differs from the annotation"))
        if self.token_is_too_long:
            return replace(seen, too_large=too_large())
        there = next((each for each in self.token_secrets if each.name == step.plan.name), None)
        if step.stored is None and step.plan.name in self.taken:
            return replace(seen, surroundings=Surroundings(_conflict(step.plan.name)))
        if step.stored is None and there is not None:
            raise Stale
        written = StoredTokenSecret(
            name=step.plan.name,
            uid="uid",
            resource_version="1",
            content=step.plan.content,
            owners=OURS,
            fields=step.plan.fields,
        )
        self._put_token_secret(there, written)
        self.writes.append(step)
        return self._again(seen)

    def _get_credential(self) -> Readable:
        self.shown = self.credential
        if isinstance(self.credential, Unreadable):
            raise UnreadableCredential(self.credential.what)
        if self.credential is None:
            raise Stale
        return self.credential

    def _store(self, credential: Readable) -> None:
        self.credential = self.shown = credential

    def _put_token_secret(self, old: StoredTokenSecret | None, new: StoredTokenSecret | None) -> None:
        kept = tuple(each for each in self.token_secrets if each is not old)
        self.token_secrets = kept if new is None else (*kept, new)

    def _let_time_pass(self) -> None:
        """Until the next try the watch has caught up, and the garbage collector has taken away what dangled."""
        if isinstance(self.credential, Readable) and self._dangles(self.credential):
            self.credential = None
        self.shown = self.credential
        self.token_secrets = tuple(each for each in self.token_secrets if not self._dangles(each))

    def _dangles(self, stored: Readable | StoredTokenSecret) -> bool:
        return ownership(stored.owners, self.datasource.uid) is Ownership.DANGLING

    def _write_status(self, seen: Observed, finding: Finding) -> None:
        patch = status_patch(seen.status, wanted_status(seen, finding, surface()))
        if patch is None:
            return
        self.writes.append(Settle(finding))
        before: dict[str, Any] = msgspec.to_builtins(self.datasource.status)
        written = msgspec.convert(merge_patched(before, patch["status"]), Status)
        self.datasource = replace(self.datasource, status=written)


def _conflict(name: str) -> Finding:
    return Finding(Reason.SECRET_CONFLICT, f"Secret {name} exists and is not ours")


def _fingerprint_in(seen: Observed) -> str | None:
    return None if seen.oauth2 is None else fingerprint(seen.oauth2)
