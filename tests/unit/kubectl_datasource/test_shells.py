"""The scripts that complete in shells. bash is on every machine that builds this; the others are run where they are."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kubectl_datasource.shells import COMPLETE, SHELLS, script
from tests.unit.kubectl_datasource.fake_cluster import plugin

PROGRAM = """#!/bin/sh
shift
printf 'asked:%s\\n' "$*"
printf 'calendar\\tA Datasource: of shop\\n:4\\n'
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plugin on PATH that answers with the words that it was asked about."""
    program = tmp_path / "kubectl-datasource"
    program.write_text(PROGRAM)
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def run(shell: str, text: str) -> list[str]:
    found = shutil.which(shell)
    assert found is not None
    done = subprocess.run([found, "-s"], input=text, capture_output=True, text=True, check=False, timeout=30)  # noqa: S603
    assert done.stderr == ""
    return done.stdout.splitlines()


def typed_in_bash(*words: str, before: str = "", sourced: int = 1) -> list[str]:
    """What bash would offer for the last of these words."""
    line = " ".join(f"'{each}'" for each in words)
    return run(
        "bash",
        f"""
set -euo pipefail
{before}
{script("bash") * sourced}
COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}
ours=$(complete -p {words[0]} | sed -n 's/.* -F \\([^ ]*\\) .*/\\1/p')
"$ours" {words[0]} '{words[-1]}' '{words[-2]}'
printf '%s\\n' "${{COMPREPLY[@]}}"
""",
    )


KUBECTLS_OWN = "__start_kubectl() { COMPREPLY=(own of kubectl); }\ncomplete -o default -F __start_kubectl kubectl"


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("kubectl-datasource", ""), "asked:"),
        (("kubectl-datasource", "explain", "-n", "shop", "c"), "asked:explain -n shop c"),
        (("kubectl", "datasource", ""), "asked:"),
        (("kubectl", "datasource", "explain", "a b", "c"), "asked:explain a b c"),
    ],
)
def test_bash_asks_the_plugin_and_offers_candidates_without_their_help(
    words: tuple[str, ...], asked: str, programs: Path
) -> None:
    assert typed_in_bash(*words) == [asked, "calendar"]


@pytest.mark.parametrize("words", [("kubectl", ""), ("kubectl", "datasource"), ("kubectl", "get", "")])
def test_what_kubectl_completes_stays_with_it(words: tuple[str, ...], programs: Path) -> None:
    assert typed_in_bash(*words, before=KUBECTLS_OWN) == ["own", "of", "kubectl"]


def test_script_that_was_read_twice_does_not_ask_itself(programs: Path) -> None:
    assert typed_in_bash("kubectl", "get", "", before=KUBECTLS_OWN, sourced=2) == ["own", "of", "kubectl"]
    assert typed_in_bash("kubectl", "get", "", sourced=2) == [""], "and without kubectl's own, nothing is offered"


def test_a_plugin_that_fails_offers_nothing(programs: Path) -> None:
    (programs / "kubectl-datasource").write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    assert typed_in_bash("kubectl", "datasource", "x") == [""]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_script_asks_with_the_word_that_the_plugin_knows(shell: str) -> None:
    asked = re.findall(r"kubectl-datasource (\w+) ", script(shell).replace("completion", ""))
    assert asked == [COMPLETE]


@pytest.mark.parametrize("shell", SHELLS)
def test_script_is_printed_as_it_is(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert plugin("completion", shell) == 0
    assert capsys.readouterr().out == script(shell)


def test_a_shell_that_is_not_known_is_refused_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert plugin("completion", "tcsh") == 2
    assert "'bash', 'zsh', 'fish', 'powershell'" in capsys.readouterr().err


def test_plugin_itself_answers_as_cobra_does() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kubectl_datasource", "__complete", "completion", "po"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "powershell\n:4\n"


@pytest.mark.parametrize("words", [("--help",), ("list", "-o", ""), ("--", "x"), ("clear", "-n", "a", "--help")])
def test_options_among_the_words_are_words(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert plugin("__complete", *words) == 0
    assert capsys.readouterr().out.endswith(":4\n")
