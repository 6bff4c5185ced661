"""What pages name is there: targets of make, modules, files, settings, fields, metrics, and keys of annotations."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from datasource.api.presets import PRESETS
from deploy.local.cache import REPOSITORY
from tests.docs.test_links import files, name

PAGES = [
    *(REPOSITORY / page for page in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "deploy/chart/README.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
]

OF_OTHERS = {
    "DATASOURCE_CLIENT_SECRET": "the reader's own variable in Dex's settings",
    "spec.serviceAccountName": "of a Kustomization of Flux",
    "status.storedVersions": "of a CustomResourceDefinition",
}

_CODE = re.compile(r"^```.*?^```|^(?: {4,}|\t)\S.*$|`[^`\n]+`", re.DOTALL | re.MULTILINE)
_FOLDERS = sorted({name(path).partition("/")[0] for path in files() if "/" in name(path)} - {"docs"})


def code(page: Path) -> Iterator[str]:
    """Code of a page: blocks and spans."""
    yield from (match[0] for match in _CODE.finditer(page.read_text()))


def named(pattern: str) -> list[tuple[str, str]]:
    """What the code of pages has of a pattern, each with its page."""
    found = {(name(page), match[1]) for page in PAGES for text in code(page) for match in re.finditer(pattern, text)}
    return sorted(found)


@cache
def words() -> frozenset[str]:
    """Those of all files in Git that are no pages."""
    sources = (path.read_text(errors="replace") for path in files() if path.suffix not in (".md", ".svg", ".png"))
    return frozenset(word for text in sources for word in re.findall(r"[\w-]+(?:[./][\w-]+)*", text))


def missing(found: list[tuple[str, str]], is_there: Callable[[str], bool]) -> list[tuple[str, str]]:
    assert len(found) > 3, "the pattern finds nothing any more"
    return [(page, each) for page, each in found if each not in OF_OTHERS and not is_there(each)]


def test_targets_of_make() -> None:
    targets = set(re.findall(r"^([\w.-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert missing(named(r"\bmake ([a-z][a-z-]*)"), targets.__contains__) == []


def test_modules_that_are_run() -> None:
    def is_module(dotted: str) -> bool:
        path = REPOSITORY / dotted.replace(".", "/")
        return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()

    assert missing(named(r"python -m ([\w.]+)"), is_module) == []


def test_files() -> None:
    paths = named(rf"(?<![\w./-])((?:{'|'.join(_FOLDERS)})/[\w./-]*\w)")
    assert missing(paths, lambda path: (REPOSITORY / path).exists()) == []


def test_files_of_tests() -> None:
    there = {path.name for path in files()}
    assert missing(named(r"\b(test_\w+\.py)\b"), there.__contains__) == []


def test_settings_from_the_environment() -> None:
    assert (
        missing(
            named(r"\b((?:DATASOURCE|BENCH|SCALE|SOAK|ADVERSARY|PARTS|REQUIRE)_[A-Z_]*[A-Z])\b"), words().__contains__
        )
        == []
    )


def test_annotations_labels_and_types() -> None:
    assert missing(named(r"(?<![\w./-])(datasource\.dev/[\w-]+)"), words().__contains__) == []


def test_fields_of_a_datasource() -> None:
    (version,) = yaml.safe_load((REPOSITORY / "crds" / "datasource.yaml").read_text())["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]

    def is_field(path: str) -> bool:
        at = schema
        for each in path.split("."):
            properties = at.get("properties") or at.get("items", {}).get("properties") or {}
            if "additionalProperties" in at:
                return True
            if each not in properties:
                return False
            at = properties[each]
        return True

    assert missing(named(r"(?<![\w.-])((?:spec|status)(?:\.(?!py\b)[a-zA-Z]\w*)+)"), is_field) == []


def test_metrics() -> None:
    assert (
        missing(
            named(r"\b(datasource_[a-z_]+(?:_total|_seconds|_ratio|_invalid|_datasources))\b"), words().__contains__
        )
        == []
    )


def test_values_of_the_chart() -> None:
    values = yaml.safe_load((REPOSITORY / "deploy" / "chart" / "values.yaml").read_text())

    def is_value(path: str) -> bool:
        at: Any = values
        for each in path.split("."):
            if not isinstance(at, dict) or (at and each not in at):
                return False
            at = at.get(each, {})
        return True

    assert missing(named(r"--set(?:-string|-json)? '?([a-zA-Z.]+)="), is_value) == []


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("README.md", "[{} presets](docs/providers.md)"),
        ("docs/index.md", "[Providers](providers.md): {} services"),
        ("docs/user.md", "[Providers](providers.md) has {} of them"),
    ],
)
def test_number_of_presets(page: str, words: str) -> None:
    assert words.format(len(PRESETS)) in " ".join((REPOSITORY / page).read_text().split())
