"""Alerts go to the people whom they are for, and each leads to its section of docs/alerts.md."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from datasource.api.states import MEANING, State
from deploy.local.cache import REPOSITORY
from deploy.local.stack import rendered as rendered_by_kustomize

COMPONENT = REPOSITORY / "deploy" / "monitoring"
PAGE = (REPOSITORY / "docs" / "alerts.md").read_text()
RULES = [
    rule
    for group in yaml.safe_load((COMPONENT / "rules.yaml").read_text())["spec"]["groups"]
    for rule in group["rules"]
]
Rule = Mapping[str, Any]

each_rule = pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])


@each_rule
def test_alert_leads_to_its_section(rule: Rule) -> None:
    assert rule["annotations"]["runbook_url"] == f"docs/alerts.md#{rule['alert'].lower()}"
    assert f"### {rule['alert']}\n" in PAGE


def test_every_section_is_about_an_alert() -> None:
    assert set(re.findall(r"^### (\w+)$", PAGE, re.MULTILINE)) == {rule["alert"] for rule in RULES}


@each_rule
def test_alert_of_tenants_names_their_namespace_where_it_is_routed_by(rule: Rule) -> None:
    labels = rule["labels"]
    if labels["audience"] == "tenant":
        assert labels["namespace"] == "{{ $labels.datasource_namespace }}"
        assert "max by (datasource_namespace" in rule["expr"]
    else:
        assert labels["audience"] == "platform"
        assert "namespace" not in labels


def test_every_reason_that_takes_a_token_from_apps_or_is_an_error_has_an_alert() -> None:
    asked = " ".join(rule["expr"] for rule in RULES)
    for reason, meaning in MEANING.items():
        if meaning.state is State.ERROR:
            # One alert has all of them but the one that another has.
            assert 'state="ERROR", reason!="ClientRejected"' in asked
        elif meaning.takes_away:
            assert reason in asked, reason


@each_rule
def test_one_is_not_spoken_of_as_many(rule: Rule) -> None:
    # `1 access tokens` reads like a program; a share, a time and a number of nothing countable are left as they are.
    for text in rule["annotations"].values():
        for found in re.finditer(r"\{\{ \$value \}\}", text):
            assert text[: found.start()].endswith("{{ else }}"), text


def test_runbooks_become_links_as_the_component_says(folder: Path) -> None:
    component = (COMPONENT / "kustomization.yaml").read_text()
    _, _, rest = component.partition("#     configMapGenerator:")
    commented = "#     configMapGenerator:" + rest.partition("#\n# Many")[0]
    told = yaml.safe_load(re.sub(r"^# {5}", "", commented, flags=re.MULTILINE))
    overlay = folder / "runbooks-overlay"
    overlay.mkdir(parents=True, exist_ok=True)
    up = "/".join([".."] * len(overlay.relative_to(REPOSITORY).parts))
    (overlay / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {"resources": [f"{up}/deploy/overlays/cluster-wide"], "components": [f"{up}/deploy/monitoring"], **told}
        )
    )

    made = list(yaml.safe_load_all(rendered_by_kustomize(overlay)))

    (rules,) = (each for each in made if each["kind"] == "PrometheusRule")
    addresses = [rule["annotations"]["runbook_url"] for group in rules["spec"]["groups"] for rule in group["rules"]]
    page = "https://git.example.com/datasource-operator/blob/main/docs/alerts.md"
    assert addresses == [f"{page}#{rule['alert'].lower()}" for rule in RULES]
    # What only carries the address is not applied.
    assert not [each for each in made if each["metadata"]["name"].startswith("runbooks")]
