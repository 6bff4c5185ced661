"""Where requests may go: the table, every spelling of what is in it, and what the platform team adds and takes."""

import re
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from datasource.outbound.egress import (
    ADDRESSES,
    NAMES,
    PRIVATE,
    Denied,
    EgressPolicy,
    InvalidRule,
    read_host,
    rules,
)

STRICT = EgressPolicy()
PUBLIC = "93.184.215.14"
PUBLIC_6 = "2606:2800:21f:cb07::1"


def allowing(*entries: str, denying: tuple[str, ...] = ()) -> EgressPolicy:
    return EgressPolicy(allowed=rules(entries), denied=rules(denying))


# The table.


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("127.0.0.1", Denied.THIS_MACHINE),
        ("127.255.255.254", Denied.THIS_MACHINE),
        ("0.0.0.0", Denied.THIS_MACHINE),  # noqa: S104 - Linux takes it for loopback
        ("::1", Denied.THIS_MACHINE),
        ("::", Denied.THIS_MACHINE),
        ("169.254.1.1", Denied.LINK_LOCAL),
        ("fe80::1", Denied.LINK_LOCAL),
        ("169.254.169.254", Denied.METADATA),
        ("169.254.170.2", Denied.METADATA),
        ("169.254.170.23", Denied.METADATA),
        ("fd00:ec2::254", Denied.METADATA),
        ("fd00:ec2::23", Denied.METADATA),
        ("fd20:ce::254", Denied.METADATA),
        ("168.63.129.16", Denied.METADATA),
        ("192.0.0.192", Denied.METADATA),
        ("100.100.100.200", Denied.METADATA),
        ("10.96.0.1", Denied.PRIVATE),
        ("172.16.0.1", Denied.PRIVATE),
        ("172.31.255.255", Denied.PRIVATE),
        ("192.168.1.1", Denied.PRIVATE),
        ("100.64.0.1", Denied.PRIVATE),
        ("fd12:3456::1", Denied.PRIVATE),
        ("fec0::1", Denied.PRIVATE),
        ("224.0.0.1", Denied.NO_UNICAST),
        ("ff02::1", Denied.NO_UNICAST),
        ("255.255.255.255", Denied.NO_UNICAST),
        ("240.0.0.1", Denied.NO_UNICAST),
    ],
)
def test_address_of_the_table_is_denied(host: str, kind: Denied) -> None:
    assert STRICT.host_denial(host) is kind
    assert STRICT.address_denial("login.example.com", host) is kind


@pytest.mark.parametrize("host", [PUBLIC, PUBLIC_6, "1.1.1.1", "172.15.255.255", "172.32.0.1", "126.255.255.255"])
def test_public_address_is_allowed(host: str) -> None:
    assert STRICT.host_denial(host) is None
    assert STRICT.address_denial("login.example.com", host) is None


@pytest.mark.parametrize("carried", ["127.0.0.1", "169.254.169.254", "168.63.129.16", "192.0.0.192", "10.0.0.1"])
@pytest.mark.parametrize(
    "form",
    [
        pytest.param(lambda v4: f"::ffff:{v4}", id="mapped"),
        pytest.param(lambda v4: f"::{v4}", id="compatible"),
        pytest.param(lambda v4: f"::ffff:0:{v4}", id="translated"),
        pytest.param(lambda v4: f"64:ff9b::{v4}", id="NAT64"),
        pytest.param(lambda v4: str(IPv6Address((0x2002 << 112) + (int(IPv4Address(v4)) << 80) + 1)), id="6to4"),
        pytest.param(lambda v4: f"2001:db8::5efe:{v4}", id="ISATAP"),
        pytest.param(lambda v4: f"2001:db8::200:5efe:{v4}", id="ISATAP, universal"),
    ],
)
def test_ipv6_address_that_carries_a_denied_one_is_denied(carried: str, form: object) -> None:
    assert callable(form)
    assert STRICT.host_denial(form(carried)) is STRICT.host_denial(carried)


@pytest.mark.parametrize("form", ["::ffff:{}", "64:ff9b::{}"])
def test_ipv6_address_that_carries_a_public_one_is_allowed(form: str) -> None:
    assert STRICT.host_denial(form.format(PUBLIC)) is None


@pytest.mark.parametrize("host", ["64:ff9b:1::7f00:1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"])
def test_ipv6_address_that_hides_an_ipv4_address_is_denied(host: str) -> None:
    assert STRICT.host_denial(host) is Denied.TRANSLATED


def test_every_row_names_its_source_and_denies_all_it_names() -> None:
    for row in ADDRESSES:
        assert len(row.source) > 2
        for network in row.networks:
            for address in (network[0], network[-1]):
                assert STRICT.host_denial(str(address)) is not None
    for _, source, names in NAMES:
        assert source
        for name in names:
            assert STRICT.host_denial("a" + name if name.startswith(".") else name) is not None


# Names.


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("localhost", Denied.THIS_MACHINE),
        ("LocalHost.", Denied.THIS_MACHINE),
        ("idp.localhost", Denied.THIS_MACHINE),
        ("localhost.localdomain", Denied.THIS_MACHINE),
        ("metadata.google.internal", Denied.METADATA),
        ("Metadata.Google.Internal.", Denied.METADATA),
        ("metadata.goog", Denied.METADATA),
        ("instance-data.ec2.internal", Denied.METADATA),
        ("keycloak.auth.svc", Denied.IN_CLUSTER),
        ("KEYCLOAK.auth.SVC.", Denied.IN_CLUSTER),
        ("keycloak.auth.svc.cluster.local", Denied.IN_CLUSTER),
        ("10-0-0-1.auth.pod.cluster.local", Denied.IN_CLUSTER),
        ("10-0-0-1.auth.pod", Denied.IN_CLUSTER),
        ("kubernetes", Denied.IN_CLUSTER),
        ("metadata", Denied.IN_CLUSTER),
    ],
)
def test_name_of_the_table_is_denied(host: str, kind: Denied) -> None:
    assert STRICT.host_denial(host) is kind


@pytest.mark.parametrize(
    "host",
    [
        "login.example.com",
        "LOGIN.example.com.",
        "localhost.example.com",
        "svc.example.com",
        "notlocalhost.com",
        "example.xsvc",
        "xn--bcher-kva.example",
        "a_b.example.com",
        "127.0.0.1.example.com",
        "0x7f.example",
    ],
)
def test_name_that_only_looks_alike_is_allowed(host: str) -> None:
    assert STRICT.host_denial(host) is None


# Spellings.


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0X7F.1",
        "017700000001",
        "0177.0.0.01",
        "0177.0x0.0.1",
        "127.0.0.1.",
        "127.000000000.0.1",
        "0",
        "0x",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0:0:0:0:0:0:0:1",
        "::1%lo",
        "[::1%25lo]",
    ],
)
def test_loopback_is_seen_through_every_spelling(host: str) -> None:
    assert STRICT.host_denial(host) is Denied.THIS_MACHINE


@pytest.mark.parametrize("host", ["fe80::1%eth0", "[fe80::1%25eth0]", "FE80::1%1"])
def test_zone_does_not_hide_a_link_local_address(host: str) -> None:
    assert STRICT.host_denial(host) is Denied.LINK_LOCAL


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "a..example.com",
        "login.example.com..",
        "127.0.0.1..",
        "999.1.1.1",
        "1.2.3.4.5",
        "256.1",
        "4294967296",
        "0x100000000",
        "08.0.0.1",
        "login.example.127",
        "login.0x7f",
        "%31%32%37.0.0.1",
        "127。0。0。1",
        "１２７.0.0.1",
        "①②⑦.0.0.1",
        "ⓛocalhost.example",
        "\u212aubernetes.example",
        "loc\u00adalhost.example",
        "bücher.example",
        "-a.example",
        "a-.example",
        "a b.example",
        "a" * 64 + ".example",
        ".".join(["a" * 60] * 5),
        "[v1.a]",
        "::1::2",
        "[::1%25]x",
        "user@login.example.com",
        "login.example.com:443",
    ],
)
def test_host_that_can_be_read_in_more_than_one_way_is_denied(host: str) -> None:
    assert STRICT.host_denial(host) is Denied.NO_HOST


def _in_some_base(number: int, base: int) -> str:
    return (f"{number}", f"{number:#x}", f"0{number:o}")[base]


@given(
    address=st.ip_addresses(v=4),
    bases=st.lists(st.integers(0, 2), min_size=4, max_size=4),
    parts=st.integers(1, 4),
)
@example(address=IPv4Address("127.0.0.1"), bases=[2, 2, 2, 2], parts=1)
def test_ipv4_address_is_read_as_the_resolver_reads_it(address: IPv4Address, bases: list[int], parts: int) -> None:
    packed = address.packed
    numbers = [*packed[: parts - 1], int.from_bytes(packed[parts - 1 :])]
    host = ".".join(_in_some_base(number, base) for number, base in zip(numbers, bases, strict=False))

    assert read_host(host) == address == IPv4Address(socket.inet_aton(host))


@given(host=st.text(max_size=40) | st.from_regex(re.compile(r"[0-9a-fx.:%\[\]]{1,30}"), fullmatch=True))
def test_whatever_the_resolver_takes_for_a_denied_ipv4_address_is_denied(host: str) -> None:
    denial = STRICT.host_denial(host)
    try:
        address = str(IPv4Address(socket.inet_aton(host)))
    except (OSError, UnicodeError, ValueError):
        return
    if STRICT.host_denial(address) is not None:
        assert denial is not None


@given(address=st.ip_addresses())
def test_spelling_of_an_address_and_the_address_connected_to_are_judged_alike(address: IPv4Address) -> None:
    assert STRICT.host_denial(str(address)) is STRICT.address_denial("login.example.com", str(address))


# What the platform team says.


def test_allowed_name_may_lead_to_a_private_address() -> None:
    policy = allowing("keycloak.auth.svc", "login.corp.example")

    assert policy.host_denial("keycloak.auth.svc") is None
    assert policy.address_denial("keycloak.auth.svc", "10.96.3.4") is None
    assert policy.address_denial("Login.Corp.Example.", "fd12::1") is None
    assert policy.address_denial("other.corp.example", "10.96.3.4") is Denied.PRIVATE
    assert policy.host_denial("grafana.auth.svc") is Denied.IN_CLUSTER


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "169.254.169.254", "fe80::1%eth0", "168.63.129.16", "::", "::ffff:127.0.0.1"),
        # Private by itself, and loopback or anything by what it carries.
        *("fd00::5efe:127.0.0.1", "64:ff9b:1::a9fe:a9fe", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
    ],
)
def test_allowed_name_may_not_lead_to_loopback_or_metadata(address: str) -> None:
    assert allowing("login.corp.example").address_denial("login.corp.example", address) is not None


def test_allowed_ending_is_about_what_is_below_it() -> None:
    for policy in (allowing(".corp.example"), allowing("*.corp.example")):
        assert policy.address_denial("a.b.corp.example", "10.0.0.1") is None
        assert policy.address_denial("corp.example", "10.0.0.1") is Denied.PRIVATE
        assert policy.address_denial("evilcorp.example", "10.0.0.1") is Denied.PRIVATE


def test_allowed_network_is_open_under_any_name_and_spelling() -> None:
    policy = allowing("10.20.0.0/16", "127.0.0.1", "fd12::/16")

    assert policy.host_denial("10.20.3.4") is None
    assert policy.host_denial("0x0a140304") is None
    assert policy.host_denial("::ffff:10.20.3.4") is None
    assert policy.host_denial("127.0.0.1") is None
    assert policy.host_denial("fd12::1") is None
    assert policy.address_denial("login.example.com", "10.20.3.4") is None
    assert policy.host_denial("10.21.0.1") is Denied.PRIVATE
    assert policy.host_denial("127.0.0.2") is Denied.THIS_MACHINE


def test_allowed_ipv4_address_does_not_open_the_ipv6_address_around_it() -> None:
    policy = allowing("10.0.0.0/8")
    assert policy.host_denial("fd00::5efe:10.0.0.1") is Denied.PRIVATE
    assert policy.host_denial("fe80::5efe:10.0.0.1") is Denied.LINK_LOCAL


def test_the_word_private_opens_private_networks_and_nothing_else() -> None:
    policy = allowing("private")
    for network in PRIVATE:
        if ip_address("100.100.100.200") not in network:
            assert policy.address_denial("login.example.com", str(network[1])) is None
    assert policy.host_denial("127.0.0.1") is Denied.THIS_MACHINE
    assert policy.host_denial("169.254.169.254") is Denied.METADATA


def test_what_is_denied_by_flag_stays_denied_whatever_is_allowed() -> None:
    policy = allowing("10.0.0.0/8", ".corp.example", denying=("10.1.0.0/16", "old.corp.example", "93.184.0.0/16"))

    assert policy.host_denial("10.1.2.3") is Denied.BY_FLAG
    assert policy.host_denial("::ffff:10.1.2.3") is Denied.BY_FLAG
    assert policy.host_denial("old.corp.example") is Denied.BY_FLAG
    assert policy.address_denial("a.corp.example", PUBLIC) is Denied.BY_FLAG
    assert not policy.allows_name("old.corp.example")
    assert policy.host_denial("10.2.2.3") is None


def test_address_is_no_name_that_could_be_allowed() -> None:
    assert not allowing("127.0.0.1").allows_name("127.0.0.1")
    assert not allowing("a.example").allows_name("a..example")


@pytest.mark.parametrize(
    "entry",
    [
        "10.0.0.1/8",
        "10.0.0.0/33",
        "https://login.example.com",
        "a b",
        "*",
        ".",
        "*corp.example",
        "a.*.example",
        "a:443",
    ],
)
def test_entry_that_cannot_be_read_is_refused_by_its_text(entry: str) -> None:
    with pytest.raises(InvalidRule, match=re.escape(entry)):
        rules([entry])
