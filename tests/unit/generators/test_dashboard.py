"""What Grafana shows is made from dashboard.yaml: each panel explains itself, has one scale, and knows what is chosen."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from generators import dashboard

Panel = Mapping[str, Any]
MADE: dict[str, Any] = json.loads(dashboard.made())
PANELS: list[Panel] = [panel for panel in MADE["panels"] if panel["type"] != "row"]
SOURCE = yaml.safe_load(dashboard.SOURCE.read_text())

_STAMP = re.compile(r"\w+_timestamp_seconds")


each_panel = pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])


def scale(query: str) -> str:
    """What the numbers of a query measure, from the names of its series."""
    if "process_cpu_seconds_total" in query:
        return "cores"
    if "_ratio" in query:
        return "a share"
    if "_bytes" in query:
        return "bytes"
    if "histogram_quantile(" in query:
        return "seconds"
    if "rate(" in query:
        return "a second"
    if "increase(" in query:
        return "in an hour"
    # A moment less this moment is a time; a moment alone would be the seconds since 1970.
    assert not _STAMP.search(query) or "- time()" in query
    return "seconds" if "_seconds" in query else "a count"


UNITS = {
    "cores": "percentunit",
    "a share": "percentunit",
    "bytes": "bytes",
    "seconds": "s",
    "a second": {"ops", "reqps"},
    "in an hour": "short",
    "a count": "short",
}


@each_panel
def test_panel_has_one_scale_and_its_unit(panel: Panel) -> None:
    (found,) = {scale(target["expr"]) for target in panel["targets"]}
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS[found]
    assert ("in an hour" in panel["title"]) == (found == "in an hour")


@each_panel
def test_panel_says_what_it_shows(panel: Panel) -> None:
    assert panel["description"].endswith(".")
    assert len(panel["description"].split()) > 5


@pytest.mark.parametrize(
    "panel", [panel for row in SOURCE["rows"] for panel in row["panels"]], ids=lambda each: each["title"]
)
def test_panel_names_its_unit_and_from_which_value_on_it_is_bad_or_why_none_is(panel: Panel) -> None:
    assert panel["unit"]
    assert ("thresholds" in panel) != ("no_thresholds" in panel)
    assert len(panel.get("no_thresholds", "a reason is not needed").split()) > 3


def test_line_of_a_panel_is_where_its_alert_fires() -> None:
    rules = yaml.safe_load((dashboard.MONITORING / "rules.yaml").read_text())["spec"]["groups"]
    bounds = dict[str, float]()
    for rule in (rule for group in rules for rule in group["rules"]):
        found = re.fullmatch(r"max by \([\w, ]+\) \((\w+)\) > (\d+)", rule["expr"])
        if found is not None:
            bounds[found[1]] = max(1.0, float(found[2]))
    compared = set[str]()
    for panel in PANELS:
        if panel["type"] != "timeseries":
            continue
        for series in bounds.keys() & set(re.findall(r"\w+", panel["targets"][0]["expr"])):
            steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
            assert steps[-1]["value"] == bounds[series], panel["title"]
            compared.add(series)
    assert len(compared) > 3


@each_panel
def test_panel_about_datasources_follows_what_is_chosen(panel: Panel) -> None:
    # All that is told by namespace is asked for by namespace, and what is told by Datasource by both.
    for target in panel["targets"]:
        for selector in re.findall(
            r"datasource_(?:namespace_datasources|refreshes_overdue|grants_expiring)\{(.*?)\}", target["expr"]
        ):
            assert 'datasource_namespace=~"$namespace"' in selector
        if "datasource_name)" in target["expr"]:
            assert 'datasource_name=~"$datasource"' in target["expr"]


def test_first_row_is_of_numbers_and_colours_what_needs_somebody() -> None:
    first, second = (number for number, panel in enumerate(MADE["panels"]) if panel["type"] == "row" and number < 10)
    stats = MADE["panels"][first + 1 : second]
    assert {panel["type"] for panel in stats} == {"stat"}
    assert len(stats) > 5
    for panel in stats:
        assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["value"] is None
    assert len({panel["gridPos"]["y"] for panel in stats}) == 1


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in MADE["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken
        taken |= cells


def test_what_works_is_never_red() -> None:
    colors = {re.compile(name.strip("/")): color for name, color in SOURCE["colors"].items()}

    def color(name: str) -> list[str]:
        return [each for pattern, each in colors.items() if pattern.search(name)]

    assert color("AUTHORIZED") == color("AUTHORIZED: RefreshFailing") == ["green"]
    assert color("NOT AUTHORIZED") == ["yellow"]
    assert color("ERROR: SecretConflict") == ["red"]
    assert color("stored") == ["green"]
    assert color("NotDelivered") == []


@pytest.mark.parametrize(
    "panel", [panel for panel in PANELS if panel["type"] == "table"], ids=lambda panel: panel["title"]
)
def test_table_names_its_columns_and_hides_the_time(panel: Panel) -> None:
    (organized,) = panel["transformations"]
    names = organized["options"]["renameByName"]
    assert organized["options"]["excludeByName"] == {"Time": True}
    assert names["datasource_namespace"] == "Namespace"
    assert panel["options"]["sortBy"][0]["displayName"] == names["Value"] != "Value"
    assert panel["fieldConfig"]["overrides"][0]["matcher"]["options"] == names["Value"]


def test_variables_offer_all_of_them_without_naming_each() -> None:
    variables = {each["name"]: each for each in MADE["templating"]["list"]}
    assert list(variables) == ["prometheus", "namespace", "datasource"]
    for name in ("namespace", "datasource"):
        assert (variables[name]["includeAll"], variables[name]["allValue"]) == (True, ".*")
    # The second is asked for within the first.
    assert "$namespace" in variables["datasource"]["query"]["query"]


def test_row_breaks_where_a_panel_does_not_fit() -> None:
    panel = {"title": "A", "kind": "timeseries", "description": "What it shows.", "queries": [{"expr": "up"}]}
    stat = {**panel, "kind": "stat"}
    rows = [{"title": "R", "panels": [stat] * 6}, {"title": "S", "panels": [panel] * 4}]
    at = [each["gridPos"] for each in json.loads(dashboard.made({"title": "T", "uid": "t", "rows": rows}))["panels"]]
    numbers = [(x, 1) for x in (0, 4, 8, 12, 16, 20)]
    assert [(each["x"], each["y"]) for each in at] == [(0, 0), *numbers, (0, 5), (0, 6), (8, 6), (16, 6), (0, 14)]


def test_what_is_kept_in_the_repository_is_what_the_source_says() -> None:
    assert dashboard.RESULT.read_text() == dashboard.made()
