"""What the Containerfile says of itself is read from it, so that it stands once."""

import pytest

from deploy.local.image.build import CONTAINERFILE
from deploy.local.image.containerfile import said_in
from deploy.local.processes import StackError


def test_base_and_time_of_this_checkout_are_found() -> None:
    said = said_in(CONTAINERFILE.read_text())
    assert said.base == "python"
    # A wheel is a zip file, whose times begin in 1980.
    assert said.epoch > 315_532_800


@pytest.mark.parametrize("missing", ["BASE", "SOURCE_DATE_EPOCH"])
def test_what_is_missing_is_named(missing: str) -> None:
    lines = {"BASE": "ARG BASE=python:3-slim", "SOURCE_DATE_EPOCH": "ARG SOURCE_DATE_EPOCH=7"}
    with pytest.raises(StackError, match=f"no line ARG {missing}="):
        said_in("\n".join(line for name, line in lines.items() if name != missing))
