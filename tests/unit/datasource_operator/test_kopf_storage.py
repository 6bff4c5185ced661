"""kopf keeps nothing of us in users' objects, and compares nothing: with the real kopf around it."""

from copy import deepcopy
from typing import Any, cast

import kopf
import pytest
from kopf._cogs.structs.bodies import RawBody
from kopf._cogs.structs.ids import HandlerId

from datasource_operator.kopf_storage import NoDiffBase, NoProgress
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
