"""Processes that may be killed at any of their steps. Who is killed does nothing any more: whatever its code does on the way
out, no file and no request to the API server comes of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.kube_in_memory import Answer, Call, KubeInMemory


class Killed(BaseException):
    """SIGKILL."""


@dataclass
class Fate:
    """When a process is killed: at one of the steps that it takes, counted from 1, or by its name; 0: never."""

    at: int | str = 0
    behind: str = ""
    """Where it is named: only after a step of this name."""
    steps: list[str] = field(default_factory=list)

    @property
    def is_dead(self) -> bool:
        if isinstance(self.at, str):
            begun = self.steps.index(self.behind) if self.behind in self.steps else 0
            return (not self.behind or begun > 0) and self.at in self.steps[begun:]
        return 0 < self.at <= len(self.steps)

    def step(self, what: str) -> None:
        if self.is_dead:
            raise Killed
        self.steps.append(what)
        if self.is_dead:
            raise Killed


@dataclass
class MortalKube(KubeInMemory):
    """A connection of one process."""

    fate: Fate = field(default_factory=Fate)
    refuses: Callable[[Call], Exception | None] = lambda _: None
    written: Callable[[Call], None] = lambda _: None

    async def requested(self, call: Call, answer: Answer) -> Any:
        self.fate.step(f"before {call.verb}")
        self.failure = self.refuses(call)
        answered = await super().requested(call, answer)
        self.fate.step(f"after {call.verb}")
        self.written(call)
        return answered
