"""What both processes count, and that nobody can make the labels grow."""

import pytest
from prometheus_client import REGISTRY

from datasource.process.metrics import OTHER, BoundedLabel, provider_timed, show_build


def answered(host: str, outcome: str = "answered") -> float:
    labels = {"host": host, "outcome": outcome}
    return REGISTRY.get_sample_value("datasource_provider_request_duration_seconds_count", labels) or 0.0


def test_hosts_beyond_the_limit_are_counted_as_one() -> None:
    hosts = BoundedLabel(limit=2)
    assert [hosts.admit(each) for each in ("a", "b", "c", "a", "d")] == ["a", "b", OTHER, "a", OTHER]


def test_answer_is_counted_for_its_host() -> None:
    before = answered("one.example.com")
    with provider_timed("one.example.com", BoundedLabel(1)):
        pass
    assert answered("one.example.com") == before + 1


def test_host_that_never_answered_takes_no_place() -> None:
    hosts, before = BoundedLabel(1), answered(OTHER, "failed")
    with pytest.raises(OSError, match="refused"), provider_timed("made-up.example.com", hosts):
        raise OSError("refused")
    assert answered(OTHER, "failed") == before + 1
    assert hosts.admit("real.example.com") == "real.example.com"


def test_failure_of_a_host_that_answered_before_is_its_own() -> None:
    hosts, before = BoundedLabel(1), answered("two.example.com", "failed")
    hosts.admit("two.example.com")
    with pytest.raises(OSError, match="cut"), provider_timed("two.example.com", hosts):
        raise OSError("cut")
    assert answered("two.example.com", "failed") == before + 1


def test_request_without_a_host_is_counted_all_the_same() -> None:
    before = answered(OTHER, "failed")
    with pytest.raises(ValueError, match="no host"), provider_timed(None, BoundedLabel(1)):
        raise ValueError("no host")
    assert answered(OTHER, "failed") == before + 1


def test_build_tells_component_and_version() -> None:
    show_build("tried")
    versions = [
        sample.labels["version"]
        for family in REGISTRY.collect()
        if family.name == "datasource_build_info"
        for sample in family.samples
        if sample.labels["component"] == "tried"
    ]
    assert len(versions) == 1
    assert versions[0][0].isdigit()
