"""Write docs/api.md from the CRD: `make docs`. A test fails while the two differ."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from deploy.local.cache import REPOSITORY

CRD = REPOSITORY / "crds" / "datasource.yaml"
PAGE = REPOSITORY / "docs" / "api.md"

_HEAD = """# API reference

`{kind}` in {group}/{version}, namespaced; short: `{short}`. Generated from [the CRD](../crds/datasource.yaml) by `make docs`.
`kubectl explain dsrc.spec.oauth2` shows the same.
"""


def page(crd: Mapping[str, Any]) -> str:
    """The whole page, as Markdown."""
    spec = crd["spec"]
    (version,) = spec["versions"]
    names = spec["names"]
    head = _HEAD.format(
        kind=names["kind"], group=spec["group"], version=version["name"], short=", ".join(names["shortNames"])
    )
    schema = version["schema"]["openAPIV3Schema"]
    parts = [head, schema["description"] + "\n", _rules(schema)]
    for part in ("spec", "status"):
        parts.append(f"## {part}\n\n{schema['properties'][part]['description']}\n")
        parts += [_section(path, field) for path, field in _fields(part, schema["properties"][part])]
    parts.append(_columns(version["additionalPrinterColumns"]))
    return "\n".join(part for part in parts if part)


def _fields(path: str, schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every field below, in the order of the CRD."""
    required = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        below = f"{path}.{name}"
        yield below, {**field, "isRequired": name in required}
        yield from _fields(below, field)
        if field["type"] == "array":
            yield from _fields(f"{below}[]", field["items"])


def _section(path: str, field: Mapping[str, Any]) -> str:
    return f"### {path}\n\n{_facts(field)}\n\n{field['description']}\n" + _rules(field)


def _facts(field: Mapping[str, Any]) -> str:
    """Type, and what bounds it, in one line."""
    facts = [_type(field)]
    if field["isRequired"]:
        facts.append("required")
    if "enum" in field:
        facts.append("one of " + ", ".join(f"`{value}`" for value in field["enum"]))
    if "default" in field:
        facts.append(f"default `{field['default']}`")
    bounds = {"maxLength": "{} characters", "maxItems": "{} entries", "maxProperties": "{} entries"}
    facts += [f"at most {text.format(field[bound])}" for bound, text in bounds.items() if bound in field]
    return "*" + "; ".join(facts) + "*"


def _type(field: Mapping[str, Any]) -> str:
    if field["type"] == "array":
        return f"list of {field['items']['type']}"
    if "additionalProperties" in field:
        return f"map of {field['additionalProperties']['type']}"
    return f"{field['type']} ({field['format']})" if "format" in field else str(field["type"])


def _rules(field: Mapping[str, Any]) -> str:
    """What admission refuses, in the words that people are told."""
    messages = [rule["message"] for rule in field.get("x-kubernetes-validations", ())]
    if not messages:
        return ""
    return "\nRefused at admission:\n\n" + "\n".join(f"- {message}" for message in messages) + "\n"


def _columns(columns: list[Mapping[str, Any]]) -> str:
    lines = ["## Columns of kubectl get\n", "| column | shows | |", "|---|---|---|"]
    for column in columns:
        wide = "with `-o wide`" if column.get("priority") else ""
        lines.append(f"| {column['name'].upper()} | `{column['jsonPath']}` | {wide} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(yaml.safe_load(CRD.read_text())))


if __name__ == "__main__":
    main()
