"""The script `kubectl-datasource`: runs a command, and turns every end into an exit code."""

import os
import sys
from collections.abc import Sequence

import click

from kubectl_datasource.cli import cli
from kubectl_datasource.exits import Exit, Problem
from kubectl_datasource.screen import Screen
from kubectl_datasource.shells import COMPLETE
from kubectl_datasource.words import printable


def main() -> None:
    """Run, and exit with one of the documented codes."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command; returns the exit code."""
    try:
        return _complete(arguments[1:]) if list(arguments[:1]) == [COMPLETE] else _run(arguments)
    except BrokenPipeError:
        # Whoever read us, such as `head`, has seen enough. Python must not complain when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FINE


def _complete(words: Sequence[str]) -> int:
    """Answer a shell. What it asks about may look like options of ours, so no parser comes before."""
    from kubectl_datasource.completion import answer

    sys.stdout.write(answer(words))
    sys.stdout.flush()
    return Exit.FINE


def _run(arguments: Sequence[str]) -> int:
    try:
        ended = cli.main(list(arguments), prog_name="kubectl datasource", standalone_mode=False)
        sys.stdout.flush()
        return int(ended or 0)
    except click.ClickException as error:
        error.show()
        return Exit.USAGE
    except Problem as problem:
        screen = Screen.of_process()
        screen.note(printable(problem.what), "red")
        if problem.remedy:
            screen.note(printable(problem.remedy))
        return problem.exit
    except (KeyboardInterrupt, click.Abort):
        return Exit.INTERRUPTED


if __name__ == "__main__":
    main()
