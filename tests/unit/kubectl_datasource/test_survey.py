"""Where `doctor` connects to from the machine of whoever runs it."""

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from datasource.outbound.egress import EgressPolicy, rules
from kubectl_datasource.findings import Survey, Untold, egress_of
from kubectl_datasource.survey import _connection
from tests.unit.kubectl_datasource.installed import SOUND, config

OPEN = EgressPolicy(rules(["127.0.0.1"]))


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        yield listening


def was_connected_to(listening: socket.socket) -> bool:
    try:
        listening.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def test_an_endpoint_that_the_installation_allows_is_connected_to(listener: socket.socket) -> None:
    connection = _connection("http", "127.0.0.1", listener.getsockname()[1], OPEN)
    assert (connection.trouble, connection.is_tried) == (None, True)
    assert was_connected_to(listener)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0x7f000001", "localhost", "[::ffff:127.0.0.1]"])
def test_a_tenant_has_no_machine_connect_to_its_own_network(listener: socket.socket, host: str) -> None:
    connection = _connection("http", host, listener.getsockname()[1], EgressPolicy())
    assert not connection.is_tried
    assert not was_connected_to(listener)


def test_a_name_that_leads_to_its_own_network_is_not_connected_to(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    connection = _connection("http", "evil.example.com", listener.getsockname()[1], EgressPolicy())
    assert connection.trouble == "evil.example.com leads to the machine that asks (loopback)"
    assert not connection.is_tried
    assert not was_connected_to(listener)


def test_an_endpoint_out_of_reach_was_tried() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    connection = _connection("https", "127.0.0.1", port, OPEN)
    assert connection.is_tried
    assert "refused" in str(connection.trouble)


def settings(**data: str) -> Survey:
    return replace(SOUND, deployments=(), config_maps=config(**data))


def test_what_the_installation_allows_and_denies_is_taken_from_its_settings() -> None:
    found = settings(EGRESS_ALLOW="idp.corp.svc, 10.0.0.0/8", EGRESS_DENY="10.1.0.0/16")
    egress = egress_of(found)
    assert egress.host_denial("idp.corp.svc") is None
    assert egress.host_denial("10.2.0.1") is None
    assert egress.host_denial("10.1.0.1") is not None
    assert egress.host_denial("192.168.0.1") is not None


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(replace(SOUND, config_maps=Untold("no rights")), id="they may not be read"),
        pytest.param(settings(EGRESS_ALLOW="10.0.0.0/8,,!"), id="they cannot be read"),
    ],
)
def test_where_settings_cannot_be_told_only_the_public_internet_is_open(found: Survey) -> None:
    assert egress_of(found) == EgressPolicy()
