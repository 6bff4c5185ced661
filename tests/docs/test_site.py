"""The site leads to pages that are there, and fetches nothing from elsewhere. `make docs-site` builds it, links checked."""

from collections.abc import Iterator
from typing import Any

import yaml

from deploy.local.cache import REPOSITORY

SITE: dict[str, Any] = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text())


def pages(entries: list[Any]) -> Iterator[str]:
    """The files of the navigation, however deep."""
    for entry in entries:
        for target in entry.values():
            if isinstance(target, str):
                yield target
            else:
                yield from pages(target)


def test_navigation_names_pages_that_are_there_each_once() -> None:
    """A page that it does not name is found by search, and by the links of others."""
    listed = list(pages(SITE["nav"]))
    assert [page for page in listed if not (REPOSITORY / page).is_file()] == []
    assert len(set(listed)) == len(listed)


def test_nothing_is_fetched_from_elsewhere() -> None:
    assert SITE["theme"]["font"] is False
    assert not {"extra_css", "extra_javascript", "hooks"} & SITE.keys()


def test_pages_that_begin_lead_on_to_the_next() -> None:
    for name in ("index", "first", "concepts", "apps", "troubleshooting", "faq", "compatibility", "upgrade"):
        assert (REPOSITORY / "docs" / f"{name}.md").read_text().rstrip().splitlines()[-1].startswith("Next: ["), name
