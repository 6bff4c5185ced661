"""Somebody who has a cluster, a checkout and README, and nothing else: what README says is taken out of it, and typed."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.local import build, tools
from deploy.local.cache import REPOSITORY
from deploy.local.cluster import Cluster

_FENCE = re.compile(r"^```([a-z]*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
PATIENCE = 400


def section(title: str) -> str:
    """What README says below a heading; before the first one: the empty title."""
    before, *rest = re.split(r"^## ", (REPOSITORY / "README.md").read_text(), flags=re.MULTILINE)
    found: dict[str, str] = {"": before} | {each.partition("\n")[0]: each.partition("\n")[2] for each in rest}
    return found[title]


def typed(title: str) -> list[str]:
    """The commands below a heading, in their order."""
    blocks = [block for language, block in _FENCE.findall(section(title)) if not language]
    return [line for block in blocks for line in block.splitlines()]


def manifest(title: str) -> dict[str, Any]:
    """The one object below a heading."""
    (block,) = [block for language, block in _FENCE.findall(section(title)) if language == "yaml"]
    found: dict[str, Any] = yaml.safe_load(block)
    return found


@dataclass(frozen=True)
class Newcomer:
    """Who types README's lines, in a checkout of their own."""

    cluster: Cluster
    folder: Path

    @classmethod
    def at(cls, cluster: Cluster, folder: Path) -> "Newcomer":
        """With a fresh checkout."""
        folder.mkdir(parents=True)
        for name in ("deploy", "crds"):
            ignored = shutil.ignore_patterns("local")
            shutil.copytree(REPOSITORY / name, folder / name, symlinks=True, ignore=ignored)
        return cls(cluster, folder)

    def type(self, line: str, at_the_prompt: str = "") -> str:
        """A line as README has it; what it printed. Fails with what it said where it failed."""
        browser = f"{sys.executable} -m tests.support.consenting_browser %s"
        folders = [Path(sys.executable).parent, tools.kubectl().parent, build.helm().parent]
        environ = {
            **os.environ,
            "KUBECONFIG": str(self.cluster.kubeconfig),
            "PATH": os.pathsep.join([*map(str, folders), os.environ.get("PATH", os.defpath)]),
            "PYTHONPATH": str(REPOSITORY),
            "BROWSER": browser,
        }
        done = subprocess.run(  # noqa: S603 - README is ours
            ["/bin/bash", "-euo", "pipefail", "-c", line],
            cwd=self.folder,
            env=environ,
            input=at_the_prompt,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{line}: {done.stderr or done.stdout}"
        return done.stdout

    def installs(self, external_url: str, *differences: str) -> None:
        """As README installs it, with the URL of this installation; `differences` are what this ground needs besides."""
        (line,) = (each for each in typed("Install it") if each.startswith("helm install "))
        assert "--set externalURL=https://connect.example.com" in line
        self.type(" ".join([line.replace("https://connect.example.com", external_url), *differences]))

    def saves_the_datasource(self, client_id: str, urls: dict[str, str]) -> None:
        """README's own manifest, with the client ID and the URLs of the service, and scopes that it knows."""
        datasource = manifest("")
        oauth2 = datasource["spec"]["oauth2"]
        assert set(urls) <= set(oauth2), "only what README names is filled in"
        oauth2 |= {"clientID": client_id, "scopes": ["openid", "offline_access", "read"], **urls}
        (self.folder / "calendar.yaml").write_text(yaml.safe_dump(datasource))

    def authorizes(self, client_secret: str) -> None:
        """All of what README says to type, once the service knows the redirect URI."""
        for line in typed("Use it"):
            self.type(line, at_the_prompt=f"{client_secret}\n" if "read -rs" in line else "")
