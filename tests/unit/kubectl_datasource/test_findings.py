"""What can be read from what the survey found."""

from dataclasses import replace

import msgspec
import pytest

from kubectl_datasource.findings import (
    Survey,
    Untold,
    datasources_seen,
    external_url_of,
    served_namespaces,
    service_account,
    settings_of,
)
from kubectl_datasource.installation import Deployment
from tests.unit.kubectl_datasource.builders import NOW, datasource
from tests.unit.kubectl_datasource.installed import SOUND, URL, config, deployment


def test_settings_are_those_of_the_deployment_or_else_of_the_only_config_map() -> None:
    raw = msgspec.to_builtins(deployment("operator"))
    raw["spec"]["template"]["spec"]["containers"][0]["env"] = [
        {"name": "DATASOURCE_EXTERNAL_URL", "value": "https://own"}
    ]
    maps = config(EXTERNAL_URL=URL, NAMESPACES="shop, bank,")
    with_own = replace(SOUND, deployments=(msgspec.convert(raw, Deployment),), config_maps=maps)
    assert external_url_of(with_own) == "https://own"
    assert served_namespaces(with_own) == ("shop", "bank")
    assert external_url_of(replace(SOUND, deployments=(), config_maps=maps)) == URL


def test_redirect_uri_tells_the_external_url_to_whoever_may_not_read_settings() -> None:
    blind = replace(SOUND, config_maps=Untold("forbidden"), deployments=Untold("forbidden"))
    assert external_url_of(blind) == URL
    assert external_url_of(replace(blind, datasources=(datasource(),))) is None
    assert served_namespaces(blind) == ()


@pytest.mark.parametrize("component", ["operator", "callback-server"])
def test_service_account_is_that_of_the_deployment_or_else_the_usual_one(component: str) -> None:
    raw = msgspec.to_builtins(deployment(component))
    raw["spec"]["template"]["spec"]["serviceAccountName"] = "renamed"
    renamed = replace(SOUND, deployments=(deployment("another"), msgspec.convert(raw, Deployment)))
    assert service_account(renamed, component) == "renamed"
    for deployments in ((), (deployment("another"),), Untold("forbidden")):
        assert service_account(replace(SOUND, deployments=deployments), component) == f"datasource-{component}"


def test_nothing_is_read_from_what_was_not_told() -> None:
    nothing = Survey(NOW, "datasource-system")
    assert settings_of(nothing) == Untold("not asked")
    assert (external_url_of(nothing), served_namespaces(nothing), datasources_seen(nothing)) == (None, (), ())


def test_variable_of_a_deployment_wins_over_the_config_map_and_one_from_elsewhere_is_empty() -> None:
    """Those from a Secret or a field have no value that could be read here."""
    raw = msgspec.to_builtins(deployment("operator"))
    container = raw["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "DATASOURCE_NAMESPACES", "value": "own"}, {"name": "POD_NAME", "valueFrom": {}}]
    container["envFrom"] = [
        *container["envFrom"],
        {"secretRef": {"name": "s"}},
        {"configMapRef": {"name": "gone"}},
    ]
    found = replace(
        SOUND,
        deployments=(msgspec.convert(raw, Deployment),),
        config_maps=config(EXTERNAL_URL=URL, NAMESPACES="all-of-them"),
    )
    told = settings_of(found)
    assert not isinstance(told, Untold)
    assert (told["DATASOURCE_NAMESPACES"], told["POD_NAME"]) == ("own", "")
    assert told["DATASOURCE_EXTERNAL_URL"] == URL
