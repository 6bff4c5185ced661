"""Watch events that never come, and lists from the past: the end is the same once the disturbance is over.

Sieve (OSDI'22) calls them unobserved states and time travel. Every kind of event that a story brings is swallowed in turn,
until the watch expires and everything is listed again. And an operator restarts against an API server that is behind:
until that has caught up, nothing may be destroyed that a live read would have shown to be newer.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from datasource.api.names import Annotation
from tests.faults import world
from tests.faults.api_proxy import ApiProxy, Disturbance, Event, is_list_of_many
from tests.faults.stage import Case, Outcome, Stage, Step, Story
from tests.faults.stories import (
    SECRETS_DELETED,
    STORIES,
    apply,
    ask_for_refresh,
    becomes,
    change_parameters,
    clear,
    delete_credential,
    has_token_secret,
    is_new,
    is_refreshed,
    is_renamed,
    rename_token_secret,
    replace,
)
from tests.support.user import eventually

pytestmark = pytest.mark.cluster


@dataclass(frozen=True, order=True)
class Kind:
    """A kind of watch event; `name` is the object's, with NAME for the Datasource's."""

    type: str
    resource: str
    name: str

    def __str__(self) -> str:
        return f"{self.type} {self.resource} {self.name}"


@pytest.mark.parametrize("story", STORIES + SECRETS_DELETED, ids=str)
def test_story_ends_the_same_whatever_event_is_missed(story: Story, stage: Stage, subtests: pytest.Subtests) -> None:
    with stage.logged():
        expected, kinds = tell_undisturbed(story, stage)
        missing = dict(zip(stage.cases(story, len(kinds)), kinds, strict=True))
        missed = tell_without(story, stage, missing)
        for case, kind in missing.items():
            with subtests.test(f"missed: {kind}"):
                assert missed[case] > 0
                stage.settles(case, expected)
        stage.wait_until_quiet()
        assert {kind: stage.outcome(case) for case, kind in missing.items()} == dict.fromkeys(kinds, expected)


def tell_undisturbed(story: Story, stage: Stage) -> tuple[Outcome, list[Kind]]:
    """What is left of a story, and the kinds of events that it brings."""
    (case,) = stage.cases(story, 1)
    stage.wait_until_quiet()
    before = len(stage.operator.proxy.events)
    stage.tell(f"{case.name}: undisturbed")
    stage.play(story, case)
    stage.wait_until_quiet()
    kinds = {kind_of(event, case) for event in stage.operator.proxy.events[before:]}
    return stage.outcome(case), sorted(kind for kind in kinds if kind is not None)


def kind_of(event: Event, case: Case) -> Kind | None:
    if event.namespace != case.user.namespace or not case.owns(event.name):
        return None
    return Kind(event.type, event.resource, event.name.replace(case.name, "NAME"))


def tell_without(story: Story, stage: Stage, missing: dict[Case, Kind]) -> Counter[Case]:
    """Tell a story to several at once, of whom each misses a kind of events, in each step until the watches expire.

    Returns how many events each has missed.
    """
    proxy, missed = stage.operator.proxy, Counter[Case]()
    for case, kind in missing.items():
        stage.tell(f"{case.name}: without {kind}")
    for step in story.steps:
        with ExitStack() as drops:
            dropped = {case: drops.enter_context(drop_events(proxy, case, kind)) for case, kind in missing.items()}
            stage.at_once(step.do, missing)
            for case, drop in dropped.items():
                eventually("something comes of it, or is missed", partial(is_missed_or, drop, step, case))
            stage.wait_until_quiet()
        missed.update({case: each.met for case, each in dropped.items()})
        proxy.fail_watches(410)
        for case in missing:
            stage.eventually(story, case, partial(step.until, case))
    return missed


def is_missed_or(drop: Disturbance, step: Step, case: Case) -> bool:
    return drop.met > 0 or bool(step.until(case))


def drop_events(proxy: ApiProxy, case: Case, kind: Kind) -> Disturbance:
    return proxy.drop_watch_events(lambda event: kind_of(event, case) == kind)


@dataclass(frozen=True)
class Past:
    """Something that was asked for, and undone or overtaken since."""

    name: str
    asked: Step
    since: tuple[Step, ...]


NEW_CREDENTIAL = Step(Case.get_credential, until=becomes("Authorized"))
APPLIED_AGAIN = Step(apply, until=lambda case: becomes("Authorized")(case) and has_token_secret(case))

PASTS = (
    Past("cleared, authorized anew", Step(clear, until=becomes("CredentialCleared")), (NEW_CREDENTIAL,)),
    Past("refreshed", Step(ask_for_refresh, until=is_refreshed), ()),
    Past("changed, changed back", Step(change_parameters, until=becomes("ParametersChanged")), (APPLIED_AGAIN,)),
    Past("renamed, renamed back", Step(rename_token_secret, until=is_renamed), (APPLIED_AGAIN,)),
    Past(
        "deleted, authorized anew", Step(delete_credential, until=becomes("AuthorizationRequired")), (NEW_CREDENTIAL,)
    ),
    Past(
        "cleared, then replaced",
        Step(clear, until=becomes("CredentialCleared")),
        (Step(replace, until=is_new), NEW_CREDENTIAL),
    ),
)


def test_restart_in_the_past_destroys_nothing_newer(stage: Stage, subtests: pytest.Subtests) -> None:
    authorized = Story("authorized", ())
    with stage.logged():
        cases = dict(zip(PASTS, stage.cases(authorized, len(PASTS)), strict=True))
        with stage.operator.kubelet.down():
            for past, case in cases.items():
                past.asked.do(case)
            snapshot = world.resource_version(stage.user.api)
        for past, case in cases.items():
            stage.eventually(authorized, case, partial(past.asked.until, case))
            stage.play(Story(past.name, past.since), case)
        stage.wait_until_quiet()
        before = {past: identities(case) for past, case in cases.items()}
        settled = {past: stage.outcome(case).end for past, case in cases.items()}
        token_requests = len(stage.token_requests())
        with in_the_past(stage, snapshot) as lists:
            during = {past: identities(case) for past, case in cases.items()}
        assert lists.met
        stage.wait_until_quiet()
        assert len(stage.token_requests()) == token_requests
        for past, case in cases.items():
            with subtests.test(past.name):
                assert during[past] == before[past]
                stage.settles_at(case, settled[past])
                assert identities(case) == before[past]


@contextmanager
def in_the_past(stage: Stage, snapshot: str) -> Iterator[Disturbance]:
    """Restart the operator against an API server that is behind; the block begins when it has done what it will."""
    proxy = stage.operator.proxy
    stage.tell("the operator restarts in the past")
    with stage.operator.kubelet.down():
        lists, watches = proxy.stale_lists(snapshot, is_list_of_many), proxy.hold_watches()
    with lists, watches:
        stage.wait_until_quiet()
        yield lists
    stage.tell("the present is back")


def identities(case: Case) -> dict[str, tuple[str | None, ...]]:
    """Which Secrets there are: a Secret made anew, a tombstone or an older revision in its place is another one."""
    named = {what: case.user.secret(f"{case.name}-{what}") for what in ("oauth2-credential", "token")}
    return {what: _identity(secret["metadata"]) for what, secret in named.items() if secret is not None}


def _identity(metadata: dict[str, Any]) -> tuple[str | None, ...]:
    annotations = metadata["annotations"]
    return metadata["uid"], annotations.get(Annotation.CREDENTIAL_ID), annotations.get(Annotation.REVISION)
