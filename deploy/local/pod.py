"""The wheel in an environment of its own, run as a pod runs it, where no node can: part of `make test`, which builds no image.

The steps are those of the Containerfile: what builds the wheel and what runs it are installed from their pins, apart from each
other. `command_in_a_pod` then runs a command in it with a read-only file system, as the image's user (pod.sh). `make node` has
the image itself.
"""

import base64
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.cache import BUILD, REPOSITORY, locked
from deploy.local.cluster import Cluster
from deploy.local.processes import StackError
from deploy.local.progress import Say, say

FOLDER = BUILD / "pod"
CONTAINERFILE = REPOSITORY / "Containerfile"
USER = 65532

_REQUIREMENTS = REPOSITORY / "requirements"
_POD = Path(__file__).with_name("pod.sh")
_BUILDS = "none"


def obstacle() -> str | None:
    """Why a command cannot be run as in a pod here; None where it can."""
    if os.geteuid() != 0:
        return "mounting takes root"
    missing = [name for name in ("unshare", "setpriv", "mount") if shutil.which(name) is None]
    if missing:
        return f"there is no {', '.join(missing)} (util-linux)"
    tried = _run(["unshare", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "tmpfs", "/opt"])
    return None if tried.returncode == 0 else f"mount namespaces are not allowed: {tried.stderr.strip()}"


@dataclass(frozen=True)
class Image:
    """What stands in the image: its environment folder, and its ENV."""

    venv: Path
    env: Mapping[str, str]

    def command_in_a_pod(self, command: Sequence[str], account: Path) -> list[str]:
        """The command line that runs `command` as a pod with this ServiceAccount folder would."""
        return _in_namespace(self.venv, str(account), command)


def image(out: Say = say) -> Image:
    """The image of this checkout; what runs is installed once for each set of pins, the wheel each time.

    Raises:
        StackError: pip failed.
    """
    venv = FOLDER / "venv"
    with locked(FOLDER, out):
        pins = (_REQUIREMENTS / "run.txt").read_text()
        installed = venv / "run.txt"
        if not installed.exists() or installed.read_text() != pins:
            out("      installing what the image holds, about a minute")
            shutil.rmtree(venv, ignore_errors=True)
            venv.mkdir(parents=True)
            _in_image(venv, ["/opt/python/bin/python3", "-m", "venv", "/opt/venv"])
            _pip_in_image(
                venv, "--require-hashes", "--only-binary=:all:", "--requirement", str(_REQUIREMENTS / "run.txt")
            )
            installed.write_text(pins)
        _pip_in_image(venv, "--force-reinstall", str(wheel(out)))
    return Image(venv, image_env(CONTAINERFILE.read_text()))


def wheel(out: Say = say) -> Path:
    """The wheel of this checkout, built with what requirements/build.txt pins and nothing else."""
    builder = FOLDER / "build"
    python = builder / "bin" / "python"
    pins = (_REQUIREMENTS / "build.txt").read_text()
    installed = builder / "build.txt"
    if not installed.exists() or installed.read_text() != pins:
        out("      installing what builds the wheel")
        _checked([sys.executable, "-m", "venv", "--clear", str(builder)])
        options = ["--quiet", "--no-deps", "--require-hashes", "--requirement", str(_REQUIREMENTS / "build.txt")]
        _checked([str(python), "-m", "pip", "install", *options])
        installed.write_text(pins)
    wheels, source = FOLDER / "wheels", FOLDER / "source"
    shutil.rmtree(wheels, ignore_errors=True)
    _copy_source(source)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels)]
    _checked([str(python), "-m", "pip", "wheel", *options, str(source)])
    (built,) = wheels.glob("*.whl")
    return built


def _copy_source(folder: Path) -> None:
    """What the Containerfile copies from this checkout, and nothing that stands beside it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for names in copied(CONTAINERFILE.read_text()):
        for name in names:
            path = REPOSITORY / name
            if path.is_dir():
                shutil.copytree(path, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, folder / name)


def copied(containerfile: str) -> list[list[str]]:
    """The sources of each COPY from the checkout.

    >>> copied("COPY a.toml b.md ./\\nCOPY --from=build /x /x\\nCOPY c c")
    [['a.toml', 'b.md'], ['c']]
    """
    lines = (line.split()[1:] for line in containerfile.splitlines() if line.startswith("COPY "))
    return [words[:-1] for words in lines if not words[0].startswith("--")]


def image_env(containerfile: str) -> dict[str, str]:
    """The ENV of the last stage of a Containerfile, on a PATH such as images have.

    >>> image_env("FROM a\\nENV X=1\\nFROM b\\nENV PATH=/opt/bin:$PATH Y=2")
    {'PATH': '/opt/bin:/usr/local/bin:/usr/bin:/bin', 'Y': '2'}
    """
    stage = containerfile.rpartition("\nFROM ")[2]
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    for line in stage.splitlines():
        if line.startswith("ENV "):
            pairs = (each.partition("=") for each in shlex.split(line.removeprefix("ENV ")))
            env |= {name: value.replace("$PATH", env["PATH"]) for name, _, value in pairs}
    return env


def account_folder(cluster: Cluster, namespace: str, name: str) -> tuple[Path, dict[str, str]]:
    """What kubelet mounts for a ServiceAccount, and the variables that say where the API server is."""
    view = json.loads(cluster.kubectl("config", "view", "--minify", "--flatten", "--raw", "-o", "json").stdout)
    server = view["clusters"][0]["cluster"]
    folder = cluster.folder / f"{namespace}.{name}.mounted"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    contents = {
        "token": cluster.service_account_token(namespace, name).encode(),
        "ca.crt": base64.b64decode(server["certificate-authority-data"]),
        "namespace": namespace.encode(),
    }
    for file, content in contents.items():
        path = folder / file
        path.touch(mode=0o600)
        path.write_bytes(content)
        os.chown(path, USER, USER)
    os.chown(folder, USER, USER)
    host, _, port = server["server"].removeprefix("https://").partition(":")
    return folder, {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}


def _in_namespace(venv: Path, account: str, command: Sequence[str]) -> list[str]:
    pod = ["unshare", "--mount", "--propagation", "private", "sh", str(_POD), sys.base_prefix, str(venv), account]
    return [*pod, *command]


def _in_image(venv: Path, command: Sequence[str]) -> None:
    _checked(_in_namespace(venv, _BUILDS, command))


def _pip_in_image(venv: Path, *arguments: str) -> None:
    options = ["--quiet", "--disable-pip-version-check", "--no-deps"]
    _in_image(venv, ["/opt/venv/bin/python", "-m", "pip", "install", *options, *arguments])


def _checked(command: Sequence[str]) -> None:
    done = _run(command)
    if done.returncode != 0:
        raise StackError(f"{' '.join(command)}:\n{done.stderr or done.stdout}")


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
