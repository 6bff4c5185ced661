"""What Argo CD's server makes of a repository's Secret: its own packages, compiled once from tests/gitops/argocd/repository."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.go_programs import ARGOCD_REPOSITORY, argocd


@dataclass(frozen=True)
class Read:
    """The URLs of all repositories that it knows, and the commit that HEAD of one is, or what went wrong."""

    known: list[str]
    head: str
    error: str


class ArgoRepositories:
    """Argo CD's view of the repositories of its namespace, for as long as it is entered."""

    def __init__(self, kubeconfig: Path, namespace: str, log: Path) -> None:
        self._arguments, self._log = (str(kubeconfig), namespace), log

    def __enter__(self) -> Self:
        program = argocd().built() / ARGOCD_REPOSITORY.name
        with self._log.open("w") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [program, *self._arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def read(self, url: str) -> Read:
        """Connect to a repository, as Argo CD does for one of its Applications."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(url, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer, self._log.read_text()
        return Read(**json.loads(answer))
