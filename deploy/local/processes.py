"""Child processes that leave nothing behind: a log file each, a process group each, ended with their parent."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

_TETHER = Path(__file__).with_name("tether.py")

# Below the range from which Linux takes ports for outgoing connections. So a component that was stopped for a while
# finds its port still free.
_PORTS = range(20_000, 32_000)

TAIL_LINES = 20


class StackError(Exception):
    """The local stack cannot go on; the text says why and, where there is one, the remedy."""


class StartFailed(StackError):
    """A component did not come up; the text ends with the last lines of its log."""


class Child:
    """One child process. It is killed when the thread that started it ends, so start it from one that lasts."""

    def __init__(
        self, name: str, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        self._command = [str(part) for part in command]
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while the child runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs and before it was started."""
        return self._process.poll() if self._process is not None else None

    def start(self) -> None:
        """Start it; its output is added to the log."""
        if self.pid is not None:
            raise StackError(f"{self.name} runs already.")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*tether("alone"), *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                start_new_session=True,
            )

    def stop(self, *, grace: float = 10.0) -> None:
        """End it: SIGTERM, and SIGKILL after `grace` seconds. No error if it does not run."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # a frozen process sees SIGTERM only once it is thawed
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace)
        self.kill()

    def kill(self) -> None:
        """End it at once, with everything in its process group."""
        if self._process is None or self._process.poll() is not None:
            # Its process id may be somebody else's by now.
            return
        self._signal(signal.SIGKILL)
        self._process.wait()

    def freeze(self) -> None:
        """Stop its clock: sockets stay open, nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        self._signal(signal.SIGCONT)

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines of the log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def wait_until_ready(self, is_ready: Callable[[], bool], *, seconds: float) -> None:
        """Wait until `is_ready` says so.

        Raises:
            StartFailed: it ended, or was not ready in time.
        """
        deadline = time.monotonic() + seconds
        while not is_ready():
            if self.exit_code is not None:
                raise StartFailed(f"{self.name} ended with code {self.exit_code}.\n{self._described_tail()}")
            if time.monotonic() > deadline:
                raise StartFailed(f"{self.name} was not ready after {seconds:.0f} s.\n{self._described_tail()}")
            time.sleep(0.05)

    def _described_tail(self) -> str:
        return f"The last {TAIL_LINES} lines of {self.log}:\n{self.tail()}"

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise StackError(f"{self.name} was not started.")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def tether(extent: Literal["alone", "all"]) -> list[str]:
    """What a command line begins with so that the command ends when the thread that starts it does.

    With `all`, everything that it started ends, too, also on SIGTERM. It must be started in a process group of its own.
    """
    return [sys.executable, "-I", "-S", str(_TETHER), extent, str(os.getpid())]


def free_ports(count: int) -> list[int]:
    """Different TCP ports of 127.0.0.1 that nobody listens on now."""
    ports: list[int] = []
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        if is_free(port):
            ports.append(port)
        if len(ports) == count:
            return ports
    raise StackError(f"No {count} free ports between {_PORTS.start} and {_PORTS.stop}.")


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        # As Go's and Node's servers do: a port in TIME_WAIT is free, one that is listened on is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
