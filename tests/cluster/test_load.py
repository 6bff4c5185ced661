"""Two hundred strangers send junk to the public endpoints for half a minute: nobody else notices, and nothing grows."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from deploy.local.processes import free_ports
from deploy.local.stack import Process, Stack
from tests.support.junk_load import Load, Outcome
from tests.support.person import STORED, Person
from tests.support.user import CLIENT_SECRET, User

pytestmark = pytest.mark.cluster

MOST_GROWTH = 48 * 1024 * 1024
"""Bytes of resident memory beyond what a short load left. 200 connections with a body each are 4 MB."""

MOST_IN_ALL = 200 * 1024 * 1024
"""Bytes; deploy/ gives the container 256 MiB."""


@pytest.fixture
def server(stack: Stack, user: User) -> Iterator[tuple[Process, str]]:
    """A callback server of this test's own, and where it is: what other tests left would blur the figures."""
    (port,) = free_ports(1)
    place = f"http://localhost:{port}"
    process = stack.callback_server(
        "callback-server-load", DATASOURCE_EXTERNAL_URL=place, DATASOURCE_LISTEN=f"127.0.0.1:{port}"
    )
    process.start()
    yield process, place
    process.stop()


def start(load: Load) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.support.junk_load", msgspec.json.encode(load).decode()]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])  # noqa: S603 - ourselves


def outcome_of(process: subprocess.Popen[bytes]) -> Outcome:
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return msgspec.json.decode(printed, type=Outcome)


def resident_bytes(process: Process) -> int:
    pages = int(Path(f"/proc/{process.child.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_junk_from_two_hundred_clients_keeps_nobody_out_and_makes_nothing_grow(
    user: User, server: tuple[Process, str], folder: Path
) -> None:
    process, place = server
    link = user.ready_to_authorize().replace(user.external_url, place)
    user.provider.register_client(user.client_id, CLIENT_SECRET, [f"{place}/callback/{user.namespace}"])
    user.apply(user.datasource(user.oauth2(), name="mail"))
    user.wait_for_reason("AuthorizationRequired", "mail")
    other_link = user.link("mail").replace(user.external_url, place)
    load = Load(url=place, namespace=user.namespace, name="calendar")
    warm_up = msgspec.structs.replace(load, seconds=3.0, most_requests=500)
    outcome_of(start(warm_up))
    before = resident_bytes(process)

    hammering = start(load)
    try:
        with Person() as person, Person() as other:
            # The very Datasource that is hammered, one beside it, and the first again: a link, a flow, a reload.
            assert STORED in person.authorize(link).text
            assert STORED in other.authorize(other_link).text
            user.annotate("new-credential", "1")
            user.wait_for_link()
            again = user.link().replace(user.external_url, place)
            page = person.authorize(again)
            assert STORED in page.text
            assert person.get(str(page.url)).status_code == 200
        assert hammering.poll() is None, "the flows must go on while the junk does"
    finally:
        outcome = outcome_of(hammering)
    after = resident_bytes(process)

    figures = {"outcome": outcome, "resident_before": before, "resident_after": after}
    (folder / "logs" / "load.json").write_bytes(msgspec.json.encode(figures))
    assert outcome.requests > 1000
    assert {status for status in outcome.statuses if status[0] == "5"} == set()
    assert set(outcome.statuses) <= {"400", "403", "404", "405", "429"}
    assert outcome.broken == 0
    assert after - before < MOST_GROWTH
    assert after < MOST_IN_ALL
