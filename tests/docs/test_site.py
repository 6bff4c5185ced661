"""The site leads to pages that are there, and fetches nothing from elsewhere. `make docs-site` builds it, links checked."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from deploy.local.cache import REPOSITORY
from tests.docs.markdown import targets

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


def test_a_link_that_leads_nowhere_ends_the_build_headings_included() -> None:
    """MkDocs itself is in a venv of its own. By default it only mentions a heading that is not there."""
    (target,) = re.findall(r"^docs-site:.*?(?=^\S)", (REPOSITORY / "Makefile").read_text(), re.MULTILINE | re.DOTALL)
    assert "mkdocs build --strict\n" in target, "with --quiet, --strict counts no warning"
    assert {SITE["validation"][each] for each in ("anchors", "absolute_links", "unrecognized_links")} == {"warn"}


@pytest.mark.parametrize("page", list(pages(SITE["nav"])))
def test_links_lead_to_files_since_a_site_has_no_page_for_a_folder(page: str) -> None:
    led_to = [target.partition("#")[0] for target in targets((REPOSITORY / page).read_text()) if ":" not in target]
    assert [each for each in led_to if ((REPOSITORY / page).parent / each).is_dir() and each] == []


_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", list(pages(SITE["nav"])))
def test_what_belongs_to_an_item_of_a_list_is_indented_so_that_the_site_sees_it(page: str) -> None:
    """MkDocs wants four spaces, where others take the width of the marker. Else the list ends there, and begins again at 1."""
    text = _FENCE.sub("", (REPOSITORY / page).read_text())
    after_a_gap = re.findall(r"\n *\n( *)(?=\S)", text)
    assert {len(spaces) % 4 for spaces in after_a_gap} == {0}
