"""Where a page leads by itself, by the shared declarative refresh steps of the HTML standard (section 4.2.5.3)."""

import re
from html.parser import HTMLParser

_TIME = re.compile(r"[\t\n\f\r ]*(?:[0-9]+|(?=\.))[0-9.]*")
_SEPARATOR = re.compile(r"(?=[;,\t\n\f\r ])[\t\n\f\r ]*[;,]?[\t\n\f\r ]*")
_URL = re.compile(r"url[\t\n\f\r ]*=[\t\n\f\r ]*", re.IGNORECASE)


def refresh_target(content: str) -> str | None:
    """What a browser hands to its URL parser for the content of a refresh; None where it leads nowhere else."""
    time = _TIME.match(content)
    if time is None:
        return None
    separator = _SEPARATOR.match(content, time.end())
    if separator is None or separator.end() == len(content):
        return None
    rest = content[separator.end() :]
    named = _URL.match(rest)
    url = rest if named is None else rest[named.end() :]
    if url[:1] in {"'", '"'}:
        url = url[1:].partition(url[0])[0]
    return url


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.refresh: str | None = None
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "meta" and attributes.get("http-equiv", "").lower() == "refresh" and self.refresh is None:
            self.refresh = attributes.get("content")
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])


def leads_on_to(page: str) -> str | None:
    """The URL to which a page leads by itself, and with a link for whose browser does not; None where it leads nowhere."""
    parser = _Page()
    parser.feed(page)
    if parser.refresh is None:
        return None
    target = refresh_target(parser.refresh)
    assert parser.links == [target], f"the link leads to {parser.links}, the refresh to {target}"
    return target
