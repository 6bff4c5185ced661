"""URLs that a request may go to (RFC 6749 sections 3.1 and 3.2), wherever they are written: in a spec or in metadata."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

_URL_CHARACTERS = re.compile(r"[!-\[\]-~]+")  # printable ASCII without the backslash that browsers read as a slash


@dataclass(frozen=True, slots=True)
class UrlProblem:
    """Why a URL cannot be used, as the end of a sentence that begins with where it stands; and what to do."""

    problem: str
    remedy: str


def endpoint_problem(url: str, *, allow_insecure_http: bool) -> UrlProblem | None:
    """What is wrong with the URL of an endpoint or an issuer; None where nothing is.

    Args:
        url: as written.
        allow_insecure_http: whether it may be http:// on other hosts than loopback.
    """
    split = split_url(url)
    if split is None or split.scheme not in {"http", "https"} or not split.hostname:
        return UrlProblem("is not an absolute http(s) URL", "Write it like https://login.example.com/path.")
    if split.username is not None or split.password is not None:
        return UrlProblem("carries a user name or password", "Take everything before the @ out of it.")
    if "#" in url:
        return UrlProblem("carries a fragment", "Take the # and what follows out of it (RFC 6749 section 3.1).")
    if split.scheme == "http" and not allow_insecure_http and not is_loopback(split.hostname):
        return UrlProblem("is not https", "Use https://; plain http is for loopback, or wants the operator's flag.")
    return None


def split_url(url: str) -> SplitResult | None:
    """Split a URL; None where it cannot be read, has an impossible port, or characters that no URL has."""
    if not _URL_CHARACTERS.fullmatch(url):
        return None
    try:
        split = urlsplit(url)
        split.port  # noqa: B018 - reading it is the check
    except ValueError:
        return None
    return split


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
