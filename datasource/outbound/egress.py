"""Where requests may go: a table of denied names and addresses, which the platform team adds to and takes from. Pure.

There are two checks, because an address is known only once a name is resolved. `host_denial` judges the host that is written in
a URL. `address_denial` judges the address that is connected to. Only the second is proof: a name may lead anywhere, and
somewhere else a moment later (DNS rebinding).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

REMEDY = (
    "Correct the URL. If this is the provider, ask the platform team to add the host or its network to "
    "DATASOURCE_EGRESS_ALLOW."
)


class InvalidRule(ValueError):
    """An entry of a list of hosts and networks that cannot be read."""


class Denied(StrEnum):
    """Why a host is denied, as the end of a sentence: `spec.oauth2.tokenURL leads to ...`.

    Each names a kind and never an address: an address would tell a tenant about the network.
    """

    NO_HOST = "a host that is neither a valid name nor a valid address"
    THIS_MACHINE = "the machine that asks (loopback)"
    LINK_LOCAL = "a link-local address"
    METADATA = "a cloud's metadata service"
    IN_CLUSTER = "a Service of the cluster, or a host name without a domain"
    PRIVATE = "a private network"
    TRANSLATED = "an address that is translated into another one (NAT64, Teredo)"
    NO_UNICAST = "a multicast, broadcast or reserved address"
    BY_FLAG = "a host or network that the platform team denies (DATASOURCE_EGRESS_DENY)"


@dataclass(frozen=True, slots=True)
class _Row:
    kind: Denied
    source: str
    networks: tuple[Network, ...]


def _row(kind: Denied, source: str, *networks: str) -> _Row:
    return _Row(kind, source, tuple(ip_network(each) for each in networks))


ADDRESSES: tuple[_Row, ...] = (
    # Metadata first: some of these lie within a wider range below, and the kind is what people read. An explicit table:
    # ipaddress' is_global and is_private miss several, and change with Python.
    _row(
        Denied.METADATA, "AWS, Azure, Google, DigitalOcean, OpenStack and others: instance metadata", "169.254.169.254"
    ),
    _row(Denied.METADATA, "AWS: container credentials of ECS and of EKS Pod Identity", "169.254.170.0/24"),
    _row(Denied.METADATA, "AWS: instance metadata and EKS Pod Identity over IPv6", "fd00:ec2::/32"),
    _row(Denied.METADATA, "Google Compute Engine: metadata server over IPv6", "fd20:ce::254"),
    _row(Denied.METADATA, "Scaleway: instance metadata over IPv6", "fd00:42::42"),
    _row(Denied.METADATA, "Azure: WireServer, a public address that leads to the host", "168.63.129.16"),
    _row(Denied.METADATA, "Oracle Cloud: instance metadata; RFC 6890, IETF protocol assignments", "192.0.0.0/24"),
    _row(Denied.METADATA, "Alibaba Cloud: instance metadata", "100.100.100.200"),
    _row(Denied.THIS_MACHINE, "RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3: loopback", "127.0.0.0/8", "::1"),
    _row(Denied.THIS_MACHINE, "RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.2: unspecified", "0.0.0.0/8", "::"),
    _row(Denied.LINK_LOCAL, "RFC 3927, RFC 4291 section 2.5.6: link-local", "169.254.0.0/16", "fe80::/10"),
    _row(Denied.PRIVATE, "RFC 1918: private", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    _row(Denied.PRIVATE, "RFC 6598: shared, where several clouds put pods", "100.64.0.0/10"),
    _row(Denied.PRIVATE, "RFC 2544: benchmarks, where some networks put themselves", "198.18.0.0/15"),
    _row(Denied.PRIVATE, "RFC 4193: unique local; RFC 3879: site-local", "fc00::/7", "fec0::/10"),
    _row(
        Denied.TRANSLATED,
        "RFC 8215: local NAT64; where the IPv4 address is in it is a local matter",
        "64:ff9b:1::/48",
    ),
    _row(Denied.TRANSLATED, "RFC 4380: Teredo, which carries an IPv4 address in disguise", "2001::/32"),
    _row(Denied.NO_UNICAST, "RFC 5771, RFC 4291 section 2.7: multicast", "224.0.0.0/4", "ff00::/8"),
    _row(Denied.NO_UNICAST, "RFC 1112 section 4, RFC 919: reserved, and broadcast", "240.0.0.0/4"),
)

PRIVATE = tuple(network for row in ADDRESSES if row.kind is Denied.PRIVATE for network in row.networks)

NAMES: tuple[tuple[Denied, str, tuple[str, ...]], ...] = (
    (Denied.THIS_MACHINE, "RFC 6761 section 6.3", ("localhost", ".localhost", ".localdomain")),
    (Denied.METADATA, "Google Compute Engine", ("metadata.google.internal", "metadata.goog")),
    (Denied.METADATA, "AWS", ("instance-data.ec2.internal",)),
    (Denied.IN_CLUSTER, "Kubernetes: DNS for Services and Pods", (".svc", ".pod", ".cluster.local")),
)
"""Names that are denied without being resolved. One that begins with a dot stands for every name that ends with it."""

_EMBEDDINGS: tuple[tuple[str, IPv6Network, int], ...] = (
    ("RFC 4291 section 2.5.5.2: IPv4-mapped", IPv6Network("::ffff:0:0/96"), 0),
    ("RFC 4291 section 2.5.5.1: IPv4-compatible, deprecated", IPv6Network("::/96"), 0),
    ("RFC 2765 section 2.1: IPv4-translated", IPv6Network("::ffff:0:0:0/96"), 0),
    ("RFC 6052 section 2.1: NAT64", IPv6Network("64:ff9b::/96"), 0),
    ("RFC 3056 section 2: 6to4", IPv6Network("2002::/16"), 80),
)
"""IPv6 prefixes whose addresses carry an IPv4 address, and how many bits follow that address."""

_ISATAP = (0x00005EFE, 0x02005EFE)
"""RFC 5214 section 6.1: under any prefix, one of these 32 bits and then an IPv4 address."""

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_LONGEST_NAME = 253


@dataclass(frozen=True, slots=True)
class Rules:
    """A list of names, of names that end in something, and of networks."""

    names: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()

    def has_name(self, name: str) -> bool:
        """Whether a name is on the list."""
        return name in self.names or name.endswith(self.suffixes)

    def has_address(self, address: Address) -> bool:
        """Whether an address is on the list."""
        return any(_contains(network, address) for network in self.networks)


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """The table above with the lists of the platform team: `denied` adds to it, `allowed` makes exceptions; `denied` wins."""

    allowed: Rules = Rules()
    denied: Rules = Rules()

    def host_denial(self, host: str) -> Denied | None:
        """Why no request may go to a host, judged by what is written; None where nothing is wrong with that."""
        read = read_host(host)
        if read is None:
            return Denied.NO_HOST
        return self._name_denial(read) if isinstance(read, str) else next(self._address_denials(read), None)

    def address_denial(self, host: str, address: str) -> Denied | None:
        """Why the address that a host was resolved to may not be connected to; None where it may. A zone id is ignored."""
        denials = tuple(self._address_denials(ip_address(address.partition("%")[0])))
        # Whoever controls the zone of an allowed name must not reach loopback or metadata with it.
        if self.allows_name(host) and all(denial is Denied.PRIVATE for denial in denials):
            return None
        return next(iter(denials), None)

    def allows_name(self, host: str) -> bool:
        """Whether the platform team allows this very name, or every name with its ending."""
        read = read_host(host)
        return isinstance(read, str) and self.allowed.has_name(read) and not self.denied.has_name(read)

    def _name_denial(self, name: str) -> Denied | None:
        if self.denied.has_name(name):
            return Denied.BY_FLAG
        return None if self.allowed.has_name(name) else _name_in_table(name)

    def _address_denials(self, address: Address) -> Iterator[Denied]:
        """Every reason against an address, and against the IPv4 addresses that it carries."""
        faces = _faces(address)
        if any(self.denied.has_address(face) for face in faces):
            yield Denied.BY_FLAG
        elif not self.allowed.has_address(address):
            for face in faces:
                # Each by itself: an IPv4 address that is allowed must not open the IPv6 address around it.
                denial = None if self.allowed.has_address(face) else _address_in_table(face)
                if denial is not None:
                    yield denial


def _name_in_table(name: str) -> Denied | None:
    for kind, _, names in NAMES:
        if any(name.endswith(each) if each.startswith(".") else name == each for each in names):
            return kind
    # A name without a dot is found through the search list of the pod, and only there.
    return None if "." in name else Denied.IN_CLUSTER


def _address_in_table(address: Address) -> Denied | None:
    hits = (row.kind for row in ADDRESSES if any(_contains(network, address) for network in row.networks))
    return next(hits, None)


def _contains(network: Network, address: Address) -> bool:
    return network.version == address.version and address in network


def _faces(address: Address) -> tuple[Address, ...]:
    """The address, and the IPv4 addresses that it carries."""
    if isinstance(address, IPv4Address):
        return (address,)
    bits = int(address)
    carried = [bits >> shift & 0xFFFFFFFF for _, network, shift in _EMBEDDINGS if address in network]
    if bits >> 32 & 0xFFFFFFFF in _ISATAP:
        carried.append(bits & 0xFFFFFFFF)
    return (address, *map(IPv4Address, carried))


def read_host(host: str) -> str | Address | None:
    """The host of a URL as a resolver would understand it: a name in lower case, an address, or None if it is neither.

    Only ASCII is accepted. IDNA turns characters of other scripts that look like digits or dots into digits and dots, so
    international names must be written as xn--.
    """
    if not host.isascii():
        return None
    host = host.lower()
    if host.startswith("[") and host.endswith("]"):
        return _ipv6(host[1:-1])
    if ":" in host:
        return _ipv6(host)
    name = host.removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        # What ends in a number is an IPv4 address or nothing (WHATWG URL, "ends in a number").
        return _ipv4(labels)
    if len(name) > _LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        return None
    return name


def _ipv6(host: str) -> IPv6Address | None:
    # %25 is how a URL writes the % before a zone id (RFC 6874); the zone does not change what the address is.
    try:
        return IPv6Address(host.partition("%")[0])
    except ValueError:
        return None


def _ipv4(labels: list[str]) -> IPv4Address | None:
    """One to four numbers in decimal, octal (0177) or hexadecimal (0x7f), the last filling what is left (inet_aton)."""
    if len(labels) > 4 or not all(_NUMBER.fullmatch(label) for label in labels):
        return None
    try:
        *first, last = [_number(label) for label in labels]
    except ValueError:
        return None
    if any(each > 255 for each in first) or last >= 256 ** (5 - len(labels)):
        return None
    return IPv4Address(sum(each << 8 * (3 - place) for place, each in enumerate(first)) + last)


def _number(label: str) -> int:
    if label.startswith("0x"):
        return int(label[2:] or "0", 16)
    return int(label, 8 if label.startswith("0") else 10)


def rules(entries: Iterable[str]) -> Rules:
    """Read a list of hosts (`login.corp.example`), of endings (`.corp.example`, `*.corp.example`), of addresses and networks
    (`10.20.0.0/16`); `private` stands for all private networks of the table.

    Raises:
        InvalidRule: with the entry that cannot be read.
    """
    names: set[str] = set()
    suffixes: list[str] = []
    networks: list[Network] = []
    for entry in entries:
        text = entry.lower()
        if text == "private":
            networks += PRIVATE
            continue
        network = _network(text)
        if network is not None:
            networks.append(network)
            continue
        name = text.removeprefix("*")
        if not isinstance(read_host(name.removeprefix(".")), str):
            raise InvalidRule(entry)
        if name.startswith("."):
            suffixes.append(name)
        elif name == text:
            names.add(name)
        else:
            raise InvalidRule(entry)
    return Rules(frozenset(names), tuple(suffixes), tuple(networks))


def _network(text: str) -> Network | None:
    try:
        return ip_network(text)
    except ValueError:
        return None
