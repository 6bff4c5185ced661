"""What completes `kubectl datasource <TAB>`: kubectl runs `kubectl_complete-datasource`, shells ask with `__complete`.

Source: kubectl's plugin documentation. It gets the words after `datasource`, the unfinished one last, and answers as Cobra's
completions do: a candidate a line, then a colon and a directive.
"""

import sys
from collections.abc import Sequence

from click.shell_completion import ShellComplete

from kubectl_datasource.cli import cli
from kubectl_datasource.screen import prepare_streams
from kubectl_datasource.shells import COMPLETE

NO_FILE_NAMES = 4
"""cobra.ShellCompDirectiveNoFileComp."""


def answer(words: Sequence[str]) -> str:
    """The candidates for the last of these words, and the directive."""
    *before, incomplete = words or ("",)
    candidates = ShellComplete(cli, {}, "kubectl datasource", "").get_completions(before, incomplete)
    lines = [f"{each.value}\t{each.help}" if each.help else str(each.value) for each in candidates]
    return "\n".join([*lines, f":{NO_FILE_NAMES}", ""])


def main() -> int:
    """Print the candidates; returns the exit code."""
    from kubectl_datasource.__main__ import run

    prepare_streams()
    return run([COMPLETE, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
