"""Every module of the product has unit tests in the place that mirrors it, and they import what they test."""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import LONGEST_FIRST

UNIT = Path(__file__).parent
SOURCE = UNIT.parent.parent

PACKAGES = {
    SOURCE / "datasource": "datasource",
    SOURCE / "operator" / "datasource_operator": "datasource_operator",
    SOURCE / "callback_server": "callback_server",
    SOURCE / "kubectl_datasource": "kubectl_datasource",
}

WITHOUT: Mapping[str, str] = {
    "datasource.process.installation": "names and numbers, which others use",
    "datasource.cluster.secrets_api": "a protocol, which mypy holds against whatever is passed for it",
}
"""Modules that have no tests there, each with the reason. A package's `__init__.py` gathers names and does nothing else."""

SEEN_THROUGH: Mapping[str, str] = {
    "datasource_operator.executor": "working_steps.py makes the executor, of many parts",
    "datasource_operator.token_secret_writer": "working_steps.py makes the executor that it writes for",
}
"""Modules that their tests do not import themselves, each with the reason."""


def modules() -> Iterator[tuple[str, Path, Path]]:
    """Each module of the product: its name, its file, and where its tests belong."""
    for folder, package in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            inner = path.relative_to(folder)
            name = ".".join((package, *inner.with_suffix("").parts)).removesuffix(".__init__")
            stem = "main" if inner.stem == "__main__" else inner.stem
            yield name, path, UNIT / package / inner.parent / f"test_{stem}.py"


MODULES = [(name, path, tests) for name, path, tests in modules() if path.name != "__init__.py"]
NAMES = [name for name, _, _ in MODULES]


_IMPORT = re.compile(
    r"^[ \t]*(?:from (?P<module>[\w.]+) import (?P<names>\([^)]*\)|.*)|import (?P<modules>.*))$", re.MULTILINE
)
"""An import as ruff formats it. To parse 500 files takes seconds, and this is one of the checks of every commit."""


@cache
def imported_by(path: Path) -> frozenset[str]:
    """Every module that a file imports, or imports something from."""
    found: set[str] = set()
    for line in _IMPORT.finditer(path.read_text()):
        if (module := line["module"]) is None:
            found.update(words_of(line["modules"]))
        else:
            found.update((module, *(f"{module}.{name}" for name in words_of(line["names"]))))
    return frozenset(found)


def words_of(listed: str) -> list[str]:
    """What is listed: without the names that it gets here."""
    return [each.split()[0] for each in listed.partition("#")[0].strip(" ()\n").split(",") if each.strip()]


def gathered_in(name: str, path: Path) -> str:
    """The package that a module is imported by everywhere, where that gathers its names; else the module itself."""
    package = path.parent / "__init__.py"
    return name.rpartition(".")[0] if package.exists() and name in imported_by(package) else name


def names_of_tests(path: Path) -> list[str]:
    """The names of its tests."""
    return re.findall(r"^ *(?:async )?def (test_\w+)\(", path.read_text(), re.MULTILINE)


def test_there_are_modules_to_look_at() -> None:
    assert len(MODULES) > 100
    assert {name.partition(".")[0] for name in NAMES} == set(PACKAGES.values())


@pytest.mark.parametrize(("name", "path", "tests"), MODULES, ids=NAMES)
def test_module_has_tests_in_the_place_that_mirrors_it(name: str, path: Path, tests: Path) -> None:
    place = tests.relative_to(SOURCE)
    if name in WITHOUT:
        assert not tests.exists(), f"{place} is there: take {name} off the list of those without"
        return
    assert tests.exists(), f"{path.relative_to(SOURCE)} has no tests of its own: write {place}"
    assert names_of_tests(tests), f"{place} has no test"
    known_as = {name, gathered_in(name, path)}
    is_imported = any(
        each == known or each.startswith(f"{known}.") for each in imported_by(tests) for known in known_as
    )
    assert is_imported is not (name in SEEN_THROUGH), f"{place} and {name}: is it about that module?"


def test_exceptions_are_modules_with_a_reason() -> None:
    exceptions = {**WITHOUT, **SEEN_THROUGH}
    assert set(exceptions) <= set(NAMES)
    assert all(reason.strip() for reason in exceptions.values())


def does_something(node: ast.stmt) -> bool:
    """Whether a statement of a package is more than a docstring, an import, or `__all__`."""
    if isinstance(node, ast.Assign):
        return [ast.unparse(target) for target in node.targets] != ["__all__"]
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return not is_text and not isinstance(node, ast.ImportFrom)


@pytest.mark.parametrize("package", [path for _, path, _ in modules() if path.name == "__init__.py"])
def test_package_itself_holds_nothing_to_be_tested(package: Path) -> None:
    assert not [ast.unparse(node) for node in ast.parse(package.read_text()).body if does_something(node)]


def test_each_file_that_begins_first_is_there() -> None:
    assert [name for name in LONGEST_FIRST if not (UNIT.parent / name).is_file()] == []
