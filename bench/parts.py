"""`python -m bench.parts`: what the operator keeps of a Datasource, by its parts, in one process and without a cluster.

The objects are those of the other benches, as watches deliver them. They go through the real cache, kopf's memory and the
observer. What is measured: what Python allocates for each part, the peak of a process that holds PARTS_OBJECTS (100000) of
them, and the CPU to observe one. It is no operator at work: requests, lists in flight and workers come on top (`python -m
bench scale`).
"""

import asyncio
import contextlib
import gc
import os
import random
import resource
import time
import tracemalloc
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from bench.objects import Maker
from datasource.api.names import FIELD_MANAGER
from datasource.api.objects import Datasource, Metadata
from datasource.outbound.egress import EgressPolicy
from datasource.process.settings import Settings
from datasource.providers.transport import Transport
from datasource_operator import trimming
from datasource_operator.cache import _CREDENTIALS, _TOKEN_SECRETS, Key
from datasource_operator.controller import Controller
from datasource_operator.kopf_storage import NoMemories
from datasource_operator.program import GC_THRESHOLDS
from datasource_operator.trimming import trimmed
from deploy.local.progress import say
from tests.support.kube_in_memory import KubeInMemory

TRACED = 2_000
"""Objects of which Python's allocations are counted, which is slow."""

_IN_A_NAMESPACE = 2_500
_MAKER = Maker("https://provider.example.com", "https://connect.example.com")
_NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Shown:
    """What watches show of one Datasource, as JSON."""

    key: Key
    uid: str
    datasource: bytes
    credential: bytes
    token_secret: bytes


def shown(number: int) -> Shown:
    """One settled Datasource with its credential and token Secret."""
    namespace, name, uid = f"bench-{number // _IN_A_NAMESPACE}", f"datasource-{number}", str(uuid.uuid4())
    raw = _MAKER.datasource(namespace, name)
    raw["metadata"] |= {"uid": uid, "resourceVersion": str(10**7 + number), "generation": 1}
    bare = msgspec.convert(raw, Datasource)
    facts, data = _MAKER.credential(bare, _NOW, timedelta(seconds=number % 1800))
    raw["status"] = _MAKER.status(bare, facts, _NOW)["status"]
    credential = _metadata(_MAKER.credential_secret(bare, facts, data), number)
    token_secret = _metadata(_MAKER.token_secret(bare, facts, data), number)
    return Shown(Key(namespace, name), uid, msgspec.json.encode(raw), credential, token_secret)


def _metadata(manifest: dict[str, Any], number: int) -> bytes:
    """The metadata of a Secret that was made so, as a watch has them."""
    metadata = manifest["metadata"]
    fields = {
        "f:data": {f"f:{key}": {} for key in manifest["data"]},
        "f:metadata": {"f:annotations": {f"f:{key}": {} for key in metadata["annotations"]}},
    }
    managed = [{"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": fields}]
    known = {"uid": str(uuid.uuid4()), "resourceVersion": str(2 * 10**7 + number), "managedFields": managed}
    return msgspec.json.encode(metadata | known)


@dataclass(slots=True)
class Process:
    """What of an operator keeps something of each Datasource."""

    controller: Controller = field(init=False)
    memories: NoMemories = field(default_factory=NoMemories)

    def __post_init__(self) -> None:
        settings = Settings("https://connect.example.com", "datasource-system")
        self.controller = Controller(KubeInMemory(), Transport(EgressPolicy()), settings)
        # No provider is looked at.
        self.controller._steps.observer.reach = lambda _, __: None

    def datasource(self, each: Shown) -> None:
        """Its watch shows it."""
        self.controller.cache.store_datasource(trimmed(msgspec.json.decode(each.datasource, type=Datasource)))

    def secret(self, metadata: bytes) -> None:
        """Another one shows a Secret of it."""
        self.controller.cache.store_secret(msgspec.json.decode(metadata, type=Metadata))

    def kopf(self, each: Shown) -> None:
        """What kopf does at its event."""
        with contextlib.suppress(StopIteration):
            self.memories.recall({"metadata": {"uid": each.uid}}).send(None)

    def looked_at(self, each: Shown) -> None:
        """It is observed, and comes again when it is due."""
        self.controller._steps.observer.observe(each.key)
        self.controller._look_later(self.controller.cache.own(each.key), timedelta(minutes=10))

    def all_of(self, each: Shown) -> None:
        """Everything."""
        self.datasource(each)
        self.secret(each.credential)
        self.secret(each.token_secret)
        self.kopf(each)
        self.looked_at(each)


def bytes_by_part() -> dict[str, float]:
    """What Python allocates for each part of a Datasource."""
    process, each_shown = Process(), [shown(number) for number in range(2 * TRACED)]
    parts: dict[str, Callable[[Shown], None]] = {
        "the Datasource": process.datasource,
        "its credential": lambda each: process.secret(each.credential),
        "its token Secret": lambda each: process.secret(each.token_secret),
        "what kopf remembers": process.kopf,
        "a place in the queue, and when it was seen": process.looked_at,
    }
    taken = {}
    for keep in parts.values():
        for each in each_shown[:TRACED]:
            # What many share is there by then.
            keep(each)
    for name, keep in parts.items():
        gc.collect()
        tracemalloc.start()
        for each in each_shown[TRACED:]:
            keep(each)
        for packing in (_CREDENTIALS, _TOKEN_SECRETS, trimming._PACKING):
            # Few, whatever the number of Datasources.
            packing.recent.cache_clear()
        gc.collect()
        taken[name] = tracemalloc.get_traced_memory()[0] / TRACED
        tracemalloc.stop()
    return taken


def main() -> None:
    """Measure, and print it."""
    asyncio.run(measure())


async def measure() -> None:
    """In an event loop: kopf asks for one."""
    gc.set_threshold(*GC_THRESHOLDS)
    count = int(os.environ.get("PARTS_OBJECTS", "100000"))
    empty = Process()
    empty.all_of(shown(0))
    gc.collect()
    before = _peak_mib()
    process = Process()
    began = time.process_time()
    making = 0.0
    for number in range(count):
        made_at = time.process_time()
        each = shown(number)
        making += time.process_time() - made_at
        process.all_of(each)
    kept = time.process_time() - began - making
    after = _peak_mib()
    say(
        f"{count} Datasources: peak {after:.0f} MiB, {before:.0f} before; {(after - before) * 1024 / count:.2f} KiB each"
    )
    say(f"CPU to keep one: {1e6 * kept / count:.0f} us")
    keys = [Key(f"bench-{number // _IN_A_NAMESPACE}", f"datasource-{number}") for number in range(count)]
    random.shuffle(keys)
    observe = process.controller._steps.observer.observe
    for name, again in (
        ("each once", keys[:20_000]),
        ("four times in a row", [key for key in keys[:5_000] for _ in range(4)]),
    ):
        began = time.process_time()
        for key in again:
            observe(key)
        say(f"CPU to observe, {name}: {1e6 * (time.process_time() - began) / len(again):.1f} us")
    began = time.process_time()
    pairs = sum(1 for _ in process.controller.cache.pairs())
    say(f"CPU to look at all for metrics: {1e6 * (time.process_time() - began) / pairs:.1f} us each")
    began = time.process_time()
    gc.collect()
    say(f"a full collection: {1000 * (time.process_time() - began):.0f} ms")
    del process
    for name, each_bytes in bytes_by_part().items():
        say(f"{name}: {each_bytes:.0f} bytes")


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
