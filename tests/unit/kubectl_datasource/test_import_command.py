"""`import` from standard input to the exit code, on a cluster that says what it is told to."""

import io
import json
import os
import pty
import sys
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import pytest

from kubectl_datasource.exits import Exit
from kubectl_datasource.import_command import import_token
from kubectl_datasource.kubectl import Kubectl
from tests.unit.kubectl_datasource.fake_cluster import Cluster, datasource, plugin

GET = "get datasources.datasource.dev"
WAITS = datasource("NOT AUTHORIZED", "AuthorizationRequired")


def piped(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """What somebody types into; yields the other end."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield ours
    os.close(ours)


def brought(cluster: Cluster) -> Any:
    """The refresh token of the Secret that was made."""
    return b64decode(json.loads(cluster.stdin)["data"]["refresh_token"]).decode()


def test_refresh_token_goes_from_standard_input_to_a_secret_and_never_through_an_argument(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.says(GET, WAITS, once=True)
    cluster.says("create -f -")
    cluster.says(GET, datasource())
    piped(monkeypatch, b"rt-secret\n")
    assert plugin("import", "calendar") == Exit.FINE
    out, err = capsys.readouterr()
    assert brought(cluster) == "rt-secret"
    assert "AUTHORIZED" in out
    assert "rt-secret" not in " ".join((*cluster.asked, out, err))
    assert any("--namespace=shop" in line for line in cluster.asked if line.startswith("create"))


def test_import_after_a_refused_one_waits_until_the_status_has_forgotten_that(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = {"type": "Imported", "status": "False", "reason": "Refused", "message": "It was not imported."}
    stale = datasource("NOT AUTHORIZED", "GrantRevoked")
    stale["status"]["conditions"].append(refused | {"lastTransitionTime": "2026-07-01T11:00:00Z"})
    cluster.says(GET, stale, once=True)
    cluster.says(GET, stale, once=True)
    cluster.says(GET, WAITS, once=True)
    cluster.says("create -f -")
    cluster.says(GET, datasource())
    piped(monkeypatch, b"rt-1")
    assert plugin("import", "calendar") == Exit.FINE
    words = [line.split()[0] for line in cluster.asked]
    assert words.index("create") == 3, "it was looked at twice more before"
    assert "AUTHORIZED" in capsys.readouterr().out


def test_import_need_not_be_waited_for(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.says(GET, WAITS)
    cluster.says("create -f -")
    piped(monkeypatch, b"rt-1")
    assert import_token(Kubectl(), "calendar", seconds=None, output="json") is Exit.FINE
    assert "waits for the operator" in json.loads(capsys.readouterr().out)["items"][0]["message"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b'{"refresh_token": "rt-1"}', "is JSON"),
        (b"\xef\xbb\xbfrt-1", "byte order mark"),
        (b"rt-1\nrt-2\n", "has more than one line"),
        (b"\xff\xfe", "is not text in UTF-8"),
        (b"x" * 1_000_000, "is longer than 65,536 bytes"),
    ],
)
def test_what_is_no_refresh_token_is_not_sent(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: bytes, words: str
) -> None:
    cluster.says(GET, WAITS)
    piped(monkeypatch, content)
    assert plugin("import", "calendar") == Exit.USAGE
    assert words in capsys.readouterr().err
    assert not any(line.startswith("create") for line in cluster.asked)


def test_nothing_is_read_where_a_credential_is_stored(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.says(GET, datasource())
    stdin = io.TextIOWrapper(io.BytesIO(b"rt-1"))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert plugin("import", "calendar") == Exit.NOT_AS_WANTED
    assert "clear it first" in capsys.readouterr().err
    assert stdin.read() == "rt-1"


def test_second_import_is_told_of_the_first(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.says(GET, WAITS)
    cluster.refuses("create -f -", 'Error from server (AlreadyExists): secrets "calendar-oauth2-import" already exists')
    piped(monkeypatch, b"rt-1")
    assert plugin("import", "calendar") == Exit.NOT_AS_WANTED
    said = capsys.readouterr().err
    assert "Another import of calendar is there already" in said
    assert "kubectl delete secret calendar-oauth2-import --namespace=shop" in said


def test_secret_that_is_no_import_is_not_called_one(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody forgot its type; or it is the token Secret of another Datasource, which an earlier version let in."""
    cluster.says(GET, WAITS)
    cluster.refuses("create -f -", 'Error from server (AlreadyExists): secrets "calendar-oauth2-import" already exists')
    cluster.says("get secret calendar-oauth2-import -o jsonpath={.type} --namespace=shop", "Opaque")
    piped(monkeypatch, b"rt-1")
    assert plugin("import", "calendar") == Exit.NOT_AS_WANTED
    said = capsys.readouterr().err
    assert "Secret calendar-oauth2-import is there already, and it is no import: its type is Opaque" in said
    assert "kubectl describe secret calendar-oauth2-import --namespace=shop" in said
    assert "kubectl delete" not in said


def test_refusal_of_the_api_server_is_told_in_its_words(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.says(GET, WAITS)
    cluster.refuses("create -f -", "Error from server (Forbidden): eve may not patch that Datasource")
    piped(monkeypatch, b"rt-1")
    assert plugin("import", "calendar") == Exit.NOT_AS_WANTED
    assert "Eve may not patch that Datasource" in capsys.readouterr().err


def test_token_is_typed_where_nothing_is_piped_in(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, terminal: int
) -> None:
    cluster.says(GET, WAITS)
    cluster.says("create -f -")
    monkeypatch.setattr("click.prompt", lambda text, *, hide_input, **_: "rt-typed" if hide_input else text)
    assert plugin("import", "calendar", "--no-wait") == Exit.FINE
    assert brought(cluster) == "rt-typed"
