"""Text cut into sentences. Pure.

A colon or a semicolon ends none: what stands behind it has to be read together with what stands before.
"""

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

# What follows is a capital, a number or code; or a command, or the name of a field or of a value, which are written small.
_END = re.compile(
    r"(?<=[.!?])[\"'”)\]*_]*\s+(?=[\"'“(\[*_`]*"
    r"(?:[A-ZÀ-ÖØ-Þ0-9`{]|[a-z]\w*:\s|\w*_\w|true\b|false\b|[a-z]+URL|spec\.|status\.|kubectl\b))"
)
_WORD = re.compile(r"(?:[^\W_]|[`{$/])[^\s]*")
_MARKDOWN = MarkdownIt("commonmark").enable("table")
CODE = "`code`"
"""What stands for a piece of code, an address or a value that is filled in: one word."""


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph.

    >>> sentences("Open the link (once). It works for 9.5 minutes! none: no secret. id_token is one word.")
    ['Open the link (once).', 'It works for 9.5 minutes!', 'none: no secret.', 'id_token is one word.']
    """
    return [each.strip() for each in _END.split(" ".join(text.split())) if each.strip()]


def words_in(sentence: str) -> int:
    """How many words a reader takes in; a dash, a bracket or an arrow is none.

    >>> words_in("Set `spec.url` - then wait (5 minutes)")
    6
    """
    return sum(1 for each in sentence.split() if _WORD.match(each.lstrip("\"'“(*_[")))


def paragraphs(page: str) -> Iterator[tuple[int, str]]:
    """Paragraphs, headings, list items and table cells of a Markdown page, each with the line that it begins in.

    What is in code is one word; fenced and indented code is no text. Links with only commas between them are no sentence:
    each comes by itself.
    """
    line = 1
    for token in _MARKDOWN.parse(page):
        if token.map is not None:
            line = token.map[0] + 1
        if token.type == "inline":
            children = token.children or []
            links, between = _links_apart(children)
            for part in links if links and not words_in(_text(between)) else [children]:
                yield line, _text(part)


def _links_apart(children: list[Token]) -> tuple[list[list[Token]], list[Token]]:
    """What each link shows, and what is outside of all."""
    links: list[list[Token]] = []
    between: list[Token] = []
    into = between
    for child in children:
        match child.type:
            case "link_open":
                into = []
                links.append(into)
            case "link_close":
                into = between
            case _:
                into.append(child)
    return links, between


def _text(children: list[Token]) -> str:
    parts = []
    for child in children:
        match child.type:
            case "text":
                parts.append(child.content)
            case "code_inline":
                parts.append(CODE)
            case "softbreak" | "hardbreak":
                parts.append(" ")
            case _:
                # Emphasis, links and pictures: what they hold comes by itself.
                pass
    return "".join(parts)
