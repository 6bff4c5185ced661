"""What an installation will meet."""

from dataclasses import replace
from typing import Any

import pytest

from kubectl_datasource.checks import Check, Verdict
from kubectl_datasource.findings import Survey, Untold
from kubectl_datasource.preflight import examine_before
from kubectl_datasource.rights import ResourceAttributes, Review, ReviewSpec, ReviewStatus
from tests.unit.kubectl_datasource.builders import NOW
from tests.unit.kubectl_datasource.installed import SOUND


def right(verb: str, *, allowed: bool) -> Review:
    return Review(ReviewSpec("", ResourceAttributes(verb, "", "namespaces")), ReviewStatus(allowed=allowed))


FRESH = replace(
    SOUND,
    api_versions=(),
    groups=frozenset({"admissionregistration.k8s.io"}),
    may_install=(right("create", allowed=True),),
)


def check(name: str, **changes: Any) -> Check:
    (found,) = [each for each in examine_before(replace(FRESH, **changes)) if each.name == name]
    return found


def test_cluster_that_is_ready_for_it_passes_every_check() -> None:
    checks = examine_before(FRESH)
    assert {each.name: each.verdict for each in checks if each.verdict is not Verdict.OK} == {}
    assert len(checks) == 6


def test_nothing_that_could_not_be_asked_fails() -> None:
    asked = examine_before(Survey(NOW, "datasource-system", may_install=Untold("not asked")))
    assert {each.verdict for each in asked} == {Verdict.UNKNOWN}


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("Your rights", {"may_install": (right("create", allowed=False),)}, "missing: create namespaces"),
        ("Admission policies", {"groups": frozenset({"apps"})}, "does not serve"),
        ("Kubernetes version", {"kubernetes": "v1.28.0"}, "v1.28.0"),
    ],
)
def test_what_is_in_the_way_is_told(name: str, changes: dict[str, Any], says: str) -> None:
    found = check(name, **changes)
    assert found.verdict is Verdict.FAILED
    assert says in found.detail
    assert found.remedy


def test_an_installation_that_is_there_is_upgraded() -> None:
    assert "upgrades it" in check("Datasource API", api_versions=("v1alpha1",)).detail
