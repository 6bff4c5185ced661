"""Commands that people are shown: `datasource` alone may be KubeVirt's, and no secret belongs into words that are typed."""

import re

from tests.docs.test_links import files, name

_LONG = re.compile(
    r"kubectl [^`\n]*?\b(?:get|describe|annotate|patch|delete|edit|wait|explain|label) datasources?(?![\w.]*\.dev)\b"
)
_TYPED = re.compile(r"--from-literal[= ].*")
"""Whatever is in a Secret: it would stay in the shell's history, and every process of the machine could read it."""


def found(pattern: re.Pattern[str]) -> list[str]:
    """What pages, code and manifests have of a pattern."""
    texts = [
        path
        for path in files()
        if path.suffix in {".md", ".py", ".txt", ".yaml", ".html", ".lua", ".toml"}
        and not name(path).startswith(("tests/", "CHANGELOG"))
    ]
    assert len(texts) > 300
    return [f"{name(path)}: {match[0]}" for path in texts for match in pattern.finditer(path.read_text())]


def test_no_command_that_is_shown_says_datasource_alone() -> None:
    assert found(_LONG) == []


def test_no_command_that_is_shown_has_a_secret_in_its_words() -> None:
    assert found(_TYPED) == []
