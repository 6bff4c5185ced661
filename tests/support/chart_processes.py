"""Both processes as the chart would run them in pods: its ServiceAccounts, and the settings of its ConfigMap."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deploy.local.cluster import Cluster
from deploy.local.stack import Stack
from tests.support.api import CONFIG_MAPS, api_of


@contextmanager
def processes(cluster: Cluster, folder: Path, port: int, namespace: str) -> Iterator[Stack]:
    """Run them while the chart is installed in a namespace; the pages are on `port` of loopback."""
    settings = api_of(cluster.kubeconfig).get(CONFIG_MAPS, "datasource-config", namespace)["data"]
    stack = Stack(cluster, folder / "logs", port, environ=settings, system_namespace=namespace)
    with ExitStack() as running:
        for process in (stack.operator("chart-operator"), stack.callback_server("chart-callback-server")):
            running.callback(process.stop)
            process.start()
        yield stack
