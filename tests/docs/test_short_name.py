"""Every command that people are shown uses the short name: `datasource` alone is KubeVirt's where that is installed."""

import re
import subprocess

from deploy.local.cache import REPOSITORY

_LONG = re.compile(
    r"kubectl [^`\n]*?\b(?:get|describe|annotate|patch|delete|edit|wait|explain|label) datasources?(?![\w.]*\.dev)\b"
)


def test_no_command_that_is_shown_says_datasource_alone() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)  # noqa: S607
    texts = [
        path
        for path in listed.stdout.split("\0")
        if path.endswith((".md", ".py", ".txt", ".yaml", ".html", ".lua"))
        and not path.startswith(("tests/", "CHANGELOG"))
    ]
    assert len(texts) > 300
    found = [f"{path}: {match[0]}" for path in texts for match in _LONG.finditer((REPOSITORY / path).read_text())]
    assert found == []
