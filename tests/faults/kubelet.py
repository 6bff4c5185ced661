"""What kubelet does for a container: start it again whenever it ends. With a bound, so that a crash loop is a failure."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

from deploy.local.processes import StartFailed
from deploy.local.stack import Process

PATIENCE = 60.0
"""Seconds until a wait gives up: a bound against hanging, not a measure of anything."""

_POLL = 0.05


class CrashLoop(AssertionError):
    """A process ended by itself more often than a test allows."""


class Kubelet:
    """Keeps a process running while it is entered, from a thread of its own."""

    def __init__(self, process: Process, *, most: int, before_start: Callable[[], None] = lambda: None) -> None:
        self.process = process
        self.exit_codes: list[int] = []
        """How it ended each time that it ended by itself: at most `most` times."""
        self._most = most
        self._before_start = before_start
        self._wanted = threading.Event()
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"kubelet of {process.child.name}", daemon=True)

    def __enter__(self) -> Self:
        self._wanted.set()
        self._thread.start()
        try:
            self.wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def kill(self) -> None:
        """SIGKILL, at once; it is started again."""
        # Not ready before it is dead: whoever waits then, waits for the next one.
        self._ready.clear()
        pid = self.process.child.pid
        if pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    @contextmanager
    def down(self) -> Iterator[None]:
        """Killed, and not started again before the end of the block."""
        self._wanted.clear()
        self.kill()
        self._wait("ended", lambda: self.process.child.pid is None)
        try:
            yield
        finally:
            self._wanted.set()
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Until the process runs and is ready.

        Raises:
            CrashLoop: it ended too often.
        """
        self._wait("ready", self._ready.is_set)

    def _wait(self, what: str, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            if self._failure is not None:
                raise self._failure
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.process.child.name} is not {what} after {PATIENCE:.0f} s")
            time.sleep(_POLL)

    def _run(self) -> None:
        # The life of a child is bound to the thread that starts it: this one.
        try:
            while not self._stopping.is_set():
                self._look()
                time.sleep(_POLL)
        except BaseException as error:
            self._failure = error
        finally:
            self.process.stop()

    def _look(self) -> None:
        child = self.process.child
        if child.pid is not None or not self._wanted.is_set():
            return
        self._ready.clear()
        if child.exit_code not in {None, -signal.SIGKILL}:
            self._count(child.exit_code)
        self._before_start()
        with suppress(StartFailed):
            self.process.start()
            self._ready.set()

    def _count(self, exit_code: int | None) -> None:
        self.exit_codes.append(exit_code or 0)
        if len(self.exit_codes) > self._most:
            child = self.process.child
            raise CrashLoop(f"{child.name} ended {len(self.exit_codes)} times: {self.exit_codes}\n{child.tail()}")
