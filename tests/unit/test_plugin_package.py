"""The kubectl plugin as a package of its own holds what it imports and no more, and asks for what the operator asks for."""

import ast
import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path

from deploy.local.cache import REPOSITORY

PACKAGE = REPOSITORY / "packages" / "kubectl-datasource"
OURS = ("kubectl_datasource", "datasource", "datasource_operator", "callback_server")


def project(folder: Path) -> dict[str, object]:
    found: dict[str, object] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return found


def held() -> set[Path]:
    """The files that the wheel holds."""
    sources = runpy.run_path(str(PACKAGE / "hatch_build.py"))["SOURCES"]
    paths = [REPOSITORY / each for each in sources]
    return {file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])}


def file_of(module: str) -> Path | None:
    """Where a module of ours is; None where that is another's, or no module."""
    base = REPOSITORY / "/".join(module.split("."))
    return next((each for each in (base.with_suffix(".py"), base / "__init__.py") if each.exists()), None)


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reached() -> set[Path]:
    """Every file of ours that the plugin imports, wherever in a module, and the packages that these are in."""
    todo, found = set((REPOSITORY / "kubectl_datasource").glob("*.py")), set()
    while todo:
        path = todo.pop()
        found.add(path)
        for module in imported(path):
            if module.partition(".")[0] in OURS:
                parents = [".".join(module.split(".")[:depth]) for depth in range(1, module.count(".") + 2)]
                todo |= {file for each in parents if (file := file_of(each)) is not None} - found
    return found


def test_package_holds_what_the_plugin_imports_and_the_presets() -> None:
    presets = REPOSITORY / "datasource" / "api" / "presets.toml"
    assert held() == reached() | {presets}


def test_it_has_the_operators_version() -> None:
    assert project(PACKAGE)["version"] == project(REPOSITORY)["version"]


def test_it_depends_on_what_it_imports_and_on_nothing_else() -> None:
    known_as = {"pyyaml": "yaml"}
    names = {module.partition(".")[0] for path in held() if path.suffix == ".py" for module in imported(path)}
    required = project(PACKAGE)["dependencies"]
    assert isinstance(required, list)
    packages = {each.partition(">")[0] for each in required}
    assert packages == {"click", "msgspec", "pyyaml", "rich"}
    assert {known_as.get(each, each) for each in packages} <= names
    assert "kubernetes" not in names


def test_what_both_depend_on_they_depend_on_alike() -> None:
    theirs, ours = project(REPOSITORY)["dependencies"], project(PACKAGE)["dependencies"]
    assert isinstance(theirs, list)
    assert isinstance(ours, list)
    assert {each for each in ours if each.startswith("msgspec")} <= set(theirs)
