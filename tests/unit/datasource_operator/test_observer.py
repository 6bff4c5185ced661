"""What is observed of a Datasource, from an API server in memory."""

from types import FrameType, TracebackType
from typing import Any

import pytest
from msgspec.structs import replace

from datasource.api.spec import InvalidSpec
from datasource_operator.observer import DatasourceGone
from tests.support.builders import datasource, raw_spec
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
    assert isinstance(seen.spec, InvalidSpec)
    assert not any(isinstance(each, TracebackType | FrameType) for each in reachable(seen.spec))


def test_nothing_is_observed_of_a_datasource_that_is_gone() -> None:
    observer = steps_on(KubeInMemory()).observer
    observer.cache.drop_datasource(KEY)
    with pytest.raises(DatasourceGone):
        observer.observe(KEY)
