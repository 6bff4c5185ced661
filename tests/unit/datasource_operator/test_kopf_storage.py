"""kopf keeps nothing of us in users' objects, and compares nothing: with the real kopf around it."""

import asyncio
from copy import deepcopy
from typing import Any, cast

import kopf
import pytest
from kopf._cogs.structs.bodies import RawBody
from kopf._cogs.structs.ephemera import AnyMemo
from kopf._cogs.structs.ids import HandlerId
from kopf._cogs.structs.references import Resource
from kopf._core.engines.indexing import OperatorIndexers
from kopf._core.reactor.processing import process_resource_event

from datasource_operator.handlers import configure
from datasource_operator.kopf_storage import NoDiffBase, NoMemories, NoProgress
from tests.support.builders import raw_spec

RAW: dict[str, Any] = {
    "metadata": {"name": "calendar", "namespace": "shop", "annotations": {"kopf.zalando.org/x": "{}", "a": "b"}},
    "spec": raw_spec(),
    "status": {"kopf": {"progress": {"h": {"retries": 3}}}, "state": "AUTHORIZED"},
}


def body() -> kopf.Body:
    return kopf.Body(cast(RawBody, deepcopy(RAW)))


def test_nothing_is_compared_whatever_the_object_says() -> None:
    storage = NoDiffBase()
    assert storage.build(body=body()) == {}
    assert storage.build(body=body(), extra_fields=[("spec", "url")]) == {}
    assert storage.fetch(body=body()) is None, "so kopf never finds a difference to handle"


def test_nothing_is_written_to_an_object_of_a_user() -> None:
    patch, seen = kopf.Patch(), body()
    NoDiffBase().store(body=seen, patch=patch, essence=kopf.BodyEssence({"spec": {}}))
    progress = NoProgress()
    progress.store(key="handler", record={"retries": 1}, body=seen, patch=patch)
    progress.touch(body=seen, patch=patch, value="now")
    progress.purge(key="handler", body=seen, patch=patch)
    assert dict(patch) == {}
    assert dict(seen) == RAW


def test_no_handler_is_believed_to_have_come_far() -> None:
    """Whoever writes a progress into a status by hand stops no handler with it."""
    storage: kopf.ProgressStorage = NoProgress()
    assert storage.fetch(key=HandlerId("handler"), body=body()) is None


def test_essence_goes_through_as_it_is() -> None:
    essence = kopf.BodyEssence({"spec": {"url": "https://api.example.com"}})
    assert NoProgress().clear(essence=essence) == essence


@pytest.mark.parametrize(("ours", "base"), [(NoDiffBase, kopf.DiffBaseStorage), (NoProgress, kopf.ProgressStorage)])
def test_every_method_that_kopf_asks_for_is_there(ours: type, base: type) -> None:
    assert issubclass(ours, base)
    assert not ours.__abstractmethods__  # type: ignore[attr-defined]


async def test_nothing_is_remembered_of_an_object_between_two_events() -> None:
    """kopf makes its memory of each object for daemons and indices, of which we have none."""
    memories = NoMemories()
    first = await memories.recall(cast(RawBody, RAW | {"metadata": {"uid": "1"}}), noticed_by_listing=True)
    again = await memories.recall(cast(RawBody, RAW | {"metadata": {"uid": "1"}}))
    assert first is not again
    assert first.memo is not again.memo
    assert (first.noticed_by_listing, again.noticed_by_listing) == (True, False)
    assert list(memories.iter_all_memories()) == []
    await memories.forget(cast(RawBody, RAW))


async def test_event_goes_through_the_real_kopf_without_a_memory_of_it() -> None:
    registry, heard, memories = kopf.OperatorRegistry(), [], NoMemories()

    @kopf.on.event("datasource.dev", "v1alpha1", "datasources", registry=registry)
    async def handle(event: kopf.RawEvent, **_: Any) -> None:
        heard.append(event["type"])

    settings = kopf.OperatorSettings()
    configure(settings)
    resource = Resource("datasource.dev", "v1alpha1", "datasources", namespaced=True)
    for kind in (None, "ADDED", "MODIFIED", "DELETED"):
        await process_resource_event(
            lifecycle=kopf.lifecycles.all_at_once,
            indexers=OperatorIndexers(),
            registry=registry,
            settings=settings,
            memories=memories,
            memobase=AnyMemo(kopf.Memo()),
            resource=resource,
            raw_event=cast(Any, {"type": kind, "object": deepcopy(RAW)}),
            event_queue=asyncio.Queue(),
        )
    assert heard == [None, "ADDED", "MODIFIED", "DELETED"]
    assert list(memories.iter_all_memories()) == []
