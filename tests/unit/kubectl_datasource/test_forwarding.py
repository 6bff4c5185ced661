"""Where the external URL is on loopback, its port is forwarded by the user's own kubectl."""

import socket

import pytest

from deploy.local.processes import free_ports
from kubectl_datasource.forwarding import forwarded, loopback_port
from kubectl_datasource.kubectl import Kubectl
from tests.unit.kubectl_datasource.fake_cluster import Cluster


@pytest.mark.parametrize(
    ("link", "port"),
    [
        ("http://localhost:8080/authorize/a/b", 8080),
        ("http://127.0.0.1/authorize", 80),
        ("http://[::1]:9/", 9),
        ("https://localhost:8443/", None),
        ("http://localhost.example.com:8080/", None),
        ("http://localhost@evil.example.com:8080/", None),
        ("https://connect.example.com/authorize", None),
        ("http://localhost:x/", None),
        ("http://[", None),
    ],
)
def test_only_plain_http_on_this_machine_is_forwarded(link: str, port: int | None) -> None:
    assert loopback_port(link) == port


def test_the_port_leads_to_the_callback_server_while_somebody_is_waited_for(cluster: Cluster) -> None:
    (port,) = free_ports(1)
    cluster.says("port-forward", f"Forwarding from 127.0.0.1:{port} -> 80\n")
    said: list[str] = []
    with forwarded(Kubectl(context="c"), f"http://localhost:{port}/x", "datasource-system", said.append):
        assert said == [f"Port {port} of this machine leads to the callback server for as long as this waits."]
    assert cluster.asked == [
        f"port-forward --namespace=datasource-system service/datasource-callback-server {port}:80 --context=c"
    ]


def test_what_answers_there_already_is_left_alone(cluster: Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        link = f"http://127.0.0.1:{listening.getsockname()[1]}/x"
        with forwarded(Kubectl(), link, "datasource-system", list[str]().append):
            pass
    assert cluster.asked == []


def test_a_port_that_cannot_be_forwarded_is_told_and_ends_nothing(cluster: Cluster) -> None:
    (port,) = free_ports(1)
    cluster.refuses("port-forward", "Error from server (Forbidden): pods is forbidden\n")
    said: list[str] = []
    with forwarded(Kubectl(), f"http://127.0.0.1:{port}/x", "datasource-system", said.append):
        pass
    assert "could not be forwarded: Error from server (Forbidden)" in said[0]


def test_a_link_to_another_machine_needs_nothing(cluster: Cluster) -> None:
    with forwarded(Kubectl(), "https://connect.example.com/x", "datasource-system", list[str]().append):
        pass
    assert cluster.asked == []
