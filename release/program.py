"""I/O: the kubectl plugin as a program that needs no Python, for the platform that this runs on: `make plugin`.

`python -m release.program FOLDER` writes the archive alone. Releases do it on each platform and gather what comes of it.
"""

import os
import platform
import re
import subprocess
import sys
import tarfile
import zipfile
from contextlib import nullcontext
from pathlib import Path

from deploy.local.cache import BUILD, REPOSITORY, locked
from deploy.local.progress import say
from release import packages
from release.archives import Member, tar_gz, zipped
from release.refusal import Refused, refusals
from release.source import Source, empty, export

NAME = "kubectl-datasource"

_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_FOLDER = BUILD / "release"

# PyInstaller puts its own libraries first, and keeps what was there. Ours are loaded once this runs; kubectl, a login program
# that it starts, and a browser must find those of the machine.
_ENTRY = """\
import os, sys

if "LD_LIBRARY_PATH_ORIG" in os.environ:
    os.environ["LD_LIBRARY_PATH"] = os.environ.pop("LD_LIBRARY_PATH_ORIG")
elif os.environ.get("LD_LIBRARY_PATH") == sys._MEIPASS:
    del os.environ["LD_LIBRARY_PATH"]

from kubectl_datasource.__main__ import main

main()
"""

_COMPLETES = """\
#!/bin/sh
# kubectl runs it where it is on PATH: kubectl datasource <TAB>
exec kubectl-datasource __complete "$@"
"""

# Rich colours programs' source with the first, and reads Markdown with the second; we print neither.
_LEFT_OUT = ("pygments", "markdown_it", "setuptools", "tkinter", "unittest", "pydoc", "test")


def this_platform() -> str:
    """The operating system and the machine, in the words of Go: linux-amd64."""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}-{_MACHINES.get(machine, machine)}"


def archive_name(version: str, on: str) -> str:
    """The file of the archive for a platform."""
    return f"{NAME}-{version}-{on}.{'zip' if on.startswith('windows') else 'tar.gz'}"


def archives_in(folder: Path, version: str) -> list[Path]:
    """The archives of other platforms that a release was given.

    Raises:
        Refused: something else is in the folder. A signature beside an archive would be another one to krew.
    """
    found = sorted(folder.iterdir())
    for each in found:
        on = re.fullmatch(rf"{NAME}-{re.escape(version)}-([a-z]+-[a-z0-9]+)\..*", each.name)
        is_packed = zipfile.is_zipfile if each.name.endswith(".zip") else tarfile.is_tarfile
        if on is None or each.name != archive_name(version, on[1]) or not each.is_file() or not is_packed(each):
            raise Refused(
                f"RELEASE_ARCHIVES: {each.name} is no archive of version {version}, such as "
                f"{archive_name(version, 'linux-arm64')}. Take it out of {folder}, or make it again with `make plugin`."
            )
    return found


def archive(source: Source, wheel: Path, target: Path) -> Path:
    """Build the program from the wheel; returns the archive that holds it.

    Raises:
        Refused: with what pip or PyInstaller says.
    """
    on = this_platform()
    program = _program(_environment(source, wheel), source.epoch)
    members = {
        program.name: Member(program.read_bytes(), is_program=True),
        "LICENSE": Member((source.folder / "LICENSE").read_bytes()),
    }
    if program.suffix != ".exe":
        members["kubectl_complete-datasource"] = Member(_COMPLETES.encode(), is_program=True)
    pack = zipped if on.startswith("windows") else tar_gz
    path = target / archive_name(source.version, on)
    path.write_bytes(pack(members, source.epoch))
    return path


def _environment(source: Source, wheel: Path) -> Path:
    """A Python with what requirements/plugin.txt pins, and the wheel; returns it."""
    lock = source.folder / "requirements" / "plugin.txt"
    folder = _FOLDER / "plugin"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    installed = folder / "plugin.txt"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    if not installed.exists() or installed.read_text("utf-8") != lock.read_text("utf-8"):
        say("      installing what makes the plugin a program")
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        _run([*pip, "--require-hashes", "--only-binary=:all:", "--requirement", str(lock)])
        installed.write_text(lock.read_text("utf-8"), "utf-8")
    # Not --force-reinstall: pip would miss what is taken away below.
    _run([*pip, "--ignore-installed", str(wheel)])
    take_away_paths(folder)
    return python


def take_away_paths(environment: Path) -> None:
    """What pip notes beside the metadata goes into the program, too, and names folders of this machine."""
    for folder in environment.rglob("kubectl_datasource-*.dist-info"):
        for name in ("direct_url.json", "RECORD", "REQUESTED", "INSTALLER"):
            (folder / name).unlink(missing_ok=True)


def _program(python: Path, epoch: int) -> Path:
    work = _FOLDER / "pyinstaller"
    entry = work / "entry.py"
    work.mkdir(parents=True, exist_ok=True)
    entry.write_text(_ENTRY, "utf-8")
    options = ["--onefile", "--noconfirm", "--clean", "--log-level=ERROR", f"--name={NAME}"]
    options += [
        "--copy-metadata=kubectl-datasource",
        "--collect-data=datasource",
        "--collect-submodules=kubectl_datasource",
    ]
    options += [f"--exclude-module={each}" for each in _LEFT_OUT]
    folders = [f"--distpath={work / 'made'}", f"--workpath={work / 'work'}", f"--specpath={work}"]
    # Hashes decide in which order PyInstaller writes.
    fixed = {"PYTHONHASHSEED": "1", "SOURCE_DATE_EPOCH": str(epoch)}
    say("      making the plugin a program, half a minute")
    _run([str(python), "-m", "PyInstaller", *options, *folders, str(entry)], **fixed)
    (made,) = (work / "made").glob(f"{NAME}*")
    return made


def _run(command: list[str], **environ: str) -> None:
    done = subprocess.run(  # noqa: S603
        command,
        env=packages.environment(**environ),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise Refused(f"{' '.join(command)}:\n{done.stderr or done.stdout}")


def main(target: Path) -> None:
    """Build the archive of the commit that is checked out."""
    with nullcontext() if os.name == "nt" else locked(_FOLDER, say):
        source = export(REPOSITORY, _FOLDER / "source")
        target.mkdir(parents=True, exist_ok=True)
        wheels = _FOLDER / "wheels"
        empty(wheels)
        _, wheel = packages.build(source.folder / "packages" / NAME, wheels, source.epoch)
        say(f"      {archive(source, wheel, target)}")


if __name__ == "__main__":
    with refusals():
        main(Path(sys.argv[1]))
