import subprocess
import sys

import pytest

from kubectl_datasource.__main__ import run
from kubectl_datasource.cli import cli

HEAVY = {"aiohttp", "asyncio", "httpx", "kopf", "kubernetes", "rich", "yaml", "ssl", "urllib.request", "webbrowser"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["list", "-o", "xml"],
        ["explain"],
        ["clear"],
        ["authorize", "calendar", "--timeout", "soon"],
        ["list", "--", "--all"],
        ["export"],
        ["export", "-o", "backup.tar"],
        ["export", "calendar", "-A", "-o", "backup.yaml"],
    ],
)
def test_wrong_usage_has_an_exit_code_of_its_own(arguments: list[str]) -> None:
    assert run(arguments) == 2


@pytest.mark.parametrize("name", cli.commands)
def test_every_command_documents_its_exit_codes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert "4 timed out" in " ".join(capsys.readouterr().out.split())


def test_help_of_the_whole_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    printed = capsys.readouterr().out
    assert [name for name in cli.commands if f"\n  {name} " not in printed] == []


def test_nothing_slow_is_imported_before_it_is_needed() -> None:
    code = "import sys, kubectl_datasource.__main__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert set(done.stdout.split()) & HEAVY == set()


def test_reader_that_has_seen_enough_is_no_error() -> None:
    line = f"{sys.executable} -m kubectl_datasource --help | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)  # noqa: S603, S607
    assert (done.returncode, done.stderr) == (0, "")
