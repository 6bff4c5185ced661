"""How results are printed that a program may read: JSON, YAML, names. Pure."""

import json
from collections.abc import Sequence
from typing import Any

from kubectl_datasource.kubectl import RESOURCE
from kubectl_datasource.objects import Datasource

FORMATS = ("json", "yaml", "name")


def names(datasources: Sequence[Datasource]) -> list[str]:
    """As `kubectl get -o name` prints them."""
    return [f"{RESOURCE.replace('datasources', 'datasource', 1)}/{each.metadata.name}" for each in datasources]


def rendered(value: Any, output: str) -> str:
    """A result as YAML or JSON; what is not ASCII is escaped, so that no terminal obeys it."""
    if output == "yaml":
        import yaml  # It takes a while to import.

        return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=False, width=120)).rstrip("\n")
    return json.dumps(value, indent=2)
