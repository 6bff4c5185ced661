"""Which proxy a request goes through, from the usual environment variables. Pure.

As Go programs read them (golang.org/x/net/http/httpproxy), because that is what the rest of a cluster does: `HTTPS_PROXY`,
`HTTP_PROXY`, `NO_PROXY`, in either case, the upper one first. A NO_PROXY entry is `*`, a host and all below it, `.host` for
those below it alone, an address, or a network (`10.0.0.0/8`); each may have a port. Loopback is always reached directly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from datasource.outbound.endpoint import is_loopback

_DEFAULT_PORTS = {"http": 80, "https": 443}


class InvalidProxy(Exception):
    """A variable names no proxy that can be used."""


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies of this process. They may hold a password, so they never print."""

    https: str | None = field(default=None, repr=False)
    http: str | None = field(default=None, repr=False)
    bypass: tuple[str, ...] = ()

    def proxy_for(self, url: str) -> str | None:
        """The URL of the proxy for a request; None: go there directly."""
        split = urlsplit(url)
        proxy = self.https if split.scheme == "https" else self.http
        return None if proxy is None or self._is_bypassed(split) else proxy

    def _is_bypassed(self, split: SplitResult) -> bool:
        host = (split.hostname or "").removesuffix(".")
        if is_loopback(host):
            # What is on this machine is never asked of another one.
            return True
        port = split.port or _DEFAULT_PORTS.get(split.scheme)
        return any(_matches(entry, host, port) for entry in self.bypass)


def proxies_in(environ: Mapping[str, str]) -> Proxies:
    """Read the variables.

    Raises:
        InvalidProxy: with the variable and the remedy.
    """
    entries = (entry.strip().lower() for entry in _value(environ, "NO_PROXY").split(","))
    return Proxies(
        https=_proxy(environ, "HTTPS_PROXY"),
        http=_proxy(environ, "HTTP_PROXY"),
        bypass=tuple(entry for entry in entries if entry),
    )


def _value(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.lower()) or ""


def _proxy(environ: Mapping[str, str], name: str) -> str | None:
    value = _value(environ, name).strip()
    if not value:
        return None
    url = value if "://" in value else f"http://{value}"
    try:
        split = urlsplit(url)
        usable = split.scheme in _DEFAULT_PORTS and bool(split.hostname) and split.port != 0
    except ValueError:
        usable = False
    if not usable:
        # Without the value: it may hold a password.
        raise InvalidProxy(f"{name} must be the URL of an HTTP proxy, such as http://proxy.example.com:3128.")
    return url


def _matches(entry: str, host: str, port: int | None) -> bool:
    if entry == "*":
        return True
    name, wanted_port = _split_port(entry)
    if wanted_port is not None and wanted_port != port:
        return False
    try:
        address = ip_address(host)
    except ValueError:
        return _is_below(host, name)
    try:
        return address in ip_network(name, strict=False)
    except ValueError:
        return False


def _is_below(host: str, name: str) -> bool:
    name = name.removeprefix("*")
    return host.endswith(name) if name.startswith(".") else host == name or host.endswith(f".{name}")


def _split_port(entry: str) -> tuple[str, int | None]:
    name, colon, port = entry.rpartition(":")
    if not colon or not port.isdecimal() or (":" in name and not name.endswith("]")):
        return entry.strip("[]"), None
    return name.strip("[]"), int(port)
