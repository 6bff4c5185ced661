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
_COLUMNS, _WIDTH, _HEIGHT = 3, 8, 8


def made() -> str:
    """The dashboard as Grafana imports it."""
    source = yaml.safe_load(SOURCE.read_text())
    variable = {"name": "prometheus", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    dashboard = {
        "title": source["title"],
        "uid": source["uid"],
        "tags": ["datasource"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [variable]},
        "panels": [{"id": number, **panel} for number, panel in enumerate(_panels(source["rows"]), start=1)],
    }
    return json.dumps(dashboard, indent=1) + "\n"


def _panels(rows: list[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    top = 0
    for row in rows:
        yield {"type": "row", "title": row["title"], "gridPos": {"x": 0, "y": top, "w": 24, "h": 1}, "panels": []}
        top += 1
        for index, panel in enumerate(row["panels"]):
            line, column = divmod(index, _COLUMNS)
            place = {"x": column * _WIDTH, "y": top + line * _HEIGHT, "w": _WIDTH, "h": _HEIGHT}
            yield _panel(panel, place)
        top += -(-len(row["panels"]) // _COLUMNS) * _HEIGHT


def _panel(panel: Mapping[str, Any], place: Mapping[str, int]) -> dict[str, Any]:
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
        "datasource": _SOURCE_OF_DATA,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.get("unit", "short"), **({} if is_table else {"min": 0})}},
        "targets": targets,
    }


def main() -> None:
    """Write it."""
    RESULT.write_text(made())


if __name__ == "__main__":
    main()
