"""What `doctor` says of providers: what the operator's pod found, from the statuses."""

from dataclasses import replace

from kubectl_datasource.checks import Check, Verdict
from kubectl_datasource.findings import Untold
from kubectl_datasource.objects import Datasource
from kubectl_datasource.reached import providers_are_reachable
from tests.unit.kubectl_datasource.builders import datasource
from tests.unit.kubectl_datasource.installed import SOUND


def reachable(status: str, message: str = "", name: str = "calendar") -> Datasource:
    condition = {"type": "ProviderReachable", "status": status, "reason": "X", "message": message}
    return datasource(name=name, conditions=[condition | {"lastTransitionTime": "2026-07-01T11:00:00Z"}])


def checks(*datasources: Datasource) -> list[Check]:
    return list(providers_are_reachable(replace(SOUND, datasources=datasources)))


def test_providers_that_are_reached_make_one_line() -> None:
    (found,) = checks(reachable("True"), reachable("True"), datasource())
    assert found.verdict is Verdict.OK
    assert found.detail == ("reached from the operator's pod for 2 Datasources; nothing is known against it for 1 more")


def test_what_is_in_the_way_of_many_is_said_once() -> None:
    first, second = checks(
        reachable("False", "it refuses", "a"), reachable("False", "it refuses", "b"), reachable("False", "no name", "c")
    )
    assert (first.verdict, first.detail) == (Verdict.WARNING, "shop/a and 1 more: it refuses")
    assert second.detail == "shop/c: no name"


def test_hundreds_of_providers_make_no_flood() -> None:
    found = checks(*(reachable("False", f"reason {each}", f"d-{each}") for each in range(300)))
    assert len(found) == 11
    assert found[-1].detail == "290 more are in the way of others"


def test_datasources_that_may_not_be_seen_say_nothing() -> None:
    (found,) = providers_are_reachable(replace(SOUND, datasources=Untold("forbidden")))
    assert (found.verdict, found.detail) == (Verdict.UNKNOWN, "forbidden")
