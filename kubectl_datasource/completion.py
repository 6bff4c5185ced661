"""The script `kubectl_complete-datasource`: kubectl runs it to complete `kubectl datasource <TAB>`.

Source: kubectl's plugin documentation. It gets the words after `datasource`, the unfinished one last, and answers as Cobra's
completions do: a candidate a line, then a colon and a directive.
"""

import sys

from click.shell_completion import ShellComplete

from kubectl_datasource.cli import cli

NO_FILE_NAMES = 4
"""cobra.ShellCompDirectiveNoFileComp."""


def main() -> None:
    """Print the candidates."""
    *words, incomplete = sys.argv[1:] or [""]
    completions = ShellComplete(cli, {}, "kubectl datasource", "").get_completions(words, incomplete)
    for each in completions:
        print(f"{each.value}\t{each.help}" if each.help else each.value)
    print(f":{NO_FILE_NAMES}")


if __name__ == "__main__":
    main()
