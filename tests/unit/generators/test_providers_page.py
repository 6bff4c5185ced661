"""docs/providers.md says what presets.toml says."""

import re

import pytest
import yaml

from datasource.api.presets import PRESETS
from generators.providers_page import PAGE, page


def test_committed_page_is_what_the_presets_say() -> None:
    assert PAGE.read_text() == page(), "docs/providers.md is stale: run `make docs`"


@pytest.fixture(scope="module")
def written() -> str:
    """The page as it is generated now."""
    return page()


@pytest.mark.parametrize("name", PRESETS)
def test_every_provider_has_a_row_steps_and_a_manifest_to_start_from(name: str, written: str) -> None:
    section = written.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert PRESETS[name].source in section
    assert f"](#{name}) |" in written
    manifest = yaml.safe_load(re.search(r"```yaml\n(.*?)```", section, re.DOTALL)[1])  # type: ignore[index]
    assert manifest["spec"]["oauth2"]["provider"] == name
    assert "`status.redirectURI`" in section
