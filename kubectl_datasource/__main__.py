"""The script `kubectl-datasource`: runs a command, and turns every end into an exit code."""

import sys
from collections.abc import Sequence
from io import StringIO

import click

from kubectl_datasource.cli import cli
from kubectl_datasource.exits import Exit, Problem
from kubectl_datasource.screen import Screen, prepare_streams, silence
from kubectl_datasource.shells import COMPLETE
from kubectl_datasource.words import printable


def main() -> None:
    """Run, and exit with one of the documented codes."""
    prepare_streams()
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command; returns the exit code."""
    try:
        return _complete(arguments[1:]) if list(arguments[:1]) == [COMPLETE] else _run(arguments)
    except BrokenPipeError:
        # click writes help texts itself, and whoever read one, such as `head`, has seen enough.
        silence(sys.stdout)
        return Exit.FINE
    except OSError as error:
        silence(sys.stdout)
        Screen.of_process().note(f"The operating system says: {error.strerror}.", "red")
        return Exit.NOT_AS_WANTED


def _complete(words: Sequence[str]) -> int:
    """Answer a shell. What it asks about may look like options of ours, so no parser comes before."""
    from kubectl_datasource.completion import answer

    Screen.of_process().show_text(answer(words))
    return Exit.FINE


def _run(arguments: Sequence[str]) -> int:
    screen = Screen.of_process()
    try:
        # Not `cli.main`: that ends every closed pipe with exit code 1, whatever the command came to.
        with cli.make_context("kubectl datasource", list(arguments)) as context:
            return int(cli.invoke(context) or 0)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        shown = StringIO()
        error.show(shown)
        screen.note(shown.getvalue())
        return Exit.USAGE
    except Problem as problem:
        screen.note(printable(problem.what), "red")
        if problem.remedy:
            screen.note(printable(problem.remedy))
        return problem.exit
    except (KeyboardInterrupt, EOFError):
        # The line with ^C ends here.
        screen.note("")
        return Exit.INTERRUPTED
    except click.Abort:
        return Exit.INTERRUPTED


if __name__ == "__main__":
    main()
