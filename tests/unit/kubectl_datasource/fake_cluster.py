"""A cluster behind a program that calls itself kubectl: it notes what it is asked, and answers what it was told to.

It is a shell script, since a look must cost no start of Python, and reads without programs of their own: a survey asks
hundreds of times. What the real kubectl makes of the same words is shown on a
real API server (tests/cluster/test_plugin.py).
"""

import json
from pathlib import Path
from typing import Any

import pytest

from kubectl_datasource.__main__ import run

SCRIPT = r"""#!/bin/sh
here=${0%/*}
printf '%s\n' "$*" >> "$here/asked"
case "$*" in *"-f -"*) cat >> "$here/stdin";; esac
for each in "$here"/answer-*; do
    [ -e "$each/words" ] || continue
    IFS= read -r words < "$each/words"
    case " $* " in
        *" $words "*)
            [ -e "$each/once" ] && { mkdir "$each/used" 2>/dev/null || continue; }
            cat "$each/out"
            cat "$each/err" >&2
            read -r code < "$each/code"
            exit "$code" ;;
    esac
done
echo "Error from server (NotFound): nothing was said about: $*" >&2
exit 1
"""


class Cluster:
    """What kubectl says, and what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0
        program = folder / "kubectl"
        program.write_text(SCRIPT)
        program.chmod(0o700)

    def says(self, words: str, answer: Any = "", *, once: bool = False) -> None:
        """Whoever asks with these words among others gets that; earlier answers go first."""
        text = answer if isinstance(answer, str) else json.dumps(answer)
        self._answer(words, out=text, once=once)

    def refuses(self, words: str, complaint: str) -> None:
        """Whoever asks with these words is told that, and kubectl fails."""
        self._answer(words, err=complaint, code=1)

    def prints(self, words: str, text: str, *, code: int) -> None:
        """Whoever asks with these words gets that, and the exit code of what was run."""
        self._answer(words, out=text, code=code)

    @property
    def asked(self) -> list[str]:
        """Every run of kubectl, as a line."""
        path = self.folder / "asked"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def stdin(self) -> str:
        """What was piped into it."""
        return (self.folder / "stdin").read_text()

    def _answer(self, words: str, *, out: str = "", err: str = "", code: int = 0, once: bool = False) -> None:
        self._count += 1
        folder = self.folder / f"answer-{self._count:03}"
        folder.mkdir()
        for name, text in (("out", out), ("err", err), ("code", f"{code}\n"), ("words", f"{words}\n")):
            (folder / name).write_text(text)
        if once:
            (folder / "once").touch()


def datasource(
    state: str = "AUTHORIZED", reason: str = "Authorized", *, name: str = "calendar", **status: Any
) -> dict[str, Any]:
    """A Datasource as kubectl prints it."""
    ready = "True" if reason == "Authorized" else "False"
    condition = {"type": "Ready", "status": ready, "reason": reason, "message": f"{reason}: a message."}
    told = {
        "state": state,
        "observedGeneration": 1,
        "conditions": [condition | {"lastTransitionTime": "2026-07-01T11:00:00Z"}],
    }
    return {
        "apiVersion": "datasource.dev/v1alpha1",
        "kind": "Datasource",
        "metadata": {"name": name, "namespace": "shop", "uid": "uid-1", "generation": 1},
        "spec": {"url": "https://api.example.com", "oauth2": {"clientID": "my-app"}},
        "status": told | status,
    }


def listing(*items: Any) -> dict[str, Any]:
    """A List of them."""
    return {"apiVersion": "v1", "kind": "List", "items": list(items)}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """One that knows nothing yet, found on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return Cluster(folder)


def plugin(*arguments: str) -> int:
    """Run a command; returns its exit code."""
    return run(arguments)
