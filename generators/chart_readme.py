"""Write deploy/chart/README.md, which Artifact Hub shows, from Chart.yaml and values.yaml: `make docs`."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from deploy.local.cache import REPOSITORY

CHART = REPOSITORY / "deploy" / "chart"
PAGE = CHART / "README.md"

_HEAD = """\
# {name}

{description}. Kubernetes {kubernetes} or newer.

    helm install datasource oci://REGISTRY/charts/{name} --namespace datasource-system --create-namespace \\
      --set externalURL=https://connect.example.com

`externalURL` is the one value that must be given: the public URL under which browsers reach the callback server. `helm test`
asks it for a page from within the cluster. Uninstalling keeps the CRD, and with it every Datasource, unless `crds.keep` is
false.

## Values

Written by `make docs` from values.yaml. A key that is not here is refused.

| value | default | |
|---|---|---|
"""

_KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z]+):")


def page() -> str:
    """The page, as Markdown."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    text = (CHART / "values.yaml").read_text()
    head = _HEAD.format(
        name=chart["name"],
        description=chart["description"],
        kubernetes=chart["kubeVersion"].removeprefix(">=").removesuffix(".0-0"),
    )
    values, told = yaml.safe_load(text), dict(comments(text))
    return head + "".join(_row(path, default, told) for path, default in leaves(values))


def leaves(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Each value that stands for itself, by its path. An empty map is one, and one with labels, too."""
    for key, value in values.items():
        path = f"{before}{key}"
        if isinstance(value, Mapping) and value and all(re.fullmatch("[A-Za-z]+", each) for each in value):
            yield from leaves(value, f"{path}.")
        else:
            yield path, value


def comments(text: str) -> Iterator[tuple[str, str]]:
    """What stands above each key, by its path."""
    above: list[str] = []
    path: list[str] = []
    for line in text.splitlines():
        found = _KEY.match(line)
        if line.strip().startswith("#"):
            above.append(line.strip().lstrip("# "))
        elif found:
            path = [*path[: len(found["indent"]) // 2], found["key"]]
            yield ".".join(path), " ".join(above)
            above = []
        else:
            above = []


def _row(path: str, default: Any, told: Mapping[str, str]) -> str:
    described = told.get(path) or _of_parents(path, told)
    return f"| `{path}` | `{json.dumps(default)}` | {described.replace('|', chr(92) + '|')} |\n"


def _of_parents(path: str, told: Mapping[str, str]) -> str:
    """What is said of a map holds for what is in it, where nothing more is said."""
    parent = path.rpartition(".")[0]
    return told.get(parent) or (_of_parents(parent, told) if parent else "")


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
