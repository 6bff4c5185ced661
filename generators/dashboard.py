"""Write deploy/monitoring/dashboard.json, as Grafana imports it, from dashboard.yaml beside this file: `make manifests`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.local.cache import REPOSITORY

MONITORING = REPOSITORY / "deploy" / "monitoring"
SOURCE = Path(__file__).with_name("dashboard.yaml")
RESULT = MONITORING / "dashboard.json"

_SOURCE_OF_DATA = {"type": "prometheus", "uid": "${prometheus}"}
_GRID = 24
"""Grafana's columns."""
_SIZE = (8, 8)
"""Width and height of a panel."""
_STAT_HEIGHT = 4
"""Numbers share the width of their row."""
_NAMES = {"datasource_namespace": "Namespace", "datasource_name": "Datasource"}


def made(source: Mapping[str, Any] | None = None) -> str:
    """The dashboard as Grafana imports it."""
    source = yaml.safe_load(SOURCE.read_text()) if source is None else source
    panels = _panels(source["rows"], source.get("colors", {}))
    prometheus = {"name": "prometheus", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    dashboard = {
        "title": source["title"],
        "uid": source["uid"],
        "tags": ["datasource"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [prometheus, *map(_variable, source.get("variables", ()))]},
        "panels": [{"id": number, **panel} for number, panel in enumerate(panels, start=1)],
    }
    return json.dumps(dashboard, indent=1) + "\n"


def _variable(variable: Mapping[str, Any]) -> dict[str, Any]:
    """A choice of one, several or all of what Prometheus knows.

    `.*` stands for all: a list of 10,000 names is too long for a query.
    """
    return {
        "name": variable["name"],
        "label": variable["label"],
        "type": "query",
        "datasource": _SOURCE_OF_DATA,
        "definition": variable["query"],
        "query": {"query": variable["query"], "refId": variable["name"]},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _panels(rows: list[Mapping[str, Any]], colors: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    top = 0
    for row in rows:
        yield {"type": "row", "title": row["title"], "gridPos": {"x": 0, "y": top, "w": _GRID, "h": 1}, "panels": []}
        top += 1
        left = height = 0
        numbers = sum(panel["kind"] == "stat" for panel in row["panels"])
        for panel in row["panels"]:
            width, tall = (_GRID // numbers, _STAT_HEIGHT) if panel["kind"] == "stat" else _SIZE
            if left + width > _GRID:
                left, top, height = 0, top + height, 0
            yield _panel(panel, {"x": left, "y": top, "w": width, "h": tall}, colors)
            left, height = left + width, max(height, tall)
        top += height


def _panel(panel: Mapping[str, Any], place: Mapping[str, int], colors: Mapping[str, str]) -> dict[str, Any]:
    is_table = panel["kind"] == "table"
    targets = [
        {
            "refId": chr(ord("A") + number),
            "expr": query["expr"],
            "legendFormat": query.get("legend", "__auto"),
            "instant": is_table,
            "format": "table" if is_table else "time_series",
        }
        for number, query in enumerate(panel["queries"])
    ]
    return {
        "type": panel["kind"],
        "title": panel["title"],
        "description": panel["description"],
        "datasource": _SOURCE_OF_DATA,
        "gridPos": place,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _overrides(panel, colors)},
        **_looks(panel),
        "targets": targets,
    }


def _defaults(panel: Mapping[str, Any]) -> dict[str, Any]:
    """How values look, all of a panel in one unit."""
    found: dict[str, Any] = {"unit": panel.get("unit", "short")}
    if panel.get("thresholds"):
        steps = [{"color": color, "value": least} for color, least in panel["thresholds"].items()]
        found["thresholds"] = {"mode": "absolute", "steps": steps}
    match panel["kind"]:
        case "stat":
            found |= {"color": {"mode": "thresholds"}, "noValue": "-"}
        case "state-timeline":
            found["mappings"] = [{"type": "value", "options": panel["values"]}]
        case "timeseries":
            # A colour for each series; the thresholds are lines.
            custom: dict[str, Any] = {"thresholdsStyle": {"mode": "dashed" if "thresholds" in panel else "off"}}
            if panel.get("stacked"):
                custom |= {"stacking": {"mode": "normal"}, "fillOpacity": 40}
            found |= {"min": 0, "color": {"mode": "palette-classic"}, "custom": custom}
    return found


def _overrides(panel: Mapping[str, Any], colors: Mapping[str, str]) -> list[dict[str, Any]]:
    """Fixed colours, so that what works is never red by chance; in a table, the colour of the value alone."""
    match panel["kind"]:
        case "timeseries":
            return [_override("byRegexp", name, "color", _fixed(color)) for name, color in colors.items()]
        case "table":
            return [_override("byName", panel["value"], "custom.cellOptions", {"type": "color-text"})]
        case _:
            return []


def _override(by: str, what: str, name: str, value: Any) -> dict[str, Any]:
    return {"matcher": {"id": by, "options": what}, "properties": [{"id": name, "value": value}]}


def _fixed(color: str) -> dict[str, str]:
    return {"mode": "fixed", "fixedColor": color}


def _looks(panel: Mapping[str, Any]) -> dict[str, Any]:
    """What is of one kind of panel alone."""
    match panel["kind"]:
        case "stat":
            last = {"calcs": ["lastNotNull"], "fields": "", "values": False}
            return {"options": {"reduceOptions": last, "colorMode": "background", "graphMode": "none"}}
        case "table":
            organized = {"excludeByName": {"Time": True}, "renameByName": {**_NAMES, "Value": panel["value"]}}
            order = {"displayName": panel["value"], "desc": panel.get("largest_first", False)}
            return {
                "options": {"showHeader": True, "sortBy": [order]},
                "transformations": [{"id": "organize", "options": organized}],
            }
        case _:
            return {}


def main() -> None:
    """Write it."""
    RESULT.write_text(made())


if __name__ == "__main__":
    main()
