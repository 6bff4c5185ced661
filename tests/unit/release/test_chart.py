"""The chart as it is published."""

from typing import Any

import pytest
import yaml

from deploy.local.cache import REPOSITORY
from release.changelog import Change
from release.chart import chart_yaml, install_yaml, values_yaml
from release.refusal import Refused
from release.settings import Settings

CHART = REPOSITORY / "deploy" / "chart"
CRD: dict[str, Any] = yaml.safe_load((REPOSITORY / "crds" / "datasource.yaml").read_text())
TOLD = Settings(
    repository="registry.example.com:5000/team/datasource-operator",
    source="https://example.com/x",
    download="https://example.com/x/v1",
    maintainer="Ada Lovelace <ada@example.com>",
)


def made(settings: Settings) -> dict[str, Any]:
    changes = [Change("added", 'A "quoted": thing')]
    found: dict[str, Any] = yaml.safe_load(chart_yaml((CHART / "Chart.yaml").read_text(), settings, changes, CRD))
    return found


def test_chart_tells_artifact_hub_what_it_asks_for() -> None:
    chart = made(TOLD)
    annotations = {key.partition("/")[2]: yaml.safe_load(each) for key, each in chart["annotations"].items()}
    assert annotations["changes"] == [{"kind": "added", "description": 'A "quoted": thing'}]
    assert annotations["crds"][0]["name"] == "datasources.datasource.dev"
    assert annotations["images"][0]["image"] == f"{TOLD.repository}:{chart['appVersion']}"
    assert annotations["license"] == "Apache-2.0"
    assert chart["maintainers"] == [{"name": "Ada Lovelace", "email": "ada@example.com"}]
    assert (chart["home"], chart["icon"]) == (TOLD.source, f"{TOLD.download}/icon.svg")


def test_what_nobody_told_is_not_made_up() -> None:
    chart = made(Settings())
    assert not {"home", "sources", "icon", "maintainers"} & set(chart)
    assert "artifacthub.io/images" not in chart["annotations"]


def test_repositories_become_defaults_and_nothing_else_changes() -> None:
    before = (CHART / "values.yaml").read_text()
    after = values_yaml(before, "1.2.3", TOLD)
    assert yaml.safe_load(after)["image"]["registry"] == "registry.example.com:5000"
    assert yaml.safe_load(after)["image"]["repository"] == "team/datasource-operator"
    # docs/alerts.md of that very version.
    assert yaml.safe_load(after)["monitoring"]["prometheusRule"]["runbookURL"] == "https://example.com/x/blob/v1.2.3/"
    lines = zip(before.splitlines(), after.splitlines(), strict=True)
    assert sum(old != new for old, new in lines) == 3
    assert values_yaml(before, "1.2.3", Settings()) == before


def test_values_of_another_shape_are_refused() -> None:
    with pytest.raises(Refused, match=r"no line registry: .* RELEASE_REPOSITORY"):
        values_yaml("image: {}\n", "1.2.3", TOLD)


def test_install_yaml_names_the_repository_wherever_it_runs_the_image() -> None:
    text = "image: datasource-operator:0.2.0\nimage: other:0.2.0\n        image: datasource-operator:0.2.0\n"
    assert install_yaml(text, "0.2.0", TOLD).count(TOLD.repository) == 2
    assert install_yaml(text, "0.2.0", Settings()) == text
