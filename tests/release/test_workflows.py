"""Workflows for those who run this elsewhere: actionlint finds nothing, and what supply chains are judged by holds."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local import build
from deploy.local.cache import REPOSITORY

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yaml"))
PINNED = re.compile(r"[\w-]+/[\w/-]+@[0-9a-f]{40}")


def steps(workflow: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(workflow.read_text())["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE))


def test_actionlint_finds_nothing() -> None:
    command: list[str | Path] = [build.actionlint(), "-no-color", "-shellcheck=", "-pyflakes=", *WORKFLOWS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0, done.stderr


def test_actionlint_finds_what_is_wrong(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(WORKFLOWS[0].read_text().replace("runs-on:", "run-on:"))
    done = subprocess.run([build.actionlint(), "-no-color", broken], capture_output=True, text=True, check=False)
    assert "run-on" in done.stdout


def test_each_of_the_three_is_there() -> None:
    assert {each.stem for each in WORKFLOWS} == {"check", "test", "release"}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_digest(workflow: Path) -> None:
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used
    assert [each for each in used if not PINNED.fullmatch(each)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_token_may_read_and_nothing_else(workflow: Path) -> None:
    written = yaml.safe_load(workflow.read_text())
    assert written["permissions"] == {"contents": "read"}
    assert [job for job in written["jobs"].values() if "permissions" in job] == []
    checkouts = [step for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_what_it_does_is_a_target_of_make(workflow: Path) -> None:
    made = re.findall(r"\bmake ([a-z]+)", "\n".join(step.get("run", "") for step in steps(workflow)))
    assert workflow.stem in made
    assert set(made) <= targets()


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_what_root_runs_knows_that_it_is_ci(workflow: Path) -> None:
    """sudo forgets the environment, and tests that a machine cannot run are skipped where it is not CI."""
    made = re.findall(
        r"^.*\bsudo .*\bmake\b.*$", "\n".join(step.get("run", "") for step in steps(workflow)), re.MULTILINE
    )
    assert [line for line in made if " CI=true make " not in line] == []
    assert made or workflow.stem != "test"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_key_of_a_release_may_have_a_password(workflow: Path) -> None:
    told = [step.get("env", {}) for step in steps(workflow)]
    assert all("RELEASE_KEY_PASSWORD" in each for each in told if "RELEASE_KEY" in each)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_nothing_that_somebody_else_wrote_gets_into_a_shell(workflow: Path) -> None:
    """A branch's name in a script is a script (GitHub, "Security hardening": script injections)."""
    assert [step["run"] for step in steps(workflow) if "${{" in step.get("run", "")] == []
    assert "pull_request_target" not in workflow.read_text()


def test_updates_are_asked_for_of_every_kind_of_dependency() -> None:
    updates = yaml.safe_load((REPOSITORY / ".github" / "dependabot.yml").read_text())["updates"]
    assert {each["package-ecosystem"] for each in updates} == {"docker", "github-actions", "gomod", "npm", "pip"}
    for folder in {folder for each in updates for folder in folders(each)}:
        assert expanded(folder), folder


WITHOUT_UPDATES = {
    "tests/gitops/crds": "dependabot runs `go mod tidy`, which would drop what only its files are wanted of",
    **dict.fromkeys(
        (f"tests/gitops/flux/{each}-controller" for each in ("source", "kustomize", "helm", "notification")),
        "they have the versions of one release of Flux",
    ),
    "deploy/local/node/pause": "it depends on nothing",
}


def folders(update: dict[str, Any]) -> list[str]:
    found: list[str] = update.get("directories", [update.get("directory")])
    return found


def expanded(folder: str) -> list[Path]:
    return [REPOSITORY] if folder == "/" else list(REPOSITORY.glob(folder.strip("/")))


@pytest.mark.parametrize(
    ("ecosystem", "file"), [("gomod", "go.mod"), ("npm", "package-lock.json"), ("docker", "Containerfile")]
)
def test_whoever_pins_a_dependency_gets_updates(ecosystem: str, file: str) -> None:
    updates = yaml.safe_load((REPOSITORY / ".github" / "dependabot.yml").read_text())["updates"]
    looked_at = {
        path
        for each in updates
        if each["package-ecosystem"] == ecosystem
        for folder in folders(each)
        for path in expanded(folder)
    }
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    pinning = {REPOSITORY / Path(line).parent for line in listed.stdout.splitlines() if Path(line).name == file}

    assert pinning
    forgotten = {str(each.relative_to(REPOSITORY)) for each in pinning - looked_at}
    assert forgotten <= set(WITHOUT_UPDATES)
