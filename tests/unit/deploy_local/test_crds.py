"""When a CRD can be used: a new one has conditions that are null, and is waited for."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from deploy.local.cluster import Cluster
from deploy.local.crds import is_established, wait_until_established
from deploy.local.processes import StackError


def crd(*conditions: tuple[str, str]) -> dict[str, Any]:
    return {"status": {"conditions": [{"type": kind, "status": status} for kind, status in conditions]}}


NULL = {"status": {"conditions": None}}
NOT_YET = crd(("NamesAccepted", "True"), ("Established", "False"))
SERVED = crd(("NamesAccepted", "True"), ("Established", "True"))


def cluster(**answers: list[dict[str, Any]]) -> Cluster:
    """One that answers of each CRD what stands in its list, in this order; the last answer stays."""

    def get(kind: str, name: str) -> dict[str, Any]:
        assert kind == "crd"
        left = answers[name]
        return left.pop(0) if len(left) > 1 else left[0]

    return cast(Cluster, SimpleNamespace(get=get))


@pytest.mark.parametrize(
    ("found", "expected"),
    [(SERVED, True), (NOT_YET, False), (crd(), False), (NULL, False), ({"status": {}}, False), ({}, False)],
)
def test_crd_is_served_by_its_condition_and_by_nothing_else(found: dict[str, Any], expected: bool) -> None:
    assert is_established(found) is expected


def test_crd_that_has_no_conditions_yet_is_waited_for() -> None:
    answers = [{}, NULL, NOT_YET, SERVED]
    wait_until_established(cluster(things=answers), "things")
    assert answers == [SERVED]


def test_each_of_several_crds_is_waited_for() -> None:
    first, second = [NULL, SERVED], [NULL, NOT_YET, SERVED]
    wait_until_established(cluster(first=first, second=second), "first", "second")
    assert (first, second) == ([SERVED], [SERVED])


def test_crd_that_is_never_served_is_an_error_with_its_conditions() -> None:
    with pytest.raises(StackError, match=r"The CRD things was not served within 0 s.*NamesAccepted"):
        wait_until_established(cluster(things=[NOT_YET]), "things", seconds=0)
