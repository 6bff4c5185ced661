"""What kubelet and the kernel do to a process of ours: it has a memory limit, is asked whether it lives, and is started again.

The limit needs no cgroup, which not every machine gives: twenty times a second the kernel is asked for the peak of the resident
memory (VmHWM), and a process whose peak was beyond its limit is killed with SIGKILL. The peak is the kernel's own, so what came
and went between two looks is seen, too. A cgroup counts a little more (page tables, sockets), and no pages of shared files.
"""

import os
import signal
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Self

from bench.meter import cpu_seconds
from deploy.local.processes import StartFailed
from deploy.local.stack import READY_WITHIN, Process

CLOCKS = ("wall", "cpu")
_STALL = "datasource_event_loop_stall_seconds"
_POLL = 0.05
_ASK_EVERY = 5.0
_PROBE_TIMEOUT = 10.0
_FAILURES = 3
"""As the liveness probes of deploy/: three in a row of up to 10 s, 20 s apart."""
_PROBE_EVERY = 20.0


class Pod:
    """Keeps a process running while it is entered. Its figures begin with `measure`."""

    def __init__(self, process: Process, *, limit_mib: int, ready_within: float = READY_WITHIN) -> None:
        self.process = process
        self.limit_mib = limit_mib
        self._ready_within = ready_within
        self.peak_mib = 0.0
        self.cpu_seconds = 0.0
        """Of the process that runs now, since it began."""
        self.longest_stall = dict.fromkeys(CLOCKS, 0.0)
        """Seconds; by clock."""
        self.ends: list[str] = []
        """Why it ended, each time."""
        self._killed_because = ""
        self._stopping = threading.Event()
        self._measures_from = float("inf")
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._run, self._ask)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        try:
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def measure(self, *, stalls_after: float) -> None:
        """From now on. The metric tells of stalls of up to a minute ago: what it says is read `stalls_after` seconds later."""
        self._measures_from = time.monotonic() + stalls_after
        self.ends.clear()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._ready_within
        while not self._answers("/readyz", 2.0):
            if time.monotonic() > deadline:
                raise StartFailed(f"{self.process.child.name} was not ready:\n{self.process.child.tail()}")
            time.sleep(_POLL)

    def _run(self) -> None:
        # The life of a child is bound to the thread that starts it: this one.
        child = self.process.child
        child.start()
        while not self._stopping.wait(_POLL):
            if child.pid is None:
                self.ends.append(self._killed_because or f"it ended with code {child.exit_code}")
                self._killed_because = ""
                child.start()
            self._look(child.pid)
        self.process.stop()

    def _look(self, pid: int | None) -> None:
        with suppress(OSError, StopIteration):
            self.cpu_seconds = cpu_seconds(pid or 0)
            status = Path(f"/proc/{pid}/status").read_text()
            peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024
            self.peak_mib = max(self.peak_mib, peak)
            if pid is not None and peak > self.limit_mib:
                self._kill(pid, f"it took {peak:.0f} MiB")

    def _ask(self) -> None:
        failures, probe_at = 0, time.monotonic() + READY_WITHIN
        while not self._stopping.wait(_ASK_EVERY):
            told = self._told()
            if time.monotonic() >= self._measures_from:
                for clock, seconds in told.items():
                    self.longest_stall[clock] = max(self.longest_stall[clock], seconds)
            if time.monotonic() < probe_at:
                continue
            probe_at = time.monotonic() + _PROBE_EVERY
            failures = 0 if self._answers("/healthz", _PROBE_TIMEOUT) else failures + 1
            if failures == _FAILURES and (pid := self.process.child.pid) is not None:
                failures = 0
                self._kill(pid, "its liveness probe failed")

    def _kill(self, pid: int, why: str) -> None:
        self._killed_because = why
        os.kill(pid, signal.SIGKILL)

    def _told(self) -> dict[str, float]:
        """The longest stall of late, by clock; nothing where it does not answer."""
        with suppress(OSError):
            url = f"http://127.0.0.1:{self.process.health_port}/metrics"
            with urllib.request.urlopen(url, timeout=_PROBE_TIMEOUT) as response:
                lines = [line.split() for line in response.read().decode().splitlines() if line.startswith(_STALL)]
            series = {f'{_STALL}{{clock="{clock}"}}': clock for clock in CLOCKS}
            return {series[name]: float(value) for name, value in lines}
        return {}

    def _answers(self, path: str, timeout: float) -> bool:
        try:
            url = f"http://127.0.0.1:{self.process.health_port}{path}"
            with urllib.request.urlopen(url, timeout=timeout) as response:
                return bool(response.status == 200)
        except OSError:
            return False
