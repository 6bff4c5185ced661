"""What came of an attempt to connect to a provider, in words for people. Pure.

No text names an address or a proxy: an address would tell a tenant about the network, and a proxy's URL may hold a password.
"""

import errno
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Obstacle(StrEnum):
    """What keeps us from a provider: the reason of the condition ProviderReachable where that is not True."""

    NAME_NOT_RESOLVED = "NameNotResolved"
    NOT_CONNECTED = "NotConnected"
    TLS_FAILED = "TLSFailed"
    PROXY_FAILED = "ProxyFailed"
    EGRESS_DENIED = "EgressDenied"
    METADATA_UNREADABLE = "MetadataUnreadable"


class Stage(StrEnum):
    """What was under way when an attempt ended."""

    NAME = "name"
    """Its name was looked up."""
    CONNECTION = "connection"
    TLS = "TLS"
    PROXY = "proxy"
    """The proxy was connected to, or asked for a tunnel."""


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Why a host could not be connected to, as half a sentence in which "it" is that host; and what to do."""

    obstacle: Obstacle
    problem: str
    remedy: str

    def about(self, host: str, what: str) -> str:
        """The whole of it; `what` is looked for at the host, such as "the token endpoint"."""
        return f"The operator cannot reach {what} at {host}: {self.problem}. {self.remedy}"


_CONNECTION: Mapping[int, tuple[str, str]] = {
    errno.ECONNREFUSED: (
        "it refuses the connection",
        "Correct host and port, or start what should answer there. A firewall or an egress policy may refuse as well.",
    ),
    errno.EHOSTUNREACH: ("no route leads to it", "Look at routes, firewalls and egress policies."),
    errno.ENETUNREACH: ("no route leads to it", "Look at routes, firewalls and egress policies."),
    errno.EPERM: ("a policy of the node forbids the connection", "Allow the egress there."),
    errno.EACCES: ("a policy of the node forbids the connection", "Allow the egress there."),
}

_NOT_TRUSTED = (
    "it shows a certificate of an authority that is not trusted here",
    "Put the certificate of that authority into spec.oauth2.caBundle or caBundleRef.",
)
_EXPIRED = ("it shows a certificate that has expired", "The owner of the host has to renew it.")
_CERTIFICATE: Mapping[int, tuple[str, str]] = {
    # X509_V_ERR_... of OpenSSL.
    9: ("it shows a certificate that is not valid yet", "Correct the clock of the host, or of this node."),
    10: _EXPIRED,
    18: _NOT_TRUSTED,
    19: _NOT_TRUSTED,
    20: _NOT_TRUSTED,
    21: _NOT_TRUSTED,
    62: ("it shows a certificate for another name", "Correct the host name, or have the certificate name this host."),
    64: (
        "it shows a certificate for another address",
        "Use the host's name, or have the certificate name this address.",
    ),
}

_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"})


def hindrance(error: BaseException, stage: Stage, *, is_timeout: bool) -> Hindrance:
    """What it means that an attempt failed.

    Args:
        error: what was raised; what it was caused by is looked at, too.
        stage: how far the attempt had come.
        is_timeout: whether nothing came back in time.
    """
    if stage is Stage.NAME:
        return _unresolved(is_timeout=is_timeout)
    why = {Stage.CONNECTION: _unconnected, Stage.TLS: _unsecured, Stage.PROXY: _through_no_proxy}
    return why[stage](error, is_timeout=is_timeout)


def _unresolved(*, is_timeout: bool) -> Hindrance:
    if is_timeout:
        return Hindrance(
            Obstacle.NAME_NOT_RESOLVED,
            "no name server answered in time (DNS)",
            "Look at the cluster's DNS, and whether a NetworkPolicy lets these pods ask it (port 53).",
        )
    return Hindrance(
        Obstacle.NAME_NOT_RESOLVED,
        "its name has no address (DNS)",
        "Correct the name, or look at the cluster's DNS.",
    )


def _unconnected(error: BaseException, *, is_timeout: bool) -> Hindrance:
    if is_timeout:
        return Hindrance(
            Obstacle.NOT_CONNECTED,
            "it does not answer",
            "A NetworkPolicy, an egress policy or a firewall may drop what is sent there; or a proxy is needed (HTTPS_PROXY).",
        )
    codes = (each.errno for each in _causes(error) if isinstance(each, OSError) and each.errno is not None)
    problem, remedy = next(
        (_CONNECTION[code] for code in codes if code in _CONNECTION),
        ("it closes the connection", "A firewall, an egress policy or a proxy on the way may do so."),
    )
    return Hindrance(Obstacle.NOT_CONNECTED, problem, remedy)


def _unsecured(error: BaseException, *, is_timeout: bool) -> Hindrance:
    if is_timeout:
        return Hindrance(
            Obstacle.TLS_FAILED,
            "it accepts the connection and then says nothing (TLS)",
            "Correct the port; or a firewall, an egress policy or a proxy on the way stops TLS.",
        )
    cause = next((each for each in _causes(error) if isinstance(each, ssl.SSLError)), None)
    if cause is None:
        problem, remedy = (
            "it closes the connection during the TLS handshake",
            "A firewall, an egress policy or a proxy on the way may do so.",
        )
    elif isinstance(cause, ssl.SSLCertVerificationError):
        problem, remedy = _CERTIFICATE.get(
            cause.verify_code, ("it shows a certificate that is not valid", "The owner of the host has to correct it.")
        )
    elif cause.reason in _NO_TLS:
        problem, remedy = "it does not speak TLS there", "Correct the port, or the URL."
    else:
        problem, remedy = (
            "it does not complete the TLS handshake",
            "Its version of TLS may be too old, or it wants a client certificate.",
        )
    return Hindrance(Obstacle.TLS_FAILED, problem, remedy)


def _through_no_proxy(error: BaseException, *, is_timeout: bool) -> Hindrance:
    said = str(error)[:3]
    if said.isdecimal():
        problem = f"the proxy answers {said}"
    elif is_timeout:
        problem = "the proxy does not answer"
    else:
        problem = "the proxy cannot be connected to"
    return Hindrance(
        Obstacle.PROXY_FAILED,
        problem,
        "The platform team has to correct HTTPS_PROXY or NO_PROXY, or let the proxy pass it.",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was raised from, and so on; of several failures at once each. None comes twice."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        waiting += (cause for cause in (each.__cause__, each.__context__) if cause is not None)


@dataclass(frozen=True, slots=True)
class Reach:
    """What came of a look at whether a provider can be reached."""

    message: str
    obstacle: Obstacle | None = None
    """None where it can be reached."""
