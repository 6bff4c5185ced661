"""/healthz, /readyz and /metrics, as kubelet and Prometheus ask for them."""

from dataclasses import dataclass

import aiohttp
import pytest

from datasource.process.probes import serve_probes


@dataclass
class Signs:
    stalled: str | None = None
    unready: str | None = None


async def ask(path: str, signs: Signs) -> tuple[int, str, str]:
    runner = await serve_probes("127.0.0.1", 0, stalled=lambda: signs.stalled, unready=lambda: signs.unready)
    try:
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}{path}") as response:
            return response.status, await response.text(), response.headers["Content-Type"]
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("path", "signs", "status", "text"),
    [
        pytest.param("/healthz", Signs(), 200, "ok", id="alive"),
        pytest.param("/healthz", Signs(stalled="stuck"), 503, "stuck", id="stalled"),
        pytest.param("/healthz", Signs(unready="not yet"), 200, "ok", id="alive though not ready"),
        pytest.param("/readyz", Signs(), 200, "ok", id="ready"),
        pytest.param("/readyz", Signs(unready="not yet"), 503, "not yet", id="not ready"),
        pytest.param(
            "/readyz", Signs(stalled="stuck"), 200, "ok", id="ready though stalled: a restart is liveness' work"
        ),
    ],
)
async def test_probe_says_what_is_wrong(path: str, signs: Signs, status: int, text: str) -> None:
    assert (await ask(path, signs))[:2] == (status, text)


async def test_metrics_are_those_of_prometheus() -> None:
    status, text, content_type = await ask("/metrics", Signs())
    assert status == 200
    assert content_type.startswith("text/plain; version=")
    assert "# TYPE process_cpu_seconds_total counter" in text or "# TYPE python_info gauge" in text


async def test_nothing_else_is_served() -> None:
    assert (await ask("/", Signs()))[0] == 404
