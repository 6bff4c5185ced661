"""Pods are told of the address that CoreDNS' Service has, and of the domain that it knows."""

from pathlib import Path

from deploy.local.node import configuration, dns
from deploy.local.node.layout import places

(PLACE,) = places(Path("/run-of-tests"), "/datasource-node-7-9", 1)


def test_kubelet_leads_pods_to_the_service_and_the_service_to_coredns() -> None:
    kubelet = configuration.kubelet(PLACE, Path("/ca.crt"))
    assert kubelet["clusterDNS"] == [dns.service()["spec"]["clusterIP"]]
    (endpoint,) = dns.endpoints()["endpoints"]
    corefile = dns.corefile(Path("/admin"))
    assert f"bind {endpoint['addresses'][0]}\n" in corefile
    assert f"kubernetes {kubelet['clusterDomain']} " in corefile
    assert dns.endpoints()["ports"] == dns.service()["spec"]["ports"]
    name = dns.service()["metadata"]["name"]
    assert dns.endpoints()["metadata"]["labels"] == {"kubernetes.io/service-name": name}


def test_path_with_spaces_is_one_word_of_the_corefile() -> None:
    assert 'kubeconfig "/a folder/admin"\n' in dns.corefile(Path("/a folder/admin"))
