"""`python -m tests.faults.armed MODULE`: one of our processes, which ends itself with SIGKILL at a step that a test names.

The product has no such switch. What it calls at each step of its journal is given to it here, and so is what stands around
each write to the API server. ARMED names a file; while it is there, it says at which step to die, and at which time that this
step is taken. Whoever dies renames it first, so the next process is armed no more.

WINDOW names a file to which it adds how long a reply was in memory alone: from the last read of its connection to the rename of
its entry, in microseconds.
"""

import asyncio
import functools
import os
import runpy
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from datasource.api.names import CREDENTIAL_SUFFIX
from datasource.cluster.kube import Kube
from datasource.cluster.resources import SECRETS
from datasource.process import journal
from datasource.providers import wire

SPRUNG = ".sprung"
"""What the name of the file ends with once the process is dead."""

OF_THE_JOURNAL = tuple(
    f"{when} {call}" for call in ("open", "write", "rename", "unlink") for when in ("before", "after")
)
OF_THE_STORE = ("before store", "after store")
"""Of a credential Secret with tokens."""

OF_THE_INTENT = ("before intent", "after intent")
OF_A_RECORD = ("before record", "after record")
"""Writes to other Secrets: of the callback server, how a flow ended."""


@dataclass
class Points:
    """The steps of this process."""

    file: Path
    _armed: str = ""
    _met: int = 0

    def step(self, what: str) -> None:
        """A step is taken: the last one, if that is what the file says."""
        try:
            armed = self.file.read_text()
        except OSError:
            return
        if armed != self._armed:
            self._armed, self._met = armed, 0
        name, _, number = armed.partition("\n")
        self._met += name == what
        if name == what and self._met == int(number):
            self.file.rename(self.file.with_suffix(SPRUNG))
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Window:
    """How long replies are in memory alone."""

    file: Path
    _read_at: "WeakKeyDictionary[asyncio.Task[Any], int]" = field(default_factory=WeakKeyDictionary)

    def read(self) -> None:
        """A piece of a reply was read by the task that runs now."""
        task = asyncio.current_task()
        if task is not None:
            self._read_at[task] = time.perf_counter_ns()

    def step(self, what: str) -> None:
        """The entry has its name: what follows survives us."""
        task = asyncio.current_task()
        began = self._read_at.pop(task, None) if what == "after rename" and task is not None else None
        if began is not None:
            took = time.perf_counter_ns() - began
            with self.file.open("a") as told:
                told.write(f"{took / 1000:.0f}\n")


def _writes(resource: object, name: str, body: Mapping[str, Any]) -> str | None:
    """What kind of write it is; None for what is no Secret."""
    if resource != SECRETS:
        return None
    if not name.endswith(CREDENTIAL_SUFFIX):
        return "record"
    return "store" if body.get("data") else "intent"


Verb = Callable[..., Awaitable[Any]]


def _stepping(verb: Verb, step: Callable[[str], None], kind_of: Callable[..., str | None]) -> Verb:
    @functools.wraps(verb)
    async def stepping(*arguments: Any, **named: Any) -> Any:
        kind = None if named.get("dry_run") else kind_of(*arguments)
        if kind is None:
            return await verb(*arguments, **named)
        step(f"before {kind}")
        answer = await verb(*arguments, **named)
        step(f"after {kind}")
        return answer

    return stepping


def arm(points: Points, window: Window) -> None:
    """Put steps into this process."""

    def step(what: str) -> None:
        window.step(what)
        points.step(what)

    journal.open_journal = functools.partial(journal.open_journal, fault=step)
    patched = _stepping(
        Kube.merge_patch, step, lambda _, resource, __, name, patch, *___: _writes(resource, name, patch)
    )
    created = _stepping(
        Kube.create,
        step,
        lambda _, resource, __, body, *___: _writes(resource, body.get("metadata", {}).get("name", ""), body),
    )
    Kube.merge_patch, Kube.create = patched, created  # type: ignore[method-assign,assignment]
    read = wire.Wire.read

    def timed(counted: wire.Wire, piece: bytes) -> None:
        window.read()
        read(counted, piece)

    wire.Wire.read = timed  # type: ignore[method-assign,assignment]


def main() -> None:
    """Become the process."""
    arm(Points(Path(os.environ["ARMED"])), Window(Path(os.environ["WINDOW"])))
    module = sys.argv.pop(1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
