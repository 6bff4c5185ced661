"""Never two lead at once, whatever happens."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum, auto
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from datasource.cluster.api_errors import NotFound
from datasource_operator.decisions.election import (
    LEASE_DURATION,
    RETRY_PERIOD,
)
from datasource_operator.lease import RENEW_DEADLINE
from tests.unit.datasource_operator.lease_stage import (
    SECOND,
    Candidate,
    Fate,
    Stage,
    Trip,
    passes,
    play,
)
from tests.unit.walks import walks


class Trouble(Enum):
    """What can happen to the API server, or to one of the candidates."""

    FREEZE = auto()
    CUT_OFF = auto()
    SLOW = auto()
    UNCLEAR = auto()
    SIGTERM = auto()
    SIGKILL = auto()
    DELETE = auto()
    HAND_OVER = auto()
    EMPTY = auto()
    LABEL = auto()


FAULTS = (Trouble.FREEZE, Trouble.CUT_OFF, Trouble.SLOW, Trouble.UNCLEAR, Trouble.LABEL)
RESTARTS = (Trouble.SIGTERM, Trouble.SIGKILL)
# Not together with restarts: a process that has never seen the Lease takes a deleted one for a first installation.
BY_HAND = (Trouble.DELETE, Trouble.HAND_OVER, Trouble.EMPTY)


@dataclass(frozen=True)
class Event:
    """A trouble that begins so long after the one before."""

    after: timedelta
    trouble: Trouble
    whom: int
    lasts: timedelta


def seconds(most: float) -> st.SearchStrategy[timedelta]:
    return st.integers(0, int(most * 4)).map(lambda quarters: timedelta(seconds=quarters / 4))


def events(troubles: tuple[Trouble, ...]) -> st.SearchStrategy[list[Event]]:
    return st.lists(
        st.builds(Event, seconds(20), st.sampled_from(troubles), st.integers(0, 2), seconds(30)), max_size=10
    )


@dataclass
class Play:
    """Three candidates, and what happens to them."""

    seed: int
    stage: Stage = field(default_factory=Stage)
    cast: list[Candidate] = field(default_factory=list)
    _random: random.Random = field(init=False)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _troubles: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - delays, not secrets
        self.cast = [self._newcomer() for _ in range(3)]

    async def run(self, events: list[Event]) -> None:
        """Let it all happen, and wait until it is over."""
        await passes(3 * RETRY_PERIOD)  # everybody has seen the Lease
        for event in events:
            await passes(event.after)
            self._troubles.add(asyncio.create_task(self._happen(event)))
        if self._troubles:
            await asyncio.wait(self._troubles)

    async def _happen(self, event: Event) -> None:
        candidate = self.cast[event.whom]
        match event.trouble:
            case Trouble.FREEZE:
                self.stage.server.freeze()
                await passes(event.lasts)
                self.stage.server.thaw()
            case Trouble.CUT_OFF:
                candidate.line.is_cut = True
                await passes(event.lasts)
                candidate.line.is_cut = candidate is not self.cast[event.whom]
            case Trouble.SLOW:
                candidate.line.trip = self._slow
                await passes(event.lasts)
                candidate.line.trip = self._quick
            case Trouble.UNCLEAR:
                candidate.line.trip = self._unclear
                await passes(event.lasts)
                candidate.line.trip = self._quick
            case Trouble.SIGTERM:
                self.cast[event.whom] = self._newcomer()
                await candidate.stop()
            case Trouble.SIGKILL:
                self.cast[event.whom] = self._newcomer()
                candidate.kill()
            case Trouble.DELETE:
                self.stage.server.delete_lease()
            case Trouble.HAND_OVER:
                self._patch({"spec": {"holderIdentity": candidate.name}})
            case Trouble.EMPTY:
                self._patch({"spec": {"holderIdentity": ""}})
            case Trouble.LABEL:
                self._patch({"metadata": {"labels": {"a": "b"}}})

    def _patch(self, patch: Mapping[str, Any]) -> None:
        with contextlib.suppress(NotFound):
            self.stage.server.patch_lease(patch)

    def _newcomer(self) -> Candidate:
        newcomer = self.stage.enter(
            f"candidate-{next(self._numbers)}",
            # As long as it may take; beyond that only the Secrets' resourceVersions help.
            ending=self._up_to((LEASE_DURATION - RENEW_DEADLINE) * 0.99),
            clock_offset=self._random.uniform(-1e6, 1e6),
            wall_clock_offset=self._up_to(timedelta(days=3)),
        )
        newcomer.line.trip = self._quick
        return newcomer

    def _quick(self) -> Trip:
        return Trip(there=self._up_to(SECOND / 5), back=self._up_to(SECOND / 5))

    def _slow(self) -> Trip:
        return Trip(there=self._up_to(SECOND * 20), back=self._up_to(SECOND * 4))

    def _unclear(self) -> Trip:
        return replace(self._slow(), fate=self._random.choice(tuple(Fate)))

    def _up_to(self, most: timedelta) -> timedelta:
        return most * self._random.random()


def plays_well(seed: int, happens: list[Event]) -> None:
    """Never two at work, and one at work when all is well again."""

    async def scene() -> None:
        played = Play(seed)
        await played.run(happens)
        # The last trouble may have cost the Lease twice over.
        await passes(4 * LEASE_DURATION)
        assert played.stage.overlaps == []
        assert len(played.stage.working) == 1
        assert [each.elector.is_leading for each in played.cast].count(True) == 1

    play(scene())


@walks(5, 40)
@given(st.integers(0, 2**16), events(FAULTS + RESTARTS))
def test_never_two_work_at_once_through_faults_and_restarts(seed: int, happens: list[Event]) -> None:
    plays_well(seed, happens)


@walks(5, 40)
@given(st.integers(0, 2**16), events(FAULTS + BY_HAND))
def test_never_two_work_at_once_through_faults_and_alterations_by_hand(seed: int, happens: list[Event]) -> None:
    plays_well(seed, happens)
