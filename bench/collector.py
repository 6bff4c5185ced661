"""`python -m bench.collector`: how long Python's collector stops an operator that has many Datasources in its caches.

In one process and without a cluster, as `python -m bench.parts`: the caches are filled, then watches show Datasources again.
Each way is measured in a process of its own: as the product is, and with what was filled in put out of the collector's sight
(gc.freeze). COLLECTOR_OBJECTS (100000) bounds it.
"""

import asyncio
import gc
import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.parts import Process, Shown, shown
from datasource_operator.program import GC_THRESHOLDS
from deploy.local.progress import say

EVENTS = 100_000
"""Datasources that watches show again, each with its Secrets."""

WAYS: Mapping[str, Callable[[], None]] = {"as it is": lambda: None, "frozen": gc.freeze}


@dataclass
class Pauses:
    """CPU of each collection, by generation, in milliseconds: nothing else of the process goes on meanwhile."""

    seen: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    _began: float = 0.0

    def __call__(self, phase: str, info: Mapping[str, int]) -> None:
        """As gc calls it, before and after each collection."""
        if phase == "start":
            self._began = time.thread_time()
        else:
            self.seen[info["generation"]].append(1000 * (time.thread_time() - self._began))

    def __str__(self) -> str:
        told = [
            f"generation {generation}: {len(pauses)}, longest {max(pauses):.1f} ms, all {sum(pauses):.0f} ms"
            for generation, pauses in sorted(self.seen.items())
        ]
        return "; ".join(told) or "none"


@contextmanager
def watched(what: str) -> Iterator[None]:
    """Say which collections there were meanwhile."""
    pauses, began = Pauses(), time.process_time()
    gc.callbacks.append(pauses)
    try:
        yield
    finally:
        gc.callbacks.remove(pauses)
        say(f"  {what}: {time.process_time() - began:.1f} s of CPU; {pauses}")


def again(each: Shown, number: int) -> Shown:
    """The same, seen later."""
    version = f'"resourceVersion":"{10**9 + number}"'.encode()

    def later(content: bytes) -> bytes:
        head, _, rest = content.partition(b'"resourceVersion":"')
        return head + version + rest.partition(b'"')[2]

    return Shown(each.key, each.uid, later(each.datasource), later(each.credential), later(each.token_secret))


async def measure(way: str) -> None:
    """Fill, take the way, and go on."""
    gc.set_threshold(*GC_THRESHOLDS)
    count = int(os.environ.get("COLLECTOR_OBJECTS", "100000"))
    process = Process()
    chance = random.Random(1)  # noqa: S311 - the same each time
    with watched(f"{count} Datasources are filled in"):
        for number in range(count):
            process.all_of(shown(number))
    WAYS[way]()
    say(f"  the collector looks at {len(gc.get_objects())} objects, and at {gc.get_freeze_count()} no more")
    with watched(f"{EVENTS} are shown again"):
        for number in range(EVENTS):
            process.all_of(again(shown(chance.randrange(count)), number))
    with watched("a full collection"):
        gc.collect()


def main() -> None:
    """Each way in a process of its own."""
    for way in sys.argv[1:]:
        asyncio.run(measure(way))
        return
    for way in WAYS:
        say(way)
        subprocess.run([sys.executable, "-m", "bench.collector", way], check=True)  # noqa: S603


if __name__ == "__main__":
    main()
