"""Every end of a command has the exit code that its help tells."""

import re

import pytest

from kubectl_datasource.exits import EXIT_CODES, Exit, Forbidden, Misused, NotFound, NotInstalled, Problem, Unreachable


def test_help_tells_every_exit_code_there_is() -> None:
    told = re.findall(r"(?:: |; )(\d+) ", EXIT_CODES)
    assert [int(code) for code in told] == sorted(Exit)


@pytest.mark.parametrize(
    ("problem", "code"),
    [(Problem, 1), (NotFound, 1), (Forbidden, 1), (NotInstalled, 1), (Misused, 2), (Unreachable, 3)],
)
def test_problem_ends_with_its_exit_code_and_tells_what_and_remedy(problem: type[Problem], code: int) -> None:
    error = problem("Something is missing.", "Add it.")
    assert (error.exit, str(error), error.remedy) == (code, "Something is missing.", "Add it.")
