"""`make release`, from a commit to what is published, checked by programs that are not ours."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local import build
from deploy.local.cache import REPOSITORY
from generators.version import version
from release.archives import tar
from tests.unit.release.oci import archive

BASE = "registry.example.com/python:3.11-slim@sha256:" + "a" * 64
DOWNLOAD = "https://example.com/team/datasource-operator/releases/download/v9.8.7"
VERSION = "9.8.7"


@dataclass(frozen=True)
class Checkout:
    """A commit of what stands here, with a version that CHANGELOG.md knows."""

    folder: Path
    key: Path
    image: Path

    def release(self, **changes: str) -> "subprocess.CompletedProcess[str]":
        """`make release`, without setting up an environment of its own."""
        told = {
            "RELEASE_KEY": str(self.key),
            "RELEASE_IMAGE": str(self.image),
            "RELEASE_BASE": BASE,
            "RELEASE_REPOSITORY": "registry.example.com/team/datasource-operator",
            "RELEASE_SOURCE": "https://example.com/team/datasource-operator",
            "RELEASE_DOWNLOAD": DOWNLOAD,
            "RELEASE_MAINTAINER": "Ada Lovelace <ada@example.com>",
            **changes,
        }
        return subprocess.run(
            [sys.executable, "-m", "release"],
            cwd=self.folder,
            env={**os.environ, **told, "PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
        )

    def git(self, *arguments: str) -> None:
        """Run git."""
        author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        subprocess.run(["git", *author, *arguments], cwd=self.folder, check=True, capture_output=True)

    @property
    def dist(self) -> Path:
        """What was released."""
        return self.folder / "dist"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    folder = tmp_path_factory.mktemp("release")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / name).exists():
            (folder / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, folder / "checkout" / name)
    made = Checkout(folder / "checkout", folder / "key", folder / "image.tar")
    for name in (
        "pyproject.toml",
        "packages/kubectl-datasource/pyproject.toml",
        "deploy/chart/Chart.yaml",
        "deploy/install.yaml",
    ):
        path = made.folder / name
        path.write_text(path.read_text().replace(version(), VERSION))
    changelog = made.folder / "CHANGELOG.md"
    text = changelog.read_text()
    changelog.write_text(
        text.replace(
            "## [Unreleased]\n", f"## [Unreleased]\n\n## [{VERSION}] - 2030-01-01\n\n### Added\n\n- A thing.\n", 1
        )
    )
    made.git("init", "-q")
    made.git("add", "-A")
    made.git("commit", "-q", "-m", "A commit")
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(made.key)],
        check=True,
        capture_output=True,
    )
    metadata = "opt/venv/lib/python3.11/site-packages/kopf-1.dist-info/METADATA"
    image = archive({metadata: "Name: kopf\nVersion: 1\n"}, base_digest=BASE.rpartition("@")[2])
    made.image.write_bytes(tar(image, 1))
    return made


@pytest.fixture(scope="module")
def dist(checkout: Checkout) -> Path:
    done = checkout.release()
    assert done.returncode == 0, done.stderr
    return checkout.dist


def digests(folder: Path) -> dict[str, str]:
    return {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in folder.iterdir()}


def run(*command: object, cwd: Path | None = None, **environ: str) -> str:
    done = subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout


def test_release_holds_everything_that_is_published(dist: Path) -> None:
    names = {each.name for each in dist.iterdir() if each.suffix != ".sig"}
    (plugin,) = {name for name in names if name.startswith("kubectl-datasource-")}
    assert names - {plugin} == {
        "RELEASE_NOTES.md",
        "checksums.txt",
        "crd.yaml",
        f"datasource-operator-{VERSION}-linux-amd64.image.cdx.json",
        f"datasource-operator-{VERSION}.oci.tar",
        f"datasource-operator-{VERSION}.tgz",
        "datasource.yaml",
        f"datasource_operator-{VERSION}-py3-none-any.whl",
        f"datasource_operator-{VERSION}-py3-none-any.whl.cdx.json",
        f"datasource_operator-{VERSION}.tar.gz",
        "icon.svg",
        "install.yaml",
        f"kubectl_datasource-{VERSION}-py3-none-any.whl",
        f"kubectl_datasource-{VERSION}-py3-none-any.whl.cdx.json",
        f"kubectl_datasource-{VERSION}.tar.gz",
        "provenance.intoto.jsonl",
        "release.pub",
    }


def test_coreutils_and_openssl_find_checksums_and_every_signature_right(dist: Path, tmp_path: Path) -> None:
    run("sha256sum", "--check", "--strict", "checksums.txt", cwd=dist)
    listed = {line.split("  ")[1] for line in (dist / "checksums.txt").read_text().splitlines()}
    signed = {each.name.removesuffix(".sig") for each in dist.glob("*.sig")}
    assert (
        signed
        == listed | {"checksums.txt"}
        == {each.name for each in dist.iterdir() if each.suffix not in {".sig", ".pub"}}
    )
    for name in signed:
        (tmp_path / "signature").write_bytes(base64.b64decode((dist / f"{name}.sig").read_text()))
        verify = ("openssl", "dgst", "-sha256", "-verify", "release.pub", "-signature", tmp_path / "signature")
        assert "Verified OK" in run(*verify, name, cwd=dist)


def test_provenance_is_about_every_file_and_signed(dist: Path, tmp_path: Path) -> None:
    envelope = json.loads((dist / "provenance.intoto.jsonl").read_text())
    payload = base64.b64decode(envelope["payload"])
    subjects = {each["name"]: each["digest"]["sha256"] for each in json.loads(payload)["subject"]}
    others = {"provenance.intoto.jsonl", "checksums.txt", "release.pub"}
    assert subjects == {
        name: each for name, each in digests(dist).items() if name not in others and not name.endswith(".sig")
    }
    kind = envelope["payloadType"]
    (tmp_path / "signed").write_bytes(f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload)
    (tmp_path / "signature").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    run(
        "openssl",
        "dgst",
        "-sha256",
        "-verify",
        dist / "release.pub",
        "-signature",
        tmp_path / "signature",
        tmp_path / "signed",
    )


def test_helm_finds_the_chart_in_order_and_pulls_from_the_repository(dist: Path) -> None:
    chart = dist / f"datasource-operator-{VERSION}.tgz"
    url = ("--set", "externalURL=https://connect.example.com")
    linted = run(build.helm(), "lint", "--strict", chart, *url)
    assert "[INFO]" not in linted, "nothing is left to recommend, such as an icon"
    rendered = run(build.helm(), "template", "datasource", chart, *url)
    images = {
        container["image"]
        for each in yaml.safe_load_all(rendered)
        if each and each["kind"] == "Deployment"
        for container in each["spec"]["template"]["spec"]["containers"]
    }
    assert images == {f"registry.example.com/team/datasource-operator:{VERSION}"}
    assert f"image: registry.example.com/team/datasource-operator:{VERSION}\n" in (dist / "install.yaml").read_text()


def test_krew_takes_the_manifest(dist: Path) -> None:
    run(build.krew_validator(), "-skip-install", "-manifest", dist / "datasource.yaml")
    (platform,) = yaml.safe_load((dist / "datasource.yaml").read_text())["spec"]["platforms"]
    name = platform["uri"].removeprefix(f"{DOWNLOAD}/")
    assert platform["sha256"] == digests(dist)[name]


def test_program_runs_without_a_python_and_completes_itself(dist: Path, tmp_path: Path) -> None:
    (packed,) = dist.glob("kubectl-datasource-*.tar.gz")
    with tarfile.open(packed) as opened:
        opened.extractall(tmp_path, filter="data")
    alone = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    program = tmp_path / "kubectl-datasource"
    assert (
        run("/usr/bin/env", "-i", *(f"{k}={v}" for k, v in alone.items()), program, "version", "--client")
        .strip()
        .endswith(VERSION)
    )
    assert "GitHub" in run(
        "/usr/bin/env", "-i", *(f"{k}={v}" for k, v in alone.items()), program, "providers", "github"
    )
    assert "Traceback" not in run(
        "/usr/bin/env", "-i", f"PATH={tmp_path}:/bin", tmp_path / "kubectl_complete-datasource", "li"
    )
    assert (tmp_path / "LICENSE").read_text().lstrip().startswith("Apache License")


def test_wheel_of_the_plugin_has_all_that_it_runs_with_and_a_license(dist: Path, tmp_path: Path) -> None:
    (wheel,) = dist.glob("kubectl_datasource-*.whl")
    shutil.unpack_archive(wheel, tmp_path, "zip")
    assert len(list(tmp_path.glob("*.dist-info/licenses/LICENSE"))) == 1
    line = "from kubectl_datasource.__main__ import run; run(['providers', 'github'])"
    assert "GitHub" in run(sys.executable, "-P", "-c", line, cwd=tmp_path, PYTHONPATH=str(tmp_path))


def test_same_commit_and_values_give_the_same_bytes(checkout: Checkout, dist: Path) -> None:
    before = digests(dist)
    done = checkout.release()
    assert done.returncode == 0, done.stderr
    assert digests(checkout.dist) == before


REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "a base that is a tag": ({"RELEASE_BASE": "python:3.11-slim"}, "by digest"),
    "no key": ({"RELEASE_KEY": ""}, "RELEASE_KEY is missing"),
    "a typo": ({"RELEASE_REPO": "x"}, "RELEASE_REPO is no variable"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_refused_and_what_was_released_stays(case: str, checkout: Checkout, dist: Path) -> None:
    changes, said = REFUSED[case]
    before: Any = digests(dist)
    done = checkout.release(**changes)
    assert done.returncode == 1
    assert said in done.stderr
    assert digests(checkout.dist) == before


def test_files_that_are_not_committed_are_refused(checkout: Checkout, dist: Path) -> None:
    stray = checkout.folder / "stray"
    stray.touch()
    done = checkout.release()
    stray.unlink()
    assert "stray" in done.stderr


def test_version_that_nobody_wrote_about_is_refused(checkout: Checkout, dist: Path) -> None:
    changelog = checkout.folder / "CHANGELOG.md"
    before = changelog.read_text()
    changelog.write_text(re.sub(rf"## \[{VERSION}\].*", "### Another", before))
    checkout.git("commit", "-aqm", "No section")
    done = checkout.release()
    assert f"CHANGELOG.md has no section for {VERSION}" in done.stderr
