"""The manifest with which krew installs the plugin."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

_DESCRIPTION = """\
Shows the state of Datasources, gets and clears their OAuth2 credentials. Says what is wrong with one and how to
correct it. Checks the installation of the Datasource Operator, and makes backups.
"""

_CAVEATS = """\
kubectl completes its words once your shell has read this, after kubectl's own completion:
  source <(kubectl datasource completion bash)
"""


def manifest(version: str, archives: Mapping[str, str], download: str, homepage: str) -> str:
    """The manifest, as YAML.

    Args:
        version: of the release, without a v.
        archives: the sha256 of each archive, by its file name.
        download: the URL of the folder that they will be in.
        homepage: the URL of the repository; empty: none is named.
    """
    platforms = [_platform(version, name, digest, download) for name, digest in sorted(archives.items())]
    spec: dict[str, Any] = {
        "version": f"v{version}",
        **({"homepage": homepage} if homepage else {}),
        "shortDescription": "Work with OAuth2 Datasources",
        "description": _DESCRIPTION,
        "caveats": _CAVEATS,
        "platforms": platforms,
    }
    made = {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "datasource"},
        "spec": spec,
    }
    return yaml.safe_dump(made, sort_keys=False, width=120)


def _platform(version: str, name: str, digest: str, download: str) -> dict[str, Any]:
    system, machine = re.findall(rf"-{re.escape(version)}-([a-z]+)-([a-z0-9]+)\.", name)[0]
    program = "kubectl-datasource" + (".exe" if system == "windows" else "")
    return {
        "selector": {"matchLabels": {"os": system, "arch": machine}},
        "uri": f"{download}/{name}",
        "sha256": digest,
        "bin": program,
        "files": [{"from": each, "to": "."} for each in (program, "LICENSE")],
    }
