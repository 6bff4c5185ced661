"""A notification that tells of nothing: signed, sent from where the operator runs, and told in one line."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from datasource.process.branding import Branding
from datasource.process.settings import Notify, Settings
from datasource_operator.decisions.notices import event_of_a_test
from datasource_operator.trial_notification import send_test
from tests.support.builders import NOW
from tests.support.hostile_provider import HostileProvider, closed_port, replies, served

KEY = f"whsec_{base64.b64encode(b'k' * 32).decode()}"


def settings(tmp_path: Path, url: str | None, key: str = KEY) -> Settings:
    path = tmp_path / "key"
    path.write_text(key)
    notify = None if url is None else Notify(url, path)
    return Settings(
        "https://connect.example.com", "datasource-system", notify=notify, branding=Branding(cluster_name="prod")
    )


async def test_receiver_with_the_key_verifies_a_message_of_the_usual_shape(tmp_path: Path) -> None:
    async with HostileProvider(replies(204, b"")) as receiver:
        tested = await send_test(settings(tmp_path, receiver.url))
    (request,) = receiver.requests
    event = Webhook(KEY).verify(request.body, request.headers)
    assert (tested.delivered, tested.receiver, tested.id) == (True, "127.0.0.1", event["id"])
    assert request.headers["webhook-id"] == event["id"]
    assert event["type"] == "dev.datasource.test"
    assert event["data"] == {"namespace": "datasource-system", "cluster": "prod", "count": 0, "datasources": []}


async def test_each_test_is_another_message(tmp_path: Path) -> None:
    async with HostileProvider(replies(204, b"")) as receiver:
        ids = {(await send_test(settings(tmp_path, receiver.url))).id for _ in range(2)}
    assert len(ids) == 2


@pytest.mark.parametrize(("status", "words"), [(401, "answered 401"), (410, "wants no more"), (500, "answered 500")])
async def test_receiver_that_does_not_take_it_is_told(tmp_path: Path, status: int, words: str) -> None:
    async with HostileProvider(replies(status, b"")) as receiver:
        tested = await send_test(settings(tmp_path, receiver.url))
    assert not tested.delivered
    assert words in tested.why


async def test_receiver_that_is_away_is_told(tmp_path: Path) -> None:
    with closed_port() as port:
        tested = await send_test(settings(tmp_path, f"http://127.0.0.1:{port}/hook"))
    assert not tested.delivered
    assert "cannot be reached" in tested.why


@pytest.mark.parametrize("key", ["", "whsec_short", "no key at all"])
async def test_key_that_cannot_be_used_is_told_and_not_shown(tmp_path: Path, key: str) -> None:
    tested = await send_test(settings(tmp_path, "https://hooks.example.com", key))
    assert not tested.delivered
    assert "DATASOURCE_NOTIFY_SECRET_FILE cannot be read" in tested.why
    assert not key or key not in tested.why


async def test_without_a_receiver_there_is_nothing_to_test(tmp_path: Path) -> None:
    tested = await send_test(settings(tmp_path, None))
    assert (tested.delivered, tested.why) == (False, "DATASOURCE_NOTIFY_URL is not set")


@pytest.mark.parametrize("is_taken", [True, False])
def test_program_prints_one_line_and_says_by_its_exit_code_whether_it_arrived(tmp_path: Path, is_taken: bool) -> None:
    key = tmp_path / "key"
    key.write_text(KEY)
    with served(HostileProvider(replies(204 if is_taken else 503, b""))) as receiver:
        environ = {
            "DATASOURCE_EXTERNAL_URL": "https://connect.example.com",
            "DATASOURCE_SYSTEM_NAMESPACE": "datasource-system",
            "DATASOURCE_NOTIFY_URL": receiver.url,
            "DATASOURCE_NOTIFY_SECRET_FILE": str(key),
        }
        program = [sys.executable, "-m", "datasource_operator.trial_notification"]
        ended = subprocess.run(program, env=environ, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603
    told = json.loads(ended.stdout)
    assert (told["delivered"], ended.returncode) == (is_taken, 0 if is_taken else 1)
    assert ended.stdout.count("\n") == 1
    assert KEY not in ended.stdout + ended.stderr


def test_program_says_which_setting_is_wrong() -> None:
    program = [sys.executable, "-m", "datasource_operator.trial_notification"]
    ended = subprocess.run(program, env={}, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603
    assert (json.loads(ended.stdout)["delivered"], ended.returncode) == (False, 1)
    assert "DATASOURCE_EXTERNAL_URL" in json.loads(ended.stdout)["why"]


def test_event_names_no_cluster_where_there_is_no_name() -> None:
    event = json.loads(event_of_a_test("1", namespace="n", source="s", cluster="", now=NOW))
    assert "cluster" not in event["data"]
