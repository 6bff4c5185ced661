"""Streams that take not all, or nothing: a reader that is gone, a full disk, an encoding without the character."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.kubectl_datasource.fake_cluster import Cluster, datasource, listing

GET = "get datasources.datasource.dev"
GONE = 'Error from server (NotFound): datasources.datasource.dev "x" not found'
MANY = [datasource(name=f"n{number}") for number in range(3000)]
"""More than fits into the buffer of a pipe."""

pytestmark = pytest.mark.usefixtures("cluster")

Done = subprocess.CompletedProcess[bytes]


def shell(line: str, **environ: str) -> Done:
    """A line of bash in which PLUGIN is the plugin, in a process of its own."""
    words = line.replace("PLUGIN", f"{sys.executable} -m kubectl_datasource")
    return subprocess.run(  # noqa: S603
        ["bash", "-c", words],  # noqa: S607
        capture_output=True,
        env=os.environ | environ,
        check=False,
        timeout=120,
    )


def unread(*arguments: str, streams: tuple[str, ...] = ("stdout",)) -> Done:
    """The plugin, where nobody reads these streams any more."""
    read, write = os.pipe()
    os.close(read)
    chosen: dict[str, Any] = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE) | dict.fromkeys(streams, write)
    try:
        return subprocess.run(  # noqa: S603
            [sys.executable, "-m", "kubectl_datasource", *arguments], **chosen, check=False, timeout=120
        )
    finally:
        os.close(write)


@pytest.mark.parametrize("output", ["", "-o name", "-o json", "-o wide", "-o yaml"])
def test_reader_that_has_seen_enough_of_much_is_no_error(output: str, cluster: Cluster) -> None:
    cluster.says(GET, listing(*MANY))
    done = shell(f"PLUGIN list {output} | head -1; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"\n") == 1


def test_command_that_nobody_reads_ends_with_its_own_code(cluster: Cluster) -> None:
    cluster.refuses(f"{GET} x", GONE)
    cluster.says(GET, datasource("NOT AUTHORIZED", "AuthorizationRequired"))
    both = ("stdout", "stderr")
    assert unread("status", "calendar").returncode == 1
    assert unread("explain", "calendar", "-o", "json").returncode == 1
    assert unread("status", "x", streams=("stderr",)).returncode == 1
    assert unread("wait", "calendar", "--timeout", "0", "-o", "json").returncode == 4
    assert unread("wait", "calendar", "--timeout", "1", streams=both).returncode == 4
    assert unread("wait", streams=both).returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["list", "--help"], ["--version"], ["completion", "bash"], ["__complete", "l"], ["providers"]],
    ids=" ".join,
)
def test_help_that_nobody_reads_is_no_error(arguments: list[str]) -> None:
    done = unread(*arguments)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    "arguments", [["list", "-w"], ["list", "-w", "-o", "name"], ["logs", "calendar", "-f"]], ids=" ".join
)
def test_what_has_no_end_ends_where_nobody_reads(arguments: list[str], cluster: Cluster) -> None:
    event = json.dumps({"type": "ADDED", "object": datasource()}, indent=4)
    entry = json.dumps({"datasource": "shop/calendar", "event": "stored", "level": "info"})
    (cluster.folder / "seen").write_text(json.dumps(datasource()))
    (cluster.folder / "watch").write_text(f"{event}\n{event}\n")
    (cluster.folder / "logs").write_text(f"[pod/datasource-operator-1/x] {entry}\n" * 2)
    script = (
        'here=${0%/*}\ncase "$*" in *--watch*) cat "$here/watch";; logs*) cat "$here/logs";; '
        '*) cat "$here/seen"; exit;; esac\nexec sleep 600\n'
    )
    (cluster.folder / "kubectl").write_text(f"#!/bin/sh\n{script}")
    done = unread(*arguments)
    assert (done.returncode, done.stderr) == (0, b"")


def test_kubectl_that_says_something_to_nobody_goes_on(cluster: Cluster) -> None:
    """A login plugin's words are passed on while kubectl waits; that nobody reads them does not end it."""
    (cluster.folder / "seen").write_text(json.dumps(datasource()))
    script = 'echo "Open a browser." >&2; sleep 2; cat "${0%/*}/seen"\n'
    (cluster.folder / "kubectl").write_text(f"#!/bin/sh\n{script}")
    done = unread("status", "calendar", "-o", "name", streams=("stderr",))
    assert (done.returncode, done.stdout) == (0, b"datasource.datasource.dev/calendar\n")


@pytest.mark.parametrize(
    "arguments", ["list", "list -o json", "list -w", "status calendar", "--help", "completion zsh", "export -o -"]
)
def test_full_disk_is_told_in_one_sentence(arguments: str, cluster: Cluster) -> None:
    cluster.says("--watch", json.dumps({"type": "ADDED", "object": datasource()}, indent=4) + "\n")
    cluster.says(f"{GET} calendar", datasource())
    cluster.says(GET, listing(*MANY))
    cluster.says("get secrets", "")
    done = shell(f"PLUGIN {arguments} >/dev/full")
    assert done.returncode == 1
    (said,) = done.stderr.decode().splitlines()
    assert said.endswith(": No space left on device.")


@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_stream_that_is_closed_is_like_one_that_nobody_reads(redirect: str, cluster: Cluster) -> None:
    cluster.refuses(f"{GET} x", GONE)
    cluster.says(GET, listing(*MANY[:3]))
    for arguments, code in (("list", 0), ("--help", 0), ("status x", 1), ("status", 2)):
        done = shell(f"PLUGIN {arguments} {redirect}")
        assert (arguments, done.returncode) == (arguments, code)
        assert b"Traceback" not in done.stderr
        assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize("arguments", ["import calendar", "clear calendar"])
def test_without_stdin_nobody_is_asked(arguments: str, cluster: Cluster) -> None:
    cluster.says(GET, datasource("NOT AUTHORIZED", "AuthorizationRequired"))
    done = shell(f"PLUGIN {arguments} <&-")
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "environ",
    [
        {"PYTHONIOENCODING": "cp1252"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["cp1252", "ascii", "C"],
)
def test_character_that_the_encoding_lacks_is_an_escape(environ: dict[str, str], cluster: Cluster) -> None:
    named = datasource(name="calendar", authorizedAs="山田 😀")
    cluster.says("--watch", json.dumps({"type": "ADDED", "object": named}, ensure_ascii=False, indent=4) + "\n")
    cluster.says(f"{GET} calendar", json.dumps(named, ensure_ascii=False))
    cluster.says(GET, json.dumps(listing(named), ensure_ascii=False))
    cluster.refuses("get events", "Error from server (Forbidden): 山田 may not")
    for arguments in ("list -o wide", "list -w -o wide", "status calendar"):
        done = shell(f"PLUGIN {arguments}", **environ)
        assert (arguments, done.returncode, done.stderr) == (arguments, 0, b"")
        assert rb"\u5c71\u7530 \U0001f600" in done.stdout
    refused = shell("PLUGIN events calendar", **environ)
    assert refused.returncode == 1
    assert rb"\u5c71\u7530 may not" in refused.stderr


def test_bytes_of_kubectl_that_are_no_utf_8_are_shown_as_such(cluster: Cluster) -> None:
    cluster.refuses(GET, "x")
    (complaint,) = cluster.folder.glob("answer-*/err")
    complaint.write_bytes(b"Error from server (Forbidden): caf\xe9 is closed")
    done = shell("PLUGIN list", PYTHONIOENCODING="utf-8")
    assert done.returncode == 1
    assert "Caf\N{REPLACEMENT CHARACTER} is closed" in done.stderr.decode()


def test_question_that_nobody_can_read_is_not_answered(cluster: Cluster, tmp_path: Path) -> None:
    cluster.says("config", "")
    cluster.says(GET, datasource())
    for stderr in ("2>&-", "2>/dev/full"):
        line = f"script -qec '{sys.executable} -m kubectl_datasource clear calendar {stderr}' {tmp_path / 'typed'}"
        assert shell(f"echo y | {line}").returncode == 2
    assert not [each for each in cluster.asked if each.startswith("annotate")]
