"""buildah with a storage of its own in the cache folder, no registry, and no privileges but those of a chroot."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from deploy.local import debian
from deploy.local.cache import cache_folder
from deploy.local.processes import StackError

BASE = "localhost/python"
"""What stands here for the image that a Containerfile calls `python`."""

# A short name is looked up in the aliases first; a name that has none is an error, and never a download.
_REGISTRIES = f"""\
unqualified-search-registries = []
short-name-mode = "enforcing"

[aliases]
"python" = "{BASE}"
"""

_POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}\n'


class Buildah:
    """The commands of buildah on one storage."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "images"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._registries = self.folder / "registries.conf"
        self._registries.write_text(_REGISTRIES)
        self._policy = self.folder / "policy.json"
        self._policy.write_text(_POLICY)

    def __call__(self, command: str, *arguments: str | Path, log: Path | None = None) -> str:
        """Run a command; what it printed, or, with a `log`, nothing: then it is kept there.

        Raises:
            StackError: it failed; the text ends with what it said.
        """
        options = [f"--root={self.folder / 'storage'}", f"--runroot={self.folder / 'run'}", "--storage-driver=overlay"]
        program = debian.found("buildah") or "buildah"
        line = [program, *options, command, *self._trust(command), *(str(each) for each in arguments)]
        done = subprocess.run(line, env=self._environment(), capture_output=True, text=True, check=False)
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(done.stdout + done.stderr)
        if done.returncode != 0:
            raise StackError(f"buildah {command}:\n{_tail(done.stdout + done.stderr)}")
        return "" if log is not None else done.stdout.strip()

    def has(self, image: str) -> bool:
        """Whether an image of this name is there."""
        return image in self("images", "--format={{.Name}}:{{.Tag}}").splitlines()

    def digest(self, image: str) -> str:
        """The digest of an image's manifest: one for one content."""
        return self("inspect", "--type=image", "--format={{.FromImageDigest}}", image)

    def _trust(self, command: str) -> Sequence[str]:
        return [f"--signature-policy={self._policy}"] if command in {"bud", "commit", "from", "push"} else []

    def _environment(self) -> dict[str, str]:
        own = {
            "CONTAINERS_REGISTRIES_CONF": str(self._registries),
            # No network namespace and no cgroups: what runs in a build is trusted, and a machine may allow neither.
            "BUILDAH_ISOLATION": "chroot",
            "PATH": f"{os.environ.get('PATH', '')}:{debian.SYSTEM_PATH}",
        }
        return {**os.environ, **own}


def _tail(text: str, lines: int = 30) -> str:
    return "\n".join(text.splitlines()[-lines:])
