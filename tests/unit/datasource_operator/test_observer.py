"""What is observed of a Datasource, from an API server in memory."""

import gc
import tracemalloc
from types import FrameType, TracebackType
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from datasource.api.spec import SpecProblem
from datasource_operator.cache import Key
from datasource_operator.observer import (
    PARSED_GROWTH,
    PARSED_SPECS_PER_NAMESPACE,
    SMALLEST_PARSED,
    DatasourceGone,
    Observer,
)
from tests.support.builders import NAMESPACE, credential_metadata, datasource, raw_spec, token_secret_metadata
from tests.support.kube_in_memory import KubeInMemory
from tests.support.reachable import reachable
from tests.unit.datasource_operator.working_steps import KEY, steps_on


@pytest.mark.parametrize(
    "unusable",
    [
        pytest.param({"url": 3}, id="the schema does not fit"),
        pytest.param(
            {"url": "https://api.example.com", "oauth2": {"scopes": "x"}}, id="the schema does not fit within"
        ),
        pytest.param(raw_spec(tokenURL="http://["), id="a value cannot be used"),
    ],
)
def test_spec_that_cannot_be_used_is_kept_without_the_frames_that_it_came_through(unusable: dict[str, Any]) -> None:
    observer = steps_on(KubeInMemory()).observer
    observer.cache.store_datasource(replace(datasource(resource_version="9"), spec=unusable))
    seen = observer.observe(KEY)
    assert isinstance(seen.spec, SpecProblem)
    assert not any(isinstance(each, TracebackType | FrameType) for each in reachable(seen.spec))


def test_nothing_is_observed_of_a_datasource_that_is_gone() -> None:
    observer = steps_on(KubeInMemory()).observer
    observer.cache.drop_datasource(KEY)
    with pytest.raises(DatasourceGone):
        observer.observe(KEY)


SHAPES = {
    "usual": raw_spec(scopes=["read", "write"]),
    "many short scopes": raw_spec(scopes=[f"{number:x}x" for number in range(1000)]),
    "a few long scopes": raw_spec(scopes=["x" * 1000 + str(number) for number in range(90)]),
    "many keys": raw_spec(token_secret={"template": {"data": {f"k{number}": f"v{number}" for number in range(1000)}}}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_parsed_spec_takes_no_more_than_it_is_counted_for(shape: str) -> None:
    observer, packed = steps_on(KubeInMemory()).observer, msgspec.json.encode(SHAPES[shape])
    observer._newly_parsed(packed)
    gc.collect()
    tracemalloc.start()
    try:
        kept = [observer._newly_parsed(packed) for _ in range(20)]
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] / len(kept)
    finally:
        tracemalloc.stop()
    assert taken < SMALLEST_PARSED + PARSED_GROWTH * len(packed)


def test_specs_of_one_namespace_push_out_nobody_elses() -> None:
    observer = steps_on(KubeInMemory()).observer
    victim, first = Key("victim", "db"), Key("attacker", "x0")
    observer.cache.store_datasource(datasource(namespace="victim", name="db"))
    parsed = observer.observe(victim).spec
    for number in range(40):
        huge = raw_spec(scopes=[f"{'x' * 900}{number}-{each}" for each in range(60)])
        observer.cache.store_datasource(replace(datasource(namespace="attacker", name=f"x{number}"), spec=huge))
        spec = observer.observe(Key("attacker", f"x{number}")).spec
        assert observer.observe(Key("attacker", f"x{number}")).spec is spec
    assert observer.observe(victim).spec is parsed
    assert observer._parsed_specs.held_in("attacker") <= PARSED_SPECS_PER_NAMESPACE
    assert observer.observe(first).spec == observer.observe(first).spec


def trading(observer: Observer, names: dict[str, tuple[str, str]]) -> None:
    """Authorized Datasources by name: which token Secret each has, and which one it is to have."""
    for name, (has, wants) in names.items():
        spec = raw_spec(token_secret={"name": wants})
        observer.cache.store_datasource(replace(datasource(name=name), spec=spec))
        observer.cache.store_secret(credential_metadata(name=name))
        observer.cache.store_secret(token_secret_metadata(has, datasource=name))


@pytest.mark.parametrize(
    ("names", "in_ring"),
    [
        ({"a": ("s1", "s2"), "b": ("s2", "s1")}, {"a", "b"}),
        ({"a": ("s1", "s2"), "b": ("s2", "s3"), "c": ("s3", "s1")}, {"a", "b", "c"}),
        ({"a": ("s1", "s2"), "b": ("s2", "s2")}, set()),
        ({"a": ("s1", "s2"), "b": ("s2", "free")}, set()),
        ({"a": ("s1", "nobodys")}, set()),
    ],
)
def test_datasources_that_want_each_others_token_secret_are_seen(
    names: dict[str, tuple[str, str]], in_ring: set[str]
) -> None:
    observer = steps_on(KubeInMemory()).observer
    trading(observer, names)
    assert {name for name in names if observer.observe(Key(NAMESPACE, name)).stands_in_ring} == in_ring


def test_whoever_waits_for_the_secret_of_a_datasource_that_is_gone_gives_up_nothing() -> None:
    observer = steps_on(KubeInMemory()).observer
    trading(observer, {"a": ("s1", "s2"), "b": ("s2", "s1")})
    observer.cache.drop_datasource(Key(NAMESPACE, "b"))
    assert not observer.observe(Key(NAMESPACE, "a")).stands_in_ring
