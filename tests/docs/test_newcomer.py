"""From nothing to a token that an app reads, by README alone; here without nodes, and in pods in tests/node."""

from pathlib import Path

import pytest

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.controlplane import ControlPlane
from deploy.local.processes import free_ports
from deploy.local.provider import Provider
from deploy.local.stack import Stack
from tests.support.api import CONFIG_MAPS, api_of
from tests.support.newcomer import Newcomer, manifest, typed

pytestmark = pytest.mark.cluster

CLIENT_ID, CLIENT_SECRET = "newcomer", "typed at the prompt"


def test_readme_leads_from_nothing_to_a_token(folder: Path, provider: Provider, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    url = f"http://localhost:{port}"
    provider.register_client(CLIENT_ID, CLIENT_SECRET, [f"{url}/callback/default"])
    with ControlPlane(folder / "newcomer" / "cluster") as control_plane:
        newcomer = Newcomer.at(control_plane.cluster, tmp_path / "checkout")
        # The provider of the tests is on loopback, where no request may go unasked.
        newcomer.installs(url, "--set 'settings.egress.allow={127.0.0.1}'")
        settings = api_of(control_plane.cluster.kubeconfig).get(CONFIG_MAPS, "datasource-config", SYSTEM_NAMESPACE)[
            "data"
        ]
        stack = Stack(control_plane.cluster, folder / "newcomer" / "logs", port, environ=settings)
        running = [stack.operator("operator-newcomer"), stack.callback_server("callback-server-newcomer")]
        try:
            for process in running:
                process.start()
            urls = {"authorizeURL": f"{provider.issuer}/auth", "tokenURL": provider.token_url}
            newcomer.saves_the_datasource(CLIENT_ID, urls)
            newcomer.authorizes(CLIENT_SECRET)
        finally:
            for process in running:
                process.stop()
        # What kubelet mounts is the Secret that README's pod names, under the key that its command reads.
        pod = manifest("Use it")["spec"]
        (volume,), (container,) = pod["volumes"], pod["containers"]
        read = f"get secret {volume['secret']['secretName']} -o jsonpath='{{.data.access_token}}'"
        assert newcomer.type(f"kubectl {read} | base64 -d") in provider.secrets().access_tokens
        assert f"{container['volumeMounts'][0]['mountPath']}/access_token" in " ".join(container["command"])


def test_readme_has_every_step_in_its_order() -> None:
    words = [line.split()[0:2] for line in typed("Use it")]
    assert words == [["(read", "-rs"], ["kubectl", "apply"], ["kubectl", "get"], ["kubectl", "datasource"]]
