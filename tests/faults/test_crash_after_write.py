"""Killed, or left without an answer, at any write: the end is the same as if nothing had happened.

The oracle is differential, as in Sieve (OSDI'22): each story is first told undisturbed, which also counts its writes; then
once for each write and each way to disturb it. In the end there must be the same, and the same Secrets must have come and
gone as often. One difference is allowed: a process that is killed between a token request and the write of what it brought
loses a grant, and a person has to consent again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from deploy.local.provider import TokenRequest
from tests.faults import world
from tests.faults.api_proxy import Trap, Write
from tests.faults.behind_proxy import BehindProxy
from tests.faults.stage import Case, Outcome, Stage, Story
from tests.faults.stories import STORIES, becomes
from tests.support.user import eventually

pytestmark = pytest.mark.cluster

GRANT_TYPES = {"operator": "refresh_token", "callback server": "authorization_code"}
"""What each process sends to the token endpoint."""


def killed_after(victim: BehindProxy, write: int, case: Case) -> Trap:
    return victim.proxy.kill_after_write(write, victim.kubelet.kill, case.concerns)


def killed_before(victim: BehindProxy, write: int, case: Case) -> Trap:
    return victim.proxy.kill_before_write(write, victim.kubelet.kill, case.concerns)


def cut_after(victim: BehindProxy, write: int, case: Case) -> Trap:
    return victim.proxy.cut_after_write(write, case.concerns)


def cut_unseen_after(victim: BehindProxy, write: int, case: Case) -> Trap:
    return victim.proxy.cut_after_write_unseen(write, case.concerns)


Arm = Callable[[BehindProxy, int, Case], Trap]


@dataclass(frozen=True)
class Blow:
    """What hits a process at which of its writes."""

    victim: str
    arm: Arm
    number: int
    write: Write

    @property
    def loses_a_grant(self) -> bool:
        """Whether it hits between a token request and the write of what that brought."""
        return self.arm is killed_before

    @property
    def sends_again(self) -> int:
        """How often the old refresh token is sent after that: once, and for the last time."""
        return 2 if self.loses_a_grant else 0

    def __str__(self) -> str:
        what = f"{self.write.call.verb} {self.write.call.name}"
        return f"{self.victim} {self.arm.__name__.replace('_', ' ')} write {self.number}: {what}"


@dataclass(frozen=True)
class Told:
    """What telling a story undisturbed has shown, and when that began."""

    began: datetime
    outcome: Outcome
    reasons: set[str]
    writes: dict[str, list[Write]]
    token_requests: list[TokenRequest]

    def blows(self) -> list[Blow]:
        """Every way to disturb it."""
        return [
            Blow(victim, arm, number, write)
            for victim, writes in self.writes.items()
            for number, write in enumerate(writes, start=1)
            for arm in self._arms(victim, number)
        ]

    def requests_of(self, victim: str) -> int:
        """How many token requests a process made."""
        return count(victim, self.token_requests)

    def _arms(self, victim: str, number: int) -> list[Arm]:
        # The callback server watches nothing.
        arms: list[Arm] = [killed_after, cut_unseen_after if victim == "operator" else cut_after]
        # Before a write is after the one before, but for what a process does in between outside of the API server.
        return [*arms, killed_before] if self._brings_something(victim, number) else arms

    def _brings_something(self, victim: str, number: int) -> bool:
        times = [self.began, *(write.at for write in self.writes[victim])]
        since, until = times[number - 1], times[number]
        return count(victim, [each for each in self.token_requests if since < each.at < until]) > 0


def count(victim: str, requests: list[TokenRequest]) -> int:
    return sum(each.grant_type == GRANT_TYPES[victim] for each in requests)


@pytest.mark.parametrize("story", STORIES, ids=str)
def test_story_ends_the_same_whatever_write_is_hit(story: Story, stage: Stage, subtests: pytest.Subtests) -> None:
    with stage.logged():
        told = tell_undisturbed(story, stage)
        blows = told.blows()
        down, *hit = stage.cases(story, 1 + len(blows))
        tell_while_operator_is_down(story, stage, down)
        for blow, case in zip(blows, hit, strict=True):
            with subtests.test(str(blow)):
                tell_disturbed(story, stage, blow, case, told)
        stage.wait_until_quiet()
        for what, case in zip(["operator down at first", *map(str, blows)], [down, *hit], strict=True):
            with subtests.test(f"the end: {what}"):
                stage.settles(case, told.outcome)
        stage.wait_until_quiet()
        assert [stage.outcome(case) for case in (down, *hit)] == [told.outcome] * (1 + len(hit))
        assert spent_twice(stage) == sum(blow.sends_again for blow in blows if blow.victim == "operator")


def tell_undisturbed(story: Story, stage: Stage) -> Told:
    (case,) = stage.cases(story, 1)
    stage.tell(f"{case.name}: undisturbed")
    began = datetime.now(UTC)
    stage.play(story, case)
    stage.wait_until_quiet()
    writes = {
        name: [write for write in each.proxy.writes if write.at > began and case.concerns(write.call)]
        for name, each in stage.processes.items()
    }
    requests = [each for each in stage.token_requests() if each.at > began]
    return Told(began, stage.outcome(case), reasons(stage, case), writes, requests)


def tell_while_operator_is_down(story: Story, stage: Stage, case: Case) -> None:
    stage.tell(f"{case.name}: the operator is down when it begins")
    stage.play(story, case, around_first=stage.operator.kubelet.down())


def tell_disturbed(story: Story, stage: Stage, blow: Blow, case: Case, told: Told) -> None:
    stage.tell(f"{case.name}: {blow}")
    before = count(blow.victim, stage.token_requests())
    victim = stage.processes[blow.victim]
    trap = blow.arm(victim, blow.number, case)
    try:
        stage.play(story, case)
        eventually("the trap springs", lambda: trap.met)
    finally:
        victim.proxy.calm()
    victim.kubelet.wait_until_ready()
    again = blow.sends_again if blow.victim == "operator" else blow.loses_a_grant
    assert count(blow.victim, stage.token_requests()) - before == told.requests_of(blow.victim) + again
    if blow.loses_a_grant and blow.victim == "operator":
        assert case.has_reason("RefreshInterrupted")
        case.get_credential()
        stage.eventually(story, case, lambda: becomes("Authorized")(case))
    else:
        # Nobody was told of anything that did not happen.
        assert reasons(stage, case) <= told.reasons


def reasons(stage: Stage, case: Case) -> set[str]:
    return world.reasons(stage.user.api, stage.user.namespace, case.name)


def spent_twice(stage: Stage) -> int:
    """How many codes and refresh tokens were sent again."""
    sent = [each.code_sha256 or each.refresh_token_sha256 for each in stage.token_requests()]
    return len(sent) - len(set(sent))


IMPORT_WRITES = ("the credential is made", "the intent is written", "the reply is stored", "the import is deleted")


def test_import_outlives_a_kill_after_each_of_its_writes(stage: Stage, subtests: pytest.Subtests) -> None:
    """The provider takes a used refresh token for a theft: whatever is sent twice, or not stored, ends the grant."""
    with stage.logged():
        for number, case in enumerate(stage.cases(STORIES[2], len(IMPORT_WRITES)), start=1):
            with subtests.test(f"killed right after {IMPORT_WRITES[number - 1]}"):
                import_is_killed_after(stage, number, case)


def import_is_killed_after(stage: Stage, number: int, case: Case) -> None:
    """Bring the refresh token of a credential along that somebody deleted: the grant goes on at the provider."""
    secrets = (f"{case.name}-oauth2-credential", f"{case.name}-oauth2-import")
    token = stage.user.decoded(secrets[0], "refresh_token")
    assert token is not None
    stage.user.kubectl("delete", "secret", secrets[0])
    eventually("it waits for a person", lambda: case.has_reason("AuthorizationRequired"))
    stage.wait_until_quiet()
    victim = stage.operator
    trap = victim.proxy.kill_after_write(number, victim.kubelet.kill, lambda call: call.name in secrets)
    try:
        type_ = "--type=datasource.dev/oauth2-import"
        stage.user.kubectl("create", "secret", "generic", secrets[1], type_, f"--from-literal=refresh_token={token}")
        eventually("the trap springs", lambda: trap.met)
    finally:
        victim.proxy.calm()
    victim.kubelet.wait_until_ready()
    eventually("it is authorized", lambda: case.has_reason("Authorized"), lambda: stage.user.ready(case.name))
    eventually("the import is gone", lambda: stage.user.secret(secrets[1]) is None)
    assert stage.user.decoded(secrets[0], "refresh_token") not in {None, token}
    # It lives: it is refreshed once more.
    stage.user.annotate("refresh", "now", case.name)
    stage.user.wait_for_handled("refresh", "now", case.name)
    assert case.has_reason("Authorized")
