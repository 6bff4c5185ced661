"""Links within the repository lead somewhere: pages to files and headings, code to docs/."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from deploy.local.cache import REPOSITORY
from tests.docs.markdown import anchors, slug, targets

DECISIONS = REPOSITORY / "docs" / "decisions.md"

_ELSEWHERE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)
_MENTION = re.compile(r"\b(docs/[\w-]+\.md)(?:#([\w-]+))?")


@cache
def files() -> tuple[Path, ...]:
    """What is in Git, or will be."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    found = (REPOSITORY / path for path in sorted(set(done.stdout.split("\0")) - {""}))
    return tuple(path for path in found if path.is_file())


def pages() -> list[Path]:
    return [path for path in files() if path.suffix == ".md"]


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def broken(page: Path, text: str) -> list[str]:
    return [target for target in targets(text) if not _ELSEWHERE.match(target) and not leads_somewhere(page, target)]


def leads_somewhere(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    led_to = (page.parent / path).resolve() if path else page
    if not led_to.exists() or not led_to.is_relative_to(REPOSITORY):
        return False
    return not anchor or (led_to.suffix == ".md" and anchor in anchors(led_to.read_text()))


def mentions() -> Iterator[tuple[str, str, str]]:
    """Who mentions which page of docs/, and what stands behind its `#`; not as a link, but in code, comments and sentences."""
    for path in files():
        for match in _MENTION.finditer(path.read_text(errors="replace")):
            yield name(path), match[1], match[2] or ""


@pytest.mark.parametrize("page", pages(), ids=name)
def test_links_of_a_page_lead_to_files_and_headings(page: Path) -> None:
    assert broken(page, page.read_text()) == []


def test_pages_that_are_mentioned_are_there_and_have_the_heading() -> None:
    found = list(mentions())
    assert found
    lost = [
        (where, page, anchor)
        for where, page, anchor in found
        if not leads_somewhere(REPOSITORY / "README.md", f"{page}#{anchor}" if anchor else page)
    ]
    assert lost == []


def test_code_names_the_decision_and_not_only_the_page() -> None:
    unclear = [where for where, page, anchor in mentions() if page == name(DECISIONS) and not anchor]
    assert [where for where in unclear if not where.endswith((".md", "mkdocs.yml"))] == []


def test_list_at_the_top_of_the_decisions_has_each_room_and_decision_once_and_in_order() -> None:
    text = DECISIONS.read_text()
    listed = [target.removeprefix("#") for target in targets(text) if target.startswith("#")]
    headings = re.findall(r"^##+ (.+)$", text, re.MULTILINE)
    assert listed == [slug(heading) for heading in headings]
    assert len(set(listed)) == len(listed), "an anchor with a number changes when another decision comes before it"


def test_every_decision_begins_with_what_holds() -> None:
    sections = re.split(r"^### ", DECISIONS.read_text(), flags=re.MULTILINE)[1:]
    assert [each.partition("\n")[0] for each in sections if not each.partition("\n\n")[2].startswith("**")] == []


@pytest.mark.parametrize(
    "link",
    [
        "[x](nowhere.md)",
        "[x](user.md#no-such-heading)",
        "[x](#no-such-heading)",
        "![x](no.svg)",
        '<source media="(prefers-color-scheme: dark)" srcset="no.svg">',
        '[x](nowhere.md "with a title")',
        "[x]: nowhere.md",
        "a stray ` here\n\n[x](nowhere.md)\n\nand ` there",
        "[x](../../outside-of-the-repository)",
        "[x](page.png#a-picture-has-no-headings)",
    ],
)
def test_broken_link_is_found(link: str) -> None:
    assert broken(REPOSITORY / "docs" / "user.md", f"# Page\n\n{link}\n") != []


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("What is trusted, and with what", "what-is-trusted-and-with-what"),
        ("spec.oauth2.scopes[]", "specoauth2scopes"),
        ("`make check` & `make test`", "make-check--make-test"),
        ("Verified id_tokens", "verified-id_tokens"),
        ("[A link](user.md) in a heading", "a-link-in-a-heading"),
        ("C'est déjà vu", "cest-déjà-vu"),
    ],
)
def test_anchor_is_the_one_that_github_makes(heading: str, anchor: str) -> None:
    assert anchors(f"## {heading}\n\n```\n# no heading\n```\n") == [anchor]


def test_second_heading_of_one_spelling_gets_a_number() -> None:
    assert anchors("# Flux\n## Argo CD\n## Flux\n") == ["flux", "argo-cd", "flux-1"]
