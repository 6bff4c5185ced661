"""Reviews fold away what is generated, and nothing that somebody writes by hand."""

import subprocess
from pathlib import Path

from deploy.local.cache import REPOSITORY
from generators import api_reference, argocd, chart_readme, dashboard, manifests, providers_page, security_map

GENERATED = {
    api_reference.PAGE,
    argocd.RESULT,
    chart_readme.PAGE,
    dashboard.RESULT,
    manifests.INSTALL_YAML,
    providers_page.PAGE,
    security_map.PAGE,
}
PARTLY_BY_HAND = {security_map.POLICY}


def git(*arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True)  # noqa: S603, S607
    return [each for each in done.stdout.split("\0") if each]


def marked() -> set[Path]:
    """Files in Git that are marked, by Git's own reading of .gitattributes."""
    fields = iter(git("check-attr", "-z", "linguist-generated", "--", *git("ls-files", "-z")))
    return {REPOSITORY / path for path, _, value in zip(fields, fields, fields, strict=True) if value == "set"}


def test_what_a_generator_writes_is_marked_and_what_is_partly_by_hand_is_not() -> None:
    found = marked()
    assert (GENERATED | set(manifests.chart_files())) - found == set()
    assert found & PARTLY_BY_HAND == set()


def test_what_is_marked_comes_from_a_generator_a_lock_or_a_release() -> None:
    by_tools = {
        path
        for path in marked()
        if path.name in {"go.sum", "package-lock.json"}
        or path.is_relative_to(REPOSITORY / "tests" / "fixtures")
        or (path.parent.name, path.suffix) == ("requirements", ".txt")
    }
    assert marked() - by_tools == GENERATED | set(manifests.chart_files())


def test_every_lock_file_is_marked() -> None:
    locks = git("ls-files", "-z", "--", "requirements/*.txt", "*go.sum", "*package-lock.json")
    assert locks
    assert {REPOSITORY / path for path in locks} <= marked()
