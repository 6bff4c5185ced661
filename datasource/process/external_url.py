"""The public URL of the callback server, as the processes and the chart take it (`datasource.checkedExternalURL` there).

It is in links, in redirect URIs, in the paths that the callback server answers, and between quotes in admission policies. So
what browsers, proxies or templates could read in another way is refused.
"""

import re
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import SplitResult

from datasource.outbound.endpoint import split_url

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Browsers keep our __Host- cookie over https only, but for these."""

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[-A-Za-z0-9._]+)(:([1-9][0-9]*)?)?")
_NAME = re.compile(r"([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.?")
_LONGEST_NAME = 253
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PATH = re.compile(r"[A-Za-z0-9._~!$&()*+,;=:@/-]*")
_DOTS = re.compile(r"/\.{1,2}(/|$)")


class UnusableURL(ValueError):
    """No URL of a callback server; says why, as the end of a sentence that begins with what it is called."""


def checked_external_url(url: str) -> str:
    """The URL without slashes at its end.

    Raises:
        UnusableURL: with the remedy.
    """
    url = url.rstrip("/")
    split = split_url(url)
    if (
        split is None
        or split.scheme not in {"http", "https"}
        or not _AUTHORITY.fullmatch(split.netloc)
        or not _is_host(split)
        or "?" in url
        or "#" in url
    ):
        raise UnusableURL(
            f"must be the public URL of the callback server, such as https://connect.example.com; it is {url!r}."
        )
    if split.scheme == "http" and split.hostname not in LOOPBACK:
        raise UnusableURL(f"must be https:// (http:// is for loopback only); it is {url!r}.")
    if not _PATH.fullmatch(split.path) or _DOTS.search(split.path):
        raise UnusableURL(
            "must have a path of letters, digits and ._~!$&()*+,;=:@/- without escapes, and without . or .. between slashes. "
            f"Choose another path; it is {url!r}."
        )
    return url


def _is_host(split: SplitResult) -> bool:
    host = split.hostname or ""
    if "[" in split.netloc:
        return _is_address(IPv6Address, host)
    # To browsers, a host whose last label is a number is an IPv4 address or none.
    if _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]):
        return _is_address(IPv4Address, host)
    return len(host) <= _LONGEST_NAME and _NAME.fullmatch(host) is not None


def _is_address(kind: type[IPv4Address | IPv6Address], host: str) -> bool:
    try:
        kind(host)
    except ValueError:
        return False
    return True
