"""Who may import what, outside of the packages that import-linter looks at (pyproject.toml has its contracts)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.cache import REPOSITORY

LOOKING = (
    "bench",
    *(
        f"tests/{each}"
        for each in (
            "adversary",
            "cluster",
            "deploy",
            "docs",
            "e2e",
            "faults",
            "gitops",
            "node",
            "plugin",
            "release",
            "released",
            "soak",
            "support",
            "upgrade",
            "words",
        )
    ),
)
"""What looks at our processes from outside, and measures them."""

OUR_CLIENT = "datasource.cluster"

GIVEN_TO_OUR_CODE = {
    "bench/libraries.py": "weighs our client against the official one",
    "tests/cluster/test_api_in_memory.py": "compares the verbs in memory with our client on a real API server",
    "tests/cluster/test_lease.py": "runs the elector, which works through a connection that it is given",
    "tests/docs/test_bounds.py": "reads the bounds of our client",
    "tests/faults/armed.py": "puts steps around the verbs of a process that dies at one of them",
    "tests/support/api_in_memory.py": "refuses with the errors that our code knows",
    "tests/support/api_rules.py": "refuses with the errors that our code knows",
    "tests/support/kube_in_memory.py": "has the verbs of our client, for unit tests",
    "tests/words/failures.py": "names why a request at a page was not written",
}
"""Files that may, and why. They do not look at anything through it."""


def modules_imported(source: str) -> Iterator[str]:
    """Every module that source text imports, wherever in it; `from a import b` may mean a module a.b, too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


def uses_our_client(source: str) -> bool:
    if OUR_CLIENT not in source and "from datasource import" not in source:
        return False  # it is the same, and found a hundred times faster
    return any(each == OUR_CLIENT or each.startswith(f"{OUR_CLIENT}.") for each in modules_imported(source))


def files() -> Iterator[Path]:
    for folder in LOOKING:
        yield from sorted((REPOSITORY / folder).rglob("*.py"))


def test_nobody_looks_through_our_own_client_of_the_api_server() -> None:
    """A mistake in it would be on both sides, and cancel out."""
    found = {path.relative_to(REPOSITORY).as_posix() for path in files() if uses_our_client(path.read_text())}

    assert found == set(GIVEN_TO_OUR_CODE)


def test_every_folder_of_tests_is_looked_at() -> None:
    folders = {path.parent for path in (REPOSITORY / "tests").glob("*/*.py")}

    assert {path.relative_to(REPOSITORY).as_posix() for path in folders} - {"tests/unit"} == set(LOOKING) - {"bench"}


@pytest.mark.parametrize(
    "source",
    [
        "import datasource.cluster.kube",
        "import datasource.cluster.kube as ours",
        "from datasource import cluster",
        "from datasource.cluster import kube",
        "from datasource.cluster.kube import Kube",
        "def late():\n    from datasource.cluster.clients import Clients",
    ],
)
def test_every_way_to_import_it_is_noticed(source: str) -> None:
    assert uses_our_client(source)


@pytest.mark.parametrize("source", ["import datasource", "from datasource.api.names import KIND", "import clusters"])
def test_others_are_not(source: str) -> None:
    assert not uses_our_client(source)
