"""The process: it names a wrong setting and ends, and refuses a cluster that is too old before it does anything there."""

import asyncio
import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from datasource.process.settings import Settings
from datasource_operator.kubernetes_version import ClusterTooOld
from datasource_operator.program import GC_THRESHOLDS, main, run
from deploy.local.processes import free_ports
from tests.unit.datasource.api_server import ApiServer, json_reply

OLD = json_reply({"major": "1", "minor": "30", "gitVersion": "v1.30.4"})


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    """As they were."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATASOURCE_EXTERNAL_URL", ""),
        ("DATASOURCE_EXTERNAL_URL", "http://connect.example.com"),
        ("DATASOURCE_HEALTH_LISTEN", "everywhere"),
        ("DATASOURCE_REVOCATION_SECONDS", "soon"),
        ("DATASOURCE_EGRESS_ALLOW", "10.0.0.0/99"),
    ],
)
def test_wrong_setting_ends_the_process_with_its_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASOURCE_EXTERNAL_URL", "https://connect.example.com")
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main()
    assert str(ended.value.code).startswith("datasource-operator: ")
    assert name in str(ended.value.code)


def test_kubeconfig_that_cannot_be_used_ends_the_process_in_two_sentences(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("DATASOURCE_EXTERNAL_URL", "https://connect.example.com")
    monkeypatch.setenv("DATASOURCE_HEALTH_LISTEN", f"127.0.0.1:{port}")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert str(ended.value.code).startswith(
        f"datasource-operator: the kubeconfig {tmp_path / 'missing'} cannot be used"
    )
    assert str(ended.value.code).endswith("Set KUBECONFIG to the path of a kubeconfig, or run the process in a pod.")


async def test_cluster_that_is_too_old_is_asked_for_its_version_and_nothing_else() -> None:
    (port,) = free_ports(1)
    async with ApiServer(OLD) as server, httpx.AsyncClient() as client:
        settings = Settings("https://connect.example.com", "datasource-system", kubeconfig=str(server.kubeconfig))
        with pytest.raises(ClusterTooOld, match=r"v1\.30\.4"):
            await run(settings, "127.0.0.1", port)
        assert [(request.method, request.path) for request in server.requests] == [("GET", "/version")]
        with pytest.raises(httpx.TransportError):
            await client.get(f"http://127.0.0.1:{port}/healthz")


def test_cluster_that_is_too_old_ends_the_process_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in a traceback: it is the first thing that whoever installs reads."""
    (port,) = free_ports(1)
    loop = asyncio.new_event_loop()
    server = ApiServer(OLD)
    loop.run_until_complete(server.__aenter__())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        monkeypatch.setenv("DATASOURCE_EXTERNAL_URL", "https://connect.example.com")
        monkeypatch.setenv("DATASOURCE_HEALTH_LISTEN", f"127.0.0.1:{port}")
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
    assert "the cluster runs Kubernetes v1.30.4, and 1.31 or newer is needed" in str(ended.value.code)
    assert gc.get_threshold() == GC_THRESHOLDS
