"""Processes in pods whose volume outlives them, that die by SIGKILL where a test wants it, and are started again."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from datasource.process.journal_file import is_whole
from deploy.local import tools
from deploy.local.stack import Process, Stack
from tests.faults.armed import SPRUNG
from tests.support.user import eventually

DIES_WITHIN = 30.0
"""Seconds until a wait for a death gives up: a bound against hanging."""

ARMED_STACK = ("-m", "tests.faults.armed")
"""How a Stack runs our modules with steps in them."""


def volume(folder: Path, pod: str) -> dict[str, str]:
    """A volume that outlives the containers of a pod, as an emptyDir does, and how a process is told of it."""
    made = folder / "volumes" / pod
    made.mkdir(parents=True)
    return {"DATASOURCE_JOURNAL": str(made)}


@dataclass(eq=False)
class Pod:
    """One container of one pod. Its volume is there as long as the pod is."""

    name: str
    folder: Path
    make: Callable[[str, Mapping[str, str]], Process]
    process: Process = field(init=False)

    def __post_init__(self) -> None:
        self.process = self.make(
            self.name,
            {
                "DATASOURCE_POD_UID": f"uid-of-{self.name}",
                **volume(self.folder, self.name),
                "ARMED": str(self._armed),
                "WINDOW": str(self.window),
            },
        )

    @property
    def volume(self) -> Path:
        """What DATASOURCE_JOURNAL names."""
        return self.folder / "volumes" / self.name

    @property
    def window(self) -> Path:
        """What its processes measured, microseconds a line."""
        return self.folder / f"{self.name}.window"

    @property
    def _armed(self) -> Path:
        return self.folder / f"{self.name}.armed"

    @property
    def entries(self) -> list[Path]:
        """The files that wait in its journal."""
        return sorted((self.volume / "journal").glob("*.entry"))

    @property
    def without_name(self) -> list[Path]:
        """Files that were written to their end, and have not yet the name of an entry."""
        return [each for each in sorted((self.volume / "journal").glob("*.tmp")) if is_whole(each.read_bytes())]

    @property
    def set_aside(self) -> list[Path]:
        """Those that nobody tries any more."""
        return sorted((self.volume / "journal").glob("*.aside"))

    @property
    def is_dead(self) -> bool:
        """Whether its process was ended by SIGKILL."""
        return self.process.child.exit_code == -signal.SIGKILL

    def arm(self, step: str, number: int = 1) -> None:
        """From now on its process dies when it takes that step for the number-th time."""
        whole = self._armed.with_suffix(".new")
        whole.write_text(f"{step}\n{number}")
        whole.rename(self._armed)

    @property
    def has_sprung(self) -> bool:
        """Whether it died there."""
        return self._armed.with_suffix(SPRUNG).exists()

    def disarm(self) -> None:
        """No step is the last one."""
        for path in (self._armed, self._armed.with_suffix(SPRUNG)):
            path.unlink(missing_ok=True)

    def wait_until_dead(self) -> None:
        """Until its process was ended by SIGKILL."""
        eventually(f"{self.name} is dead", lambda: self.is_dead, self.process.child.tail, seconds=DIES_WITHIN)

    def threads(self) -> list[int]:
        """Of its process."""
        pid = self.process.child.pid
        return [] if pid is None else [int(each) for each in os.listdir(f"/proc/{pid}/task")]


@dataclass(eq=False)
class Pods:
    """Makes pods of one kind, one after the other. Use it as a context manager: what runs at the end is ended."""

    kind: str
    folder: Path
    make: Callable[[str, Mapping[str, str]], Process]
    made: list[Pod] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def __enter__(self) -> "Pods":
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        for pod in self.made:
            pod.process.stop()

    def new(self) -> Pod:
        """A pod with an empty volume; nothing runs in it yet."""
        pod = Pod(f"{self.kind}-{next(self._numbers)}", self.folder, self.make)
        self.made.append(pod)
        return pod


def operators(stack: Stack, folder: Path) -> Pods:
    """Of the operator."""
    return Pods("mortal-operator", folder, lambda name, environ: stack.operator(name, **environ))


def callback_servers(stack: Stack, folder: Path) -> Pods:
    """Of the callback server, all at one address: one at a time."""
    return Pods("mortal-callback-server", folder, lambda name, environ: stack.callback_server(name, **environ))


@contextmanager
def traced(pod: Pod, log: Path, *, kill_at: int | None = None) -> Iterator[None]:
    """Have strace look at every system call, and kill the process at the one of that number, counted in each thread.

    SIGKILL comes before the call is carried out. What the calls carry is not written down: tokens are among it.
    """
    pid = pod.process.child.pid
    inject = [] if kill_at is None else ["-e", f"inject=all:signal=SIGKILL:when={kill_at}"]
    command = [str(tools.strace()), "-f", "-qq", "-p", str(pid), "-e", "trace=all", *inject, "-s", "0", "-o", str(log)]
    tracer = subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        eventually("strace looks", lambda: tracer.poll() is not None or _is_traced(pod))
        if tracer.poll() is not None and not pod.is_dead:
            raise AssertionError(f"strace cannot look at {pod.name}: {_said(tracer)}")
        yield
    finally:
        # SIGTERM: it lets go of whom it traces.
        tracer.terminate()
        with suppress(subprocess.TimeoutExpired):
            tracer.wait(10)
        tracer.kill()
        tracer.wait()
        if tracer.stderr is not None:
            tracer.stderr.close()


def system_calls(log: Path) -> list[str]:
    """Those of the thread that made the most, by name, in their order."""
    by_thread: dict[str, list[str]] = {}
    for line in log.read_text(errors="replace").splitlines():
        thread, _, rest = line.partition(" ")
        if "(" in rest and not rest.lstrip().startswith(("<...", "+++", "---")):
            by_thread.setdefault(thread, []).append(rest.strip().partition("(")[0])
    return max(by_thread.values(), key=len, default=[])


def _is_traced(pod: Pod) -> bool:
    pid = pod.process.child.pid
    threads = pod.threads()
    return bool(threads) and all(_tracer_of(Path(f"/proc/{pid}/task/{thread}/status")) for thread in threads)


def _tracer_of(status: Path) -> int:
    with suppress(OSError):
        for line in status.read_text().splitlines():
            if line.startswith("TracerPid:"):
                return int(line.split()[1])
    return 0


def _said(tracer: "subprocess.Popen[bytes]") -> str:
    return "" if tracer.stderr is None else tracer.stderr.read().decode(errors="replace").strip()
