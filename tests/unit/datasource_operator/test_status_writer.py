"""A status that cannot be written, or not whole: what is said then, and what goes on."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from datasource.api.objects import FAILED, LastAuthorization, Status
from datasource.api.states import Reason
from datasource.cluster.api_errors import ApiError, Forbidden, Invalid, Unavailable
from datasource.cluster.credential_secrets import Stale
from datasource.cluster.resources import DATASOURCES, Resource
from datasource_operator.cache import Cache, Key
from datasource_operator.decisions.findings import finding_of
from datasource_operator.decisions.observed import Finding, Observed
from datasource_operator.decisions.rivals import LEAVE_IT_FOR, TOLERATED
from datasource_operator.status_writer import ANOTHER_INSTALLATION, REFUSED_FOR, UNKNOWN_FOR, StatusWriter
from tests.support.api_rules import Manifest
from tests.support.builders import NAME, NAMESPACE, NOW, UID, credential, observed, status_settings
from tests.support.kube_in_memory import KubeInMemory
from tests.unit.datasource_operator.stand_ins import Clock

KEY = Key(NAMESPACE, NAME)
Change = Callable[[dict[str, Any]], None]


@dataclass
class ApiServer(KubeInMemory):
    """Alters what it stores, as an older schema or somebody's webhook does, and refuses what `refuses` names."""

    alter: Change = lambda _: None
    refuses: str | None = None

    def __post_init__(self) -> None:
        self.server.admit = self.admit

    def admit(self, _: Resource, after: Manifest, before: Manifest | None) -> None:
        status = after["status"]
        if self.refuses is not None and status.get(self.refuses) != (before or {}).get("status", {}).get(self.refuses):
            raise Invalid(422, "Invalid", f"status.{self.refuses}: Too long: may not be more than 1 bytes")
        self.alter(status)


@dataclass
class Bench:
    """A writer and one Datasource with a credential; the status starts empty."""

    kube: ApiServer = field(default_factory=ApiServer)
    clock: Clock = field(default_factory=Clock)
    announced: list[Finding] = field(default_factory=list)
    again: list[timedelta] = field(default_factory=list)
    warned: list[tuple[Key, str]] = field(default_factory=list)
    failed: LastAuthorization | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    later: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        self.writer = StatusWriter(self.kube, Cache(), status_settings(), self.announce, self.clock)
        self.writer.come_again = lambda key, delay: self.again.append(delay)
        self.writer.warn = self.warn
        self.kube.put(DATASOURCES, NAMESPACE, NAME, metadata={"uid": UID, "generation": 1})

    async def announce(self, seen: Observed, finding: Finding, *, seconds: float) -> None:
        self.announced.append(finding)

    async def warn(self, key: Key, *, reason: str, action: str, note: str) -> None:
        self.warned.append((key, f"{reason}: {note}"))

    async def write(self) -> None:
        """Write the status for what holds, seen from the status that stands."""
        seen = observed(
            credential(granted_scopes=("read",), **self.facts), status=self.status, failed_authorization=self.failed
        )
        seen = replace(seen, now=NOW + self.later)
        await self.writer.write(KEY, seen, finding_of(seen), began=0.0)

    @property
    def status(self) -> Status:
        stored = self.kube.object(DATASOURCES, NAMESPACE, NAME)
        return msgspec.convert(stored.get("status", {}), Status)


def drops(*fields: str) -> Change:
    def alter(status: dict[str, Any]) -> None:
        for each in fields:
            status.pop(each, None)

    return alter


async def test_field_that_an_older_schema_drops_is_no_conflict() -> None:
    """Else the Datasource would be decided again for ever, and its refresh would never come."""
    bench = Bench(ApiServer(alter=drops("grantedScopes", "expiresAt")))
    await bench.write()
    assert bench.status.state == "AUTHORIZED"
    assert bench.announced != []
    writes = len(bench.kube.calls)
    await bench.write()
    assert len(bench.kube.calls) == writes


async def test_field_that_was_dropped_is_written_once_the_schema_knows_it() -> None:
    bench = Bench(ApiServer(alter=drops("grantedScopes")))
    await bench.write()
    bench.kube.alter = drops()
    await bench.write()
    assert bench.status.granted_scopes is None
    bench.clock.advance(UNKNOWN_FOR)
    await bench.write()
    assert bench.status.granted_scopes == ("read",)


FAILURE = LastAuthorization("2026-06-30T12:00:00Z", FAILED, "Consent was denied.")


async def test_authorization_that_failed_is_warned_of_once() -> None:
    bench = Bench(failed=FAILURE)
    await bench.write()
    assert bench.status.last_authorization == FAILURE
    await bench.write()
    bench.failed = None
    await bench.write()
    assert bench.warned == [(KEY, "AuthorizationFailed: Consent was denied.")]


async def test_authorization_that_failed_in_the_same_words_again_is_warned_of_again() -> None:
    bench = Bench(failed=FAILURE)
    await bench.write()
    bench.failed = msgspec.structs.replace(FAILURE, time="2026-06-30T12:05:00Z")
    await bench.write()
    assert len(bench.warned) == 2


GRANT: dict[str, Any] = {
    "grant_expires_at": NOW + timedelta(days=20),
    "grant_lifetime": timedelta(days=365),
    "expires_at": NOW + timedelta(days=60),
}


async def test_grant_that_comes_nearer_to_its_end_is_warned_of_once_for_each_step() -> None:
    bench = Bench(facts=GRANT)
    for hours in range(0, 21 * 24, 7):
        bench.later = timedelta(hours=hours)
        await bench.write()
    assert len(bench.warned) == 3
    assert all("GrantExpiring: The grant ends at 2026-07-21T12:00:00Z" in said for _, said in bench.warned)


async def test_whoever_leads_next_warns_of_no_step_again_and_writes_nothing() -> None:
    """The step stands in the status: a failover needs no record of its own."""
    bench = Bench(facts=GRANT, later=timedelta(days=18))
    await bench.write()
    assert len(bench.warned) == 1
    stands = msgspec.to_builtins(bench.status)
    next_leader = Bench(kube=bench.kube, facts=GRANT, later=timedelta(days=18, hours=1))
    next_leader.kube.object(DATASOURCES, NAMESPACE, NAME)["status"] = stands
    writes = len(bench.kube.calls)
    await next_leader.write()
    assert next_leader.warned == []
    assert len(bench.kube.calls) == writes


async def test_condition_goes_with_the_grant_that_was_renewed() -> None:
    bench = Bench(facts=GRANT, later=timedelta(days=18))
    await bench.write()
    assert bench.status.condition("GrantExpiring") is not None
    bench.facts = GRANT | {"grant_expires_at": NOW + timedelta(days=365)}
    await bench.write()
    assert bench.status.condition("GrantExpiring") is None
    assert len(bench.warned) == 1


async def test_text_that_a_webhook_alters_is_no_conflict() -> None:
    def alter(status: dict[str, Any]) -> None:
        status["redirectURI"] = "https://elsewhere.example.com"

    bench = Bench(ApiServer(alter=alter))
    await bench.write()
    assert bench.status.redirect_uri == "https://elsewhere.example.com"


async def test_field_that_somebody_else_took_away_meanwhile_is_a_conflict() -> None:
    bench = Bench()
    await bench.write()
    seen = observed(credential(granted_scopes=("read", "write")), status=bench.status)
    bench.kube.alter = drops("tokenSecretName")
    with pytest.raises(Stale):
        await bench.writer.write(KEY, seen, finding_of(seen), began=0.0)


async def test_status_that_is_refused_still_says_what_holds_and_what_was_refused() -> None:
    bench = Bench(ApiServer(refuses="grantedScopes"))
    await bench.write()
    assert (bench.status.state, bench.status.granted_scopes) == ("AUTHORIZED", None)
    ready = bench.status.condition("Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("True", "Authorized")
    assert "the API server refused them: status.grantedScopes: Too long" in ready.message


async def test_status_that_is_refused_is_not_asked_for_again_before_a_while() -> None:
    bench = Bench(ApiServer(refuses="grantedScopes"))
    for _ in range(50):
        await bench.write()
    refused_then_written = 2
    assert len(bench.kube.calls) == refused_then_written
    assert bench.again == [REFUSED_FOR]
    bench.kube.refuses = None
    bench.clock.advance(REFUSED_FOR)
    await bench.write()
    assert bench.status.granted_scopes == ("read",)
    ready = bench.status.condition("Ready")
    assert ready is not None
    assert "refused" not in ready.message


async def test_what_holds_is_told_while_parts_of_the_status_are_refused() -> None:
    bench = Bench(ApiServer(refuses="grantedScopes"))
    await bench.write()
    seen = observed(credential(granted_scopes=("read",)), status=bench.status)
    for words in ("It was cleared.", "Somebody is needed."):
        await bench.writer.write(KEY, seen, Finding(Reason.CREDENTIAL_CLEARED, words), began=0.0)
        assert bench.status.state == "NOT AUTHORIZED"
        ready = bench.status.condition("Ready")
        assert ready is not None
        assert words in ready.message


async def test_an_edit_is_followed_by_a_whole_status_at_once() -> None:
    bench = Bench(ApiServer(refuses="grantedScopes"))
    await bench.write()
    bench.kube.refuses = None
    bench.kube.object(DATASOURCES, NAMESPACE, NAME)["metadata"]["generation"] = 2
    seen = observed(credential(granted_scopes=("read",)), status=bench.status, generation=2)
    await bench.writer.write(KEY, seen, finding_of(seen), began=0.0)
    assert bench.status.granted_scopes == ("read",)


@pytest.mark.parametrize(
    "error", [Invalid(422, "Invalid", "no"), ApiError(413, "RequestEntityTooLarge", "no")], ids=repr
)
async def test_status_of_which_nothing_is_taken_is_not_asked_for_all_the_time(error: Exception) -> None:
    bench = Bench()
    bench.kube.failure = error
    for _ in range(50):
        await bench.write()
    assert bench.announced == []
    bench.kube.failure = None
    bench.clock.advance(REFUSED_FOR)
    await bench.write()
    assert bench.status.state == "AUTHORIZED"


async def test_a_server_that_is_out_of_reach_after_it_refused_is_tried_again() -> None:
    bench = Bench(ApiServer(refuses="grantedScopes"))
    await bench.write()
    bench.kube.failure = ApiError(500, "InternalError", "no")
    seen = observed(credential(granted_scopes=("read",)), status=bench.status)
    with pytest.raises(ApiError):
        await bench.writer.write(KEY, seen, Finding(Reason.CREDENTIAL_CLEARED, "Cleared."), began=0.0)


async def test_a_status_that_another_installation_writes_too_is_left_to_it_and_told_once() -> None:
    bench = Bench()

    async def warn(key: Key, *, reason: str, action: str, note: str) -> None:
        bench.warned.append((key, reason))

    bench.writer.warn = warn
    for _ in range(20):
        await bench.write()
        stored = bench.kube.object(DATASOURCES, NAMESPACE, NAME)["status"]
        stored["redirectURI"] = "https://theirs.example.com/callback/shop"
    assert len(bench.kube.calls) == TOLERATED
    assert bench.warned == [(KEY, ANOTHER_INSTALLATION)]
    assert bench.again == [LEAVE_IT_FOR]
    bench.writer.forget(KEY)
    await bench.write()
    assert len(bench.kube.calls) == TOLERATED + 1


@pytest.mark.parametrize("error", [Forbidden(403, "Forbidden", "no"), Unavailable("down")], ids=repr)
async def test_status_that_cannot_be_written_at_all_is_tried_again(error: Exception) -> None:
    bench = Bench()
    bench.kube.failure = error
    with pytest.raises(type(error)):
        await bench.write()
    assert bench.announced == []
