"""A child process that is kubectl: how it is started, and what it says while it goes on."""

import subprocess

import pytest

from kubectl_datasource.child import communicate, started, without_klog
from kubectl_datasource.exits import Unreachable
from kubectl_datasource.kubectl import Kubectl
from tests.unit.kubectl_datasource.fake_cluster import Cluster

KLOG = 'E1124 21:39:15.173430 22187 memcache.go:265] "Unhandled Error"\n'


def script(cluster: Cluster, text: str) -> None:
    (cluster.folder / "kubectl").write_text(f"#!/bin/sh\n{text}\n")


def test_kubectl_that_may_not_be_run_is_told(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(cluster.folder))
    (cluster.folder / "kubectl").chmod(0o600)
    for call in (lambda: Kubectl().run("version"), lambda: list(Kubectl().lines("logs"))):
        with pytest.raises(Unreachable, match="kubectl cannot be run: Permission denied"):
            call()


def test_kubectl_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unreachable, match="not on PATH"):
        started(["kubectl"])


def test_both_directions_are_utf_8_and_other_bytes_are_replaced(cluster: Cluster) -> None:
    script(cluster, r"cat; printf '\351'")
    process = started(["kubectl"], stdin=subprocess.PIPE)
    with process:
        assert communicate(process, "山田 é") == ("山田 é\N{REPLACEMENT CHARACTER}", "")


def test_what_it_says_meanwhile_is_passed_on_without_what_client_go_logs(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    script(cluster, f"echo 'Open a browser.' >&2; printf '%s' '{KLOG}' >&2; sleep 2; echo done")
    process = started(["kubectl"])
    with process:
        assert communicate(process, None) == ("done\n", f"Open a browser.\n{KLOG}")
    assert capsys.readouterr().err == "Open a browser.\n"


def test_lines_of_client_go_are_left_out() -> None:
    assert without_klog(f"one\n{KLOG}two") == "one\ntwo"
