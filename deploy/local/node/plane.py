"""A control plane that nodes join: the API server reaches kubelets, and every controller runs."""

import secrets
from collections.abc import Sequence
from pathlib import Path

from deploy.local.controlplane import ControlPlane
from deploy.local.node.configuration import kubeconfig, write_private
from deploy.local.node.layout import API_SERVICE, PLANE, Place


class PlaneWithNodes(ControlPlane):
    """It listens on every address of its network namespace. Where a flag is given twice, the later one holds."""

    addresses = ("127.0.0.1", PLANE, API_SERVICE)

    def __init__(self, folder: Path, places: Sequence[Place], *, api_port: int) -> None:
        super().__init__(folder, api_port=api_port)
        self._server = f"https://{PLANE}:{api_port}"
        self._node_tokens = {place: secrets.token_hex(16) for place in places}

    def write_node_kubeconfigs(self) -> None:
        """What each kubelet proves itself with."""
        for place, token in self._node_tokens.items():
            write_private(place.kubeconfig, kubeconfig(self._server, self.ca_file, token))

    def _tokens(self) -> list[str]:
        nodes = (
            f'{token},system:node:{place.name},{place.name},"system:nodes"'
            for place, token in self._node_tokens.items()
        )
        return [*super()._tokens(), *nodes]

    def _apiserver_arguments(self) -> list[str]:
        return [
            *super()._apiserver_arguments(),
            "--bind-address=0.0.0.0",
            f"--advertise-address={PLANE}",
            # The Service `kubernetes` leads to the address above.
            "--endpoint-reconciler-type=lease",
            # A list, to which each use adds.
            "--authorization-mode=Node",
            "--enable-admission-plugins=NodeRestriction",
            f"--client-ca-file={self.ca_file}",
            f"--kubelet-client-certificate={self.pki.client_certificate}",
            f"--kubelet-client-key={self.pki.client_key}",
            "--kubelet-preferred-address-types=InternalIP",
        ]

    def _manager_arguments(self) -> list[str]:
        return [*super()._manager_arguments(), "--controllers=*"]
