"""Pure: how near our process can come to the raw driver where both have the same cores, from the CPU of one object.

Where no core is idle, the cores are the limit. Then the rate is what they have, divided by the CPU of one object: that of
our process, of the API server, of etcd, of all.
"""

from collections.abc import Mapping
from dataclasses import dataclass

DRIVER = "bench"
"""The process of the bench: the raw driver, or who watches and plays the people beside ours."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of CPU: of the whole machine, and of each process that works beside ours."""

    machine: float
    by_process: Mapping[str, float]

    def __sub__(self, before: "Spent") -> "Spent":
        passed = {name: seconds - before.by_process[name] for name, seconds in self.by_process.items()}
        return Spent(self.machine - before.machine, passed)

    def __truediv__(self, objects: int) -> "Spent":
        shares = {name: seconds / objects for name, seconds in self.by_process.items()}
        return Spent(self.machine / objects, shares)


def attainable(raw: Spent, ours: Spent, process: float) -> float:
    """The ratio to the raw driver if all but our process and the bench cost what they cost beside the raw driver.

    Both are of one object; `process` are the seconds of CPU of our process for it.
    """
    more = process + ours.by_process[DRIVER] - raw.by_process[DRIVER]
    return raw.machine / (raw.machine + more)
