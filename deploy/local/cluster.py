"""A cluster behind a kubeconfig: one that we started, kind's, or the one that the user works with."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local import tools
from deploy.local.processes import StackError


@dataclass(frozen=True)
class Cluster:
    """`folder` is where the kubeconfigs of ServiceAccounts are written."""

    kubeconfig: Path
    folder: Path

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl.

        Raises:
            StackError: kubectl failed; the text is what it printed. Never with `check=False`.
        """
        command = [str(tools.kubectl()), "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise StackError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done

    def get(self, *arguments: str) -> dict[str, Any]:
        """`kubectl get ... -o json`, parsed."""
        parsed: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json").stdout)
        return parsed

    def service_account_token(self, namespace: str, name: str) -> str:
        """A token of a ServiceAccount for a day, as kubelet would mount it."""
        return self.kubectl("create", "token", name, "-n", namespace, "--duration=24h").stdout.strip()

    def kubeconfig_for(self, namespace: str, name: str) -> Path:
        """A kubeconfig of a ServiceAccount, whose token stands in a file of its own, as in a pod."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        token_file = self.folder / f"{namespace}.{name}.token"
        token_file.touch(mode=0o600)
        token_file.write_text(self.service_account_token(namespace, name))
        return self._written(f"{namespace}.{name}", {"tokenFile": str(token_file)})

    def _written(self, name: str, user: dict[str, str]) -> Path:
        view = self.kubectl("config", "view", "--minify", "--flatten", "--raw", "-o", "json").stdout
        configuration = json.loads(view)
        configuration["users"] = [{"name": "service-account", "user": user}]
        configuration["contexts"][0]["context"]["user"] = "service-account"
        path = self.folder / f"{name}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(json.dumps(configuration, indent=1))
        return path
