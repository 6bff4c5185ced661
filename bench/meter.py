"""What a process costs, from the kernel; what it asked for, from the API server's audit log."""

import os
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

import msgspec

from datasource.api.names import CREDENTIAL_SUFFIX, LINK_KEYS_SECRET, TOKEN_SUFFIX

_TICKS = os.sysconf("SC_CLK_TCK")
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
REVIEWS = frozenset({"selfsubjectaccessreviews"})
"""Asked by POST; they store nothing."""
NOT_OF_OBJECTS = frozenset({"leases", "events", "roles", "rolebindings"})
"""The election, Events, and rights, which are a few for each namespace."""
LINK_KEYS = "link keys"
"""The Secret that an installation makes once, when an operator leads for the first time: no Datasource's, and told apart."""


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used (proc_pid_stat(5), fields 14 and 15)."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / _TICKS


def busy_seconds() -> float:
    """Time that all cores of this machine have worked (proc_stat(5): the first line, without idle, iowait and guests)."""
    user, nice, system, _, _, irq, softirq, steal, *_ = Path("/proc/stat").read_text().split()[1:11]
    return sum(map(int, (user, nice, system, irq, softirq, steal))) / _TICKS


def resident_kib(pid: int) -> float:
    """Resident memory of a process (VmRSS), in KiB."""
    return _status(pid, "VmRSS")


def peak_kib(pid: int) -> float:
    """The most that its resident memory ever was (VmHWM), in KiB."""
    return _status(pid, "VmHWM")


def _status(pid: int, name: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return float(next(line.split()[1] for line in status.splitlines() if line.startswith(f"{name}:")))


@dataclass(slots=True)
class Busy:
    """Tells from CPU use alone when a busy process has finished."""

    pid: int
    quiet_for: float = 2.0
    """After so many seconds of (nearly) no CPU use it counts as finished."""
    _last_busy: float = field(default_factory=time.monotonic)
    _cpu: float = 0.0
    _at: float = field(default_factory=time.monotonic)

    def look(self) -> float | None:
        """To be asked every quarter of a second. Once it has finished: when (monotonic) it was last busy."""
        now, cpu = time.monotonic(), cpu_seconds(self.pid)
        if cpu - self._cpu > 0.1 * (now - self._at):
            self._last_busy = now
        self._cpu, self._at = cpu, now
        return self._last_busy if now - self._last_busy >= self.quiet_for else None


class _User(msgspec.Struct):
    username: str


class _Reference(msgspec.Struct, rename="camel"):
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


class _Answer(msgspec.Struct, frozen=True):
    code: int = 0


class _Event(msgspec.Struct, rename="camel"):
    verb: str
    user: _User
    request_uri: str = msgspec.field(name="requestURI")
    user_agent: str = ""
    object_ref: _Reference | None = None
    response_status: _Answer = _Answer()


@dataclass(frozen=True, slots=True)
class Call:
    """A kind of request, in the words of RBAC."""

    verb: str
    resource: str

    @property
    def is_write(self) -> bool:
        """Whether it changes something."""
        return self.verb in WRITES and self.resource not in REVIEWS

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


class Calls(Counter[Call]):
    """How often each kind of request was made."""

    def __init__(self) -> None:
        super().__init__()
        self.written: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        """By namespace and name of a Datasource: the writes to it and to its Secrets, each with the code of its answer."""

    def most_writes(self) -> int:
        """How many writes the Datasource took that took most."""
        return max(map(len, self.written.values()), default=0)

    def writes(self, *, besides: frozenset[str] = NOT_OF_OBJECTS) -> int:
        """How many writes, without those of some resources."""
        return sum(count for call, count in self.items() if call.is_write and call.resource not in besides)

    def events(self) -> int:
        """How many writes of Events."""
        return sum(count for call, count in self.items() if call.is_write and call.resource == "events")

    def told(self, objects: int) -> str:
        """Requests of each kind per object, for people."""
        shares = sorted((str(call), count / objects) for call, count in self.items() if call.resource != "leases")
        return ", ".join(f"{share:.2f} {call}" for call, share in shares if share >= 0.005)


@dataclass(slots=True)
class AuditLog:
    """Reads the audit log from where it stopped last; the log may be rotated meanwhile. Use it as a context manager."""

    path: Path
    _file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def skip(self) -> None:
        """Pass over everything up to now."""
        for _ in self._lines():
            pass

    def calls(self, user: str, *, agent: str = "", without_agent: str = "") -> Calls:
        """The requests of a user since the last look; dry runs count as reads.

        Args:
            user: its whole name.
            agent: how its User-Agent begins.
            without_agent: how that of others who use the same ServiceAccount begins.
        """
        calls = Calls()
        for line in self._lines():
            event = msgspec.json.decode(line, type=_Event)
            is_other = bool(without_agent) and event.user_agent.startswith(without_agent)
            if event.user.username == user and event.user_agent.startswith(agent) and not is_other:
                call = _call(event)
                calls[call] += 1
                if call.is_write and call.resource not in NOT_OF_OBJECTS | {LINK_KEYS}:
                    calls.written[_whose(event)].append(f"{call} {event.response_status.code}")
        return calls

    def _lines(self) -> list[bytes]:
        if self._file is None:
            self._file = self.path.open("rb")
        lines = self._whole_lines()
        if os.fstat(self._file.fileno()).st_ino != self.path.stat().st_ino:
            self._file.close()
            self._file = self.path.open("rb")
            lines += self._whole_lines()
        return lines

    def _whole_lines(self) -> list[bytes]:
        assert self._file is not None
        lines = self._file.readlines()
        if lines and not lines[-1].endswith(b"\n"):
            self._file.seek(-len(lines.pop()), os.SEEK_CUR)
        return lines


def _call(event: _Event) -> Call:
    reference = event.object_ref or _Reference()
    resource = reference.resource + (f"/{reference.subresource}" if reference.subresource else "")
    if (reference.resource, reference.name) == ("secrets", LINK_KEYS_SECRET):
        resource = LINK_KEYS
    verb = f"{event.verb} (dry run)" if "dryRun=" in event.request_uri else event.verb
    return Call(verb, resource)


def _whose(event: _Event) -> tuple[str, str]:
    """Namespace and name of the Datasource that a request was about."""
    reference = event.object_ref or _Reference()
    return reference.namespace, reference.name.removesuffix(CREDENTIAL_SUFFIX).removesuffix(TOKEN_SUFFIX)


def service_account(namespace: str, name: str) -> str:
    """The user name of a ServiceAccount."""
    return f"system:serviceaccount:{namespace}:{name}"
