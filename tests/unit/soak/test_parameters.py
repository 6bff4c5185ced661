"""How long a soak takes, and how much of each thing."""

import pytest

from tests.soak.parameters import Parameters


def test_all_are_as_they_are_where_nothing_is_set() -> None:
    assert Parameters.of({}) == Parameters(seconds=3600, datasources=500, seed=1, tries=60)


def test_each_can_be_set() -> None:
    environ = {"SOAK_SECONDS": "60", "SOAK_DATASOURCES": "5", "SOAK_SEED": "7", "SOAK_TRIES": "2"}
    assert Parameters.of(environ) == Parameters(60, 5, 7, 2)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "an hour", "١"])
def test_what_is_no_number_is_told_with_its_variable(text: str) -> None:
    with pytest.raises(SystemExit, match="SOAK_SECONDS must be a number, such as 3600"):
        Parameters.of({"SOAK_SECONDS": text})
