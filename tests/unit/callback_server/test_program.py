"""The process: it names a wrong setting and ends, serves while it runs, and ends in order when it is told to."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from callback_server import app, program
from callback_server.app import Services
from callback_server.long_work import LongWork
from callback_server.program import main, run
from datasource.process.journal import open_journal
from datasource.process.settings import Settings
from datasource.process.sign_in import SignIn
from deploy.local.processes import free_ports
from tests.unit.datasource.api_server import ApiServer, fails


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """As they were: whoever runs a process takes them for good."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATASOURCE_EXTERNAL_URL", "connect.example.com"),
        ("DATASOURCE_LISTEN", "8080"),
        ("DATASOURCE_HEALTH_LISTEN", "0.0.0.0:http"),
        ("DATASOURCE_LOG_FORMAT", "xml"),
    ],
)
def test_wrong_setting_ends_the_process_with_its_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASOURCE_EXTERNAL_URL", "https://connect.example.com")
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main()
    assert str(ended.value.code).startswith(f"datasource-callback-server: {name} ")


def test_kubeconfig_that_cannot_be_used_ends_the_process_in_two_sentences(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pages, probes = free_ports(2)
    monkeypatch.setenv("DATASOURCE_EXTERNAL_URL", "https://connect.example.com")
    monkeypatch.setenv("DATASOURCE_LISTEN", f"127.0.0.1:{pages}")
    monkeypatch.setenv("DATASOURCE_HEALTH_LISTEN", f"127.0.0.1:{probes}")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    with pytest.raises(SystemExit) as ended:
        main()
    said = str(ended.value.code)
    assert said.startswith(f"datasource-callback-server: the kubeconfig {tmp_path / 'missing'} cannot be used")
    assert said.endswith("Set KUBECONFIG to the path of a kubeconfig, or run the process in a pod.")


def test_sign_in_without_its_secret_ends_the_process_with_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATASOURCE_EXTERNAL_URL", "https://connect.example.com")
    for name, value in (
        ("ISSUER", "https://login.example.com"),
        ("CLIENT_ID", "c"),
        ("SECRET_FILE", str(tmp_path / "x")),
    ):
        monkeypatch.setenv(f"DATASOURCE_SIGN_IN_{name}", value)
    with pytest.raises(SystemExit) as ended:
        main()
    assert str(ended.value.code).startswith(
        "datasource-callback-server: DATASOURCE_SIGN_IN_SECRET_FILE must name a file"
    )


async def test_process_has_the_pages_of_sign_in_where_its_settings_say_so(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    pages, probes = free_ports(2)
    async with ApiServer(fails(404, "NotFound")) as server, httpx.AsyncClient() as client:
        settings = Settings(
            "https://connect.example.com",
            "datasource-system",
            kubeconfig=str(server.kubeconfig),
            sign_in=SignIn("https://login.example.com", "c", secret),
        )
        running = asyncio.create_task(run(settings, ("127.0.0.1", pages), ("127.0.0.1", probes)))
        page = await answer(client, f"http://127.0.0.1:{pages}/")
        assert (page.status_code, "Please sign in" in page.text) == (200, True)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, 20)


async def answer(client: httpx.AsyncClient, url: str) -> httpx.Response:
    """What is answered there, once somebody listens."""
    for _ in range(500):
        try:
            return await client.get(url)
        except httpx.TransportError:
            await asyncio.sleep(0.02)
    raise AssertionError(f"nobody answers at {url}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_process_serves_until_it_is_told_to_end_and_then_listens_no_more(number: signal.Signals) -> None:
    pages, probes = free_ports(2)
    page = f"http://127.0.0.1:{pages}/authorize/shop/calendar?ticket={'A' * 48}"
    async with ApiServer(fails(404, "NotFound")) as server, httpx.AsyncClient() as client:
        settings = Settings("https://connect.example.com", "datasource-system", kubeconfig=str(server.kubeconfig))
        running = asyncio.create_task(run(settings, ("127.0.0.1", pages), ("127.0.0.1", probes)))
        assert (await answer(client, page)).status_code == 404
        for path in ("healthz", "readyz"):
            assert (await answer(client, f"http://127.0.0.1:{probes}/{path}")).status_code == 200
        metrics = await answer(client, f"http://127.0.0.1:{probes}/metrics")
        assert 'component="callback-server"' in metrics.text
        os.kill(os.getpid(), number)
        await asyncio.wait_for(running, 20)
        for port in (pages, probes):
            with pytest.raises(httpx.TransportError):
                await client.get(f"http://127.0.0.1:{port}/")


async def test_process_deals_with_its_journal_from_the_start_and_before_its_end(tmp_path: Path) -> None:
    journal = open_journal(str(tmp_path))
    assert journal.write("shop", "0" * 32, "01", b"{}") is not None
    journal.close()
    pages, probes = free_ports(2)
    async with ApiServer(fails(404, "NotFound")) as server, httpx.AsyncClient() as client:
        settings = Settings(
            "https://connect.example.com", "datasource-system", kubeconfig=str(server.kubeconfig), journal=str(tmp_path)
        )
        running = asyncio.create_task(run(settings, ("127.0.0.1", pages), ("127.0.0.1", probes)))
        metrics = (await answer(client, f"http://127.0.0.1:{probes}/metrics")).text
        assert "datasource_journal_kept 1.0" in metrics
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, 20)
    # It was no entry of this version, and is kept to be looked at.
    assert [each.suffix for each in (tmp_path / "journal").iterdir()] == [".aside"]


async def test_process_sees_through_what_people_were_told_goes_on_before_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their connections are closed: nothing but the work itself keeps the process."""
    made = list[Services]()

    def services(*arguments: Any) -> Services:
        made.append(app.services(*arguments))
        return made[0]

    monkeypatch.setattr(program, "services", services)
    serves_no_more, may_end, has_ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
    drain = LongWork.drain

    async def drained(long_work: LongWork) -> None:
        serves_no_more.set()
        await drain(long_work)

    monkeypatch.setattr(LongWork, "drain", drained)

    async def work() -> None:
        await may_end.wait()
        has_ended.set()

    pages, probes = free_ports(2)
    async with ApiServer(fails(404, "NotFound")) as server, httpx.AsyncClient() as client:
        settings = Settings("https://connect.example.com", "datasource-system", kubeconfig=str(server.kubeconfig))
        running = asyncio.create_task(run(settings, ("127.0.0.1", pages), ("127.0.0.1", probes)))
        await answer(client, f"http://127.0.0.1:{pages}/")
        long_work = made[0].callback.long_work
        long_work.patience = 0
        assert not await long_work.has_ended("a flow", work)
        os.kill(os.getpid(), signal.SIGTERM)
        await serves_no_more.wait()
        assert not running.done()
        may_end.set()
        await asyncio.wait_for(running, 20)
    assert has_ended.is_set()
