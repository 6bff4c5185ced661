"""What a page links to, and where its headings can be linked to, as GitHub reads Markdown."""

import re
from collections.abc import Iterator

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)
# A paragraph long at most: a single stray one must not hide the links behind it.
_SPAN = re.compile(r"(`+)(?!`)(?:(?!\n[ \t]*\n).)+?(?<!`)\1(?!`)", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_HEADING = re.compile(r"^#{1,6} +(.+?)(?: +#+)?$", re.MULTILINE)
_LINK = re.compile(r"\]\(\s*<?([^\s)>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_DEFINITION = re.compile(r"^ {0,3}\[[^\]]+\]: +<?([^\s>]+)", re.MULTILINE)
_ATTRIBUTE = re.compile(r"<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)=\"([^\"]+)\"")
_TEXT_OF_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_ID = re.compile(r"<[a-z]+\b[^>]*?\b(?:id|name)=\"([^\"]+)\"")


def targets(page: str) -> list[str]:
    """Where its links and pictures lead, in order of kind; what stands in code is no link.

    >>> targets("[a](b.md#c) `[d](e)` ![f](g.svg) <img src=\\"h.png\\">")
    ['b.md#c', 'g.svg', 'h.png']
    """
    text = _SPAN.sub("", _COMMENT.sub("", _FENCE.sub("", page)))
    return [match[1] for pattern in (_LINK, _DEFINITION, _ATTRIBUTE) for match in pattern.finditer(text)]


def anchors(page: str) -> list[str]:
    """What can stand behind `#` in a link to the page.

    >>> anchors("# The API\\n\\n## `spec.url`, in short\\n\\n## The API\\n")
    ['the-api', 'specurl-in-short', 'the-api-1']
    """
    text = _COMMENT.sub("", _FENCE.sub("", page))
    return [*_numbered(slug(match[1]) for match in _HEADING.finditer(text)), *_ID.findall(text)]


def slug(heading: str) -> str:
    """The anchor of a heading: small letters, a dash for each space, no punctuation but dashes and underscores."""
    shown = _TEXT_OF_LINK.sub(r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")


def _numbered(slugs: Iterator[str]) -> Iterator[str]:
    """Later ones of one spelling get a number."""
    seen: dict[str, int] = {}
    for each in slugs:
        count = seen.get(each, 0)
        seen[each] = count + 1
        yield f"{each}-{count}" if count else each
