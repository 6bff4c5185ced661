"""`make release`, from a commit to what is published, checked by programs that are not ours."""

import base64
import json
import re
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local import build
from release import packages, sbom
from release.archives import tar
from tests.support.released import (
    DOWNLOAD,
    REGISTRY_PATH,
    SPOILT,
    VERSION,
    Checkout,
    digests,
    documented,
    run,
    signed,
    spoil,
    tried,
)
from tests.unit.release.oci import archive

BASE = "registry.example.com/python:3.11-slim@sha256:" + "a" * 64


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    made = Checkout.at(tmp_path_factory.mktemp("a release"), BASE)
    image = archive(installed(made, tmp_path_factory.mktemp("wheel")), base_digest=BASE.rpartition("@")[2])
    made.image.write_bytes(tar(image, 1))
    return made


def installed(checkout: Checkout, folder: Path) -> dict[str, str]:
    """What an image of this commit records of its packages."""
    site = "opt/venv/lib/python3.11/site-packages"
    _, wheel = packages.build(checkout.folder, folder, 1)
    with zipfile.ZipFile(wheel) as opened:
        (record,) = (name for name in opened.namelist() if name.endswith("/RECORD"))
        files = {f"{site}/{record}": opened.read(record).decode()}
    pins = sbom.locked((checkout.folder / "requirements" / "run.txt").read_text())
    metadata = {each["name"]: f"Name: {each['name']}\nVersion: {each['version']}\n" for each in pins}
    return files | {f"{site}/{name}.dist-info/METADATA": text for name, text in metadata.items()}


@pytest.fixture(scope="module")
def dist(checkout: Checkout) -> Path:
    done = checkout.release()
    assert done.returncode == 0, done.stderr
    return checkout.dist


def test_release_holds_everything_that_is_published(dist: Path) -> None:
    names = signed(dist) | {"release.pub"}
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


def test_every_file_is_listed_and_signed_in_two_forms(dist: Path) -> None:
    listed = {line.split("  ")[1] for line in (dist / "checksums.txt").read_text().splitlines()}
    assert signed(dist) == listed | {"checksums.txt"}
    for name in signed(dist):
        signature = json.loads((dist / f"{name}.sigstore.json").read_text())["messageSignature"]["signature"]
        assert (dist / f"{name}.sig").read_text() == signature + "\n"


def test_what_the_page_says_to_type_finds_checksums_and_every_signature_right(dist: Path) -> None:
    run("sh", "-c", documented("sha256sum"), cwd=dist)
    line = documented("openssl dgst")
    for name in signed(dist):
        assert "Verified OK" in run("sh", "-c", line.replace("checksums.txt", name), cwd=dist)


@pytest.mark.parametrize("case", SPOILT)
def test_openssl_refuses_what_was_altered(case: str, dist: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(dist, tmp_path / "dist"))
    spoil(copy, "checksums.txt", "checksums.txt.sig", case)
    done = tried("sh", "-c", documented("openssl dgst"), cwd=copy)
    assert done.returncode != 0
    assert "Verified OK" not in done.stdout


def test_checksums_find_a_file_that_was_altered_or_is_missing(dist: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(dist, tmp_path / "dist"))
    (copy / "crd.yaml").unlink()
    (copy / "install.yaml").write_text((copy / "install.yaml").read_text() + "\n")
    done = tried("sh", "-c", documented("sha256sum"), cwd=copy, LC_ALL="C")
    assert done.returncode != 0
    assert "crd.yaml: FAILED open or read" in done.stdout
    assert "install.yaml: FAILED" in done.stdout


def test_provenance_is_about_every_file_and_signed(dist: Path, tmp_path: Path) -> None:
    envelope = json.loads((dist / "provenance.intoto.jsonl").read_text())
    payload = base64.b64decode(envelope["payload"])
    subjects = {each["name"]: each["digest"]["sha256"] for each in json.loads(payload)["subject"]}
    of_files = digests(dist)
    assert subjects == {name: of_files[name] for name in signed(dist) - {"provenance.intoto.jsonl", "checksums.txt"}}
    assert json.loads((dist / "attestation.sigstore.json").read_text())["dsseEnvelope"] == envelope
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
    assert images == {f"{REGISTRY_PATH}:{VERSION}"}
    assert f"image: {REGISTRY_PATH}:{VERSION}\n" in (dist / "install.yaml").read_text()


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


def test_program_starts_others_with_the_libraries_of_the_machine(dist: Path, tmp_path: Path) -> None:
    """PyInstaller has its own on LD_LIBRARY_PATH; kubectl and a browser would load those."""
    (packed,) = dist.glob("kubectl-datasource-*.tar.gz")
    with tarfile.open(packed) as opened:
        opened.extractall(tmp_path, filter="data")
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\necho "${{LD_LIBRARY_PATH-unset}}" >> {tmp_path}/seen\nexit 1\n')
    kubectl.chmod(0o755)
    command = ("/usr/bin/env", "-i", f"PATH={tmp_path}:/usr/bin:/bin", f"HOME={tmp_path}")
    for given, seen in (((), "unset"), (("LD_LIBRARY_PATH=/opt/own",), "/opt/own")):
        (tmp_path / "seen").unlink(missing_ok=True)
        tried(*command, *given, tmp_path / "kubectl-datasource", "list")
        assert set((tmp_path / "seen").read_text().splitlines()) == {seen}


def test_wheel_of_the_plugin_has_all_that_it_runs_with_and_a_license(dist: Path, tmp_path: Path) -> None:
    (wheel,) = dist.glob("kubectl_datasource-*.whl")
    shutil.unpack_archive(wheel, tmp_path, "zip")
    assert len(list(tmp_path.glob("*.dist-info/licenses/LICENSE"))) == 1
    line = "from kubectl_datasource.__main__ import run; run(['providers', 'github'])"
    assert "GitHub" in run(sys.executable, "-P", "-c", line, cwd=tmp_path, PYTHONPATH=str(tmp_path))


def test_same_commit_and_values_give_the_same_bytes(checkout: Checkout, dist: Path, tmp_path: Path) -> None:
    """However the account that makes it again is set up, and whatever lies there."""
    before = digests(dist)
    (dist / "datasource-operator-1.2.3.tgz").write_text("of another version")
    # A module that the plugin uses is found elsewhere first, and two files differ without git's saying so.
    (tmp_path / "rich.py").write_text("raise SystemExit('not the one that is pinned')\n")
    altered = ("kubectl_datasource/__init__.py", "requirements/plugin.txt")
    checkout.git("update-index", "--skip-worktree", *altered)
    for name in altered:
        (checkout.folder / name).write_text("# altered\n")
    environ = {
        "PYTHONPATH": f"{checkout.folder}:{tmp_path}",
        "PYTHONOPTIMIZE": "2",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "LC_ALL": "C",
        "TZ": "Pacific/Kiritimati",
    }
    try:
        done = checkout.release("sh", "-c", 'umask 077 && exec "$@"', "sh", **environ)
    finally:
        checkout.git("update-index", "--no-skip-worktree", *altered)
        checkout.git("checkout", "-q", "--", *altered)
    assert done.returncode == 0, done.stderr
    assert digests(checkout.dist) == before
    # What to publish elsewhere, so that people know the key.
    assert f"release.pub has the SHA-256 {before['release.pub']}" in done.stdout


REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "a base that is a tag": ({"RELEASE_BASE": "python:3.11-slim"}, "by digest"),
    "no key": ({"RELEASE_KEY": ""}, "RELEASE_KEY is missing"),
    "a key that would be lost": ({"RELEASE_KEY": "dist/release.pub"}, "which a release deletes and writes again"),
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


def test_tag_of_another_version_is_refused_and_what_was_released_stays(checkout: Checkout, dist: Path) -> None:
    before: Any = digests(dist)
    checkout.git("tag", "v1.2.3")
    done = checkout.release()
    checkout.git("tag", "--delete", "v1.2.3")
    assert done.returncode == 1
    assert f"has the tag v1.2.3, and pyproject.toml the version {VERSION}" in done.stderr
    assert digests(checkout.dist) == before


def test_key_in_the_checkout_is_not_said_to_be_committed(checkout: Checkout, dist: Path) -> None:
    key = checkout.folder / "release.key"
    shutil.copy(checkout.key, key)
    done = checkout.release(RELEASE_KEY="release.key")
    key.unlink()
    assert done.returncode == 1
    assert "RELEASE_KEY" in done.stderr
    assert "Move it out" in done.stderr


def test_link_in_place_of_dist_is_not_followed(checkout: Checkout, dist: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    dist.rename(tmp_path / "dist")
    dist.symlink_to(tmp_path / "elsewhere")
    done = checkout.release()
    dist.unlink()
    shutil.move(tmp_path / "dist", dist)
    assert done.returncode == 1
    assert "is no folder of its own" in done.stderr
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_folder_that_cannot_be_written_is_named_in_one_line(checkout: Checkout, dist: Path, tmp_path: Path) -> None:
    build_folder = checkout.folder / "build"
    build_folder.rename(tmp_path / "build")
    build_folder.touch()
    done = checkout.release()
    build_folder.unlink()
    shutil.move(tmp_path / "build", build_folder)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert str(build_folder) in line
    assert "Nothing was released." in line


def test_image_that_an_earlier_commit_made_is_refused_and_what_was_released_stays(
    checkout: Checkout, dist: Path
) -> None:
    before: Any = digests(dist)
    module = checkout.folder / "datasource" / "__init__.py"
    text = module.read_text()
    module.write_text(text + "# A mend of a vulnerability.\n")
    checkout.git("commit", "-aqm", "After the image was built")
    done = checkout.release()
    checkout.git("reset", "-q", "--hard", "HEAD~")
    assert done.returncode == 1
    assert "1 file differs: datasource/__init__.py" in done.stderr
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
