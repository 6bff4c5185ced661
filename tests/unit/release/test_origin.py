"""An image of another commit is not released: neither with other code, nor with other packages."""

import zipfile
from pathlib import Path

import pytest

from release.archives import tar
from release.image import Image, read
from release.origin import check
from release.refusal import Refused
from tests.unit.release.oci import archive

SITE = "opt/venv/lib/python3.11/site-packages"
LOCK = "kopf==1.2 \\\n    --hash=sha256:" + "a" * 64 + "\nhttpx==3.4 \\\n    --hash=sha256:" + "b" * 64 + "\n"
OURS = "datasource_operator-9.8.7.dist-info"
RECORD = f"""\
datasource/a.py,sha256=one,1
callback_server/b.py,sha256=two,2
{OURS}/METADATA,sha256=of-the-wheel,3
{OURS}/RECORD,,
"""
ADDED = f"""\
../../../bin/datasource-operator,sha256=x,1
datasource/__pycache__/a.cpython-311.pyc,,
{OURS}/INSTALLER,sha256=pip,4
"""

INSTALLED = {
    f"{SITE}/{OURS}/RECORD": RECORD.replace("of-the-wheel", "another") + ADDED,
    f"{SITE}/kopf-1.2.dist-info/METADATA": "Name: kopf\nVersion: 1.2\n",
    f"{SITE}/kopf-1.2.dist-info/RECORD": "kopf/__init__.py,sha256=one,1\n",
    f"{SITE}/httpx-3.4.dist-info/METADATA": "Name: HTTPX\nVersion: 3.4\n",
    "usr/lib/python3/dist-packages/pip-23.dist-info/METADATA": "Name: pip\nVersion: 23\n",
}


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "datasource_operator-9.8.7-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as written:
        written.writestr(f"{OURS}/RECORD", RECORD)
    return path


def image(folder: Path, files: dict[str, str]) -> Image:
    path = folder / "image.tar"
    path.write_bytes(tar(archive(files), 0))
    return read(path)


def test_image_of_the_commit_is_taken_whatever_pip_and_the_base_added(wheel: Path, tmp_path: Path) -> None:
    check(image(tmp_path, INSTALLED), wheel, LOCK)


def changed(name: str, old: str, new: str) -> dict[str, str]:
    assert old in INSTALLED[name]
    return INSTALLED | {name: INSTALLED[name].replace(old, new)}


def without(name: str) -> dict[str, str]:
    return {path: text for path, text in INSTALLED.items() if path != name}


OWN = f"{SITE}/{OURS}/RECORD"
OTHERS: dict[str, tuple[dict[str, str], str]] = {
    "a module of another commit": (
        changed(OWN, "sha256=two", "sha256=old"),
        r"released\. 1 file differs: callback_server/b\.py\.",
    ),
    "a module more": (
        changed(OWN, "datasource/a.py", "datasource/c.py,sha256=x,1\ndatasource/a.py"),
        r"datasource/c\.py",
    ),
    "a module less": (changed(OWN, "datasource/a.py,sha256=one,1\n", ""), r"datasource/a\.py"),
    "another version": (
        without(OWN) | {OWN.replace("9.8.7", "9.8.6"): RECORD.replace("9.8.7", "9.8.6")},
        r"2 files differ, datasource_operator-9\.8\.6.* among them",
    ),
    "two versions": (INSTALLED | {OWN.replace("9.8.7", "9.8.6"): RECORD}, r"datasource_operator-9\.8\.6"),
    "nothing of ours": (without(OWN), "has other code"),
    "a package of another version": (
        changed(f"{SITE}/kopf-1.2.dist-info/METADATA", "1.2", "1.1"),
        r"pins\. 1 package is missing: kopf 1\.2\.",
    ),
    "a package less": (without(f"{SITE}/httpx-3.4.dist-info/METADATA"), r"httpx 3\.4"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_image_of_another_commit_is_refused(case: str, wheel: Path, tmp_path: Path) -> None:
    files, said = OTHERS[case]
    with pytest.raises(Refused, match=said):
        check(image(tmp_path, files), wheel, LOCK)
