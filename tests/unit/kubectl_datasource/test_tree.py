"""What belongs to a Datasource, and who uses it."""

from dataclasses import replace
from typing import Any

import pytest

from kubectl_datasource.tree import lines, related, users_of
from tests.unit.kubectl_datasource.builders import OAUTH2, datasource


def text(pods: list[str] | None, **oauth2: Any) -> str:
    seen = datasource(oauth2=OAUTH2 | oauth2)
    found = [replace(each, is_there=each.name != "my-app") for each in related(seen)]
    return "\n".join("".join(cell.text for cell in line) for line in lines(seen, found, pods))


def test_everything_that_it_has_and_names_stands_below_it() -> None:
    header = {"name": "X-Key", "secretRef": {"name": "gateway", "key": "k"}}
    shown = text(["app-1"], caBundleRef={"name": "authorities"}, tokenHeaders=[header, {"name": "Plain", "value": "v"}])
    assert shown.splitlines() == [
        "Datasource shop/calendar",
        "├─ Secret calendar-token (the token, for apps): there",
        "│  └─ Pod app-1 uses it",
        "├─ Secret calendar-oauth2-credential (the credential): there",
        "├─ Secret my-app (the client secret): missing",
        "├─ Secret gateway (the value of header X-Key): there",
        "└─ ConfigMap authorities (the CA bundle): there",
    ]


def test_pods_that_may_not_be_listed_are_not_called_none() -> None:
    assert "you may not list pods" in text(None)
    assert "pod" not in text([]).lower()


def test_a_datasource_without_parameters_names_nothing() -> None:
    assert [each.name for each in related(datasource(oauth2=None))] == ["calendar-token", "calendar-oauth2-credential"]


@pytest.mark.parametrize(
    "spec",
    [
        {"volumes": [{"secret": {"secretName": "calendar-token"}}]},
        {"volumes": [{"projected": {"sources": [{"secret": {"name": "calendar-token"}}]}}]},
        {"containers": [{"envFrom": [{"secretRef": {"name": "calendar-token"}}]}]},
        {"initContainers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "calendar-token"}}}]}]},
    ],
    ids=["mounted", "projected", "all variables", "one variable"],
)
def test_every_way_to_use_a_secret_is_seen(spec: Any) -> None:
    others = {
        "metadata": {"name": "b"},
        "spec": {"volumes": [{"secret": {"secretName": "calendar"}}, {"emptyDir": {}}]},
    }
    assert users_of("calendar-token", [{"metadata": {"name": "a"}, "spec": spec}, others]) == ["a"]
