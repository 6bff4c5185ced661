"""What the audit log tells of who asked what."""

import json
import os
from pathlib import Path
from typing import Any

from bench.meter import LINK_KEYS, AuditLog, Call, busy_seconds, cpu_seconds, resident_kib
from bench.writing import Run


def line(
    verb: str,
    resource: str,
    *,
    user: str = "operator",
    agent: str = "ours",
    uri: str = "/api",
    code: int = 200,
    **ref: Any,
) -> bytes:
    event = {
        "verb": verb,
        "user": {"username": user},
        "userAgent": agent,
        "requestURI": uri,
        "objectRef": {"resource": resource, **ref},
        "responseStatus": {"code": code},
    }
    return json.dumps(event).encode() + b"\n"


def test_requests_of_others_do_not_count(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(
        line("patch", "datasources", subresource="status")
        + line("patch", "secrets", agent="bench-raw")
        + line("patch", "secrets", user="somebody")
    )
    with AuditLog(log) as audit:
        calls = audit.calls("operator", without_agent="bench-raw")
    assert calls == {Call("patch", "datasources/status"): 1}


def test_a_dry_run_is_no_write_and_events_and_leases_are_told_apart(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(
        line("create", "secrets", uri="/api?dryRun=All")
        + line("create", "secrets")
        + line("create", "events")
        + line("patch", "leases")
        + line("get", "secrets")
    )
    with AuditLog(log) as audit:
        calls = audit.calls("operator")
    assert (calls.writes(), calls.events()) == (1, 1)


def test_keys_that_an_installation_makes_once_are_no_write_of_an_object(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(
        line("create", "secrets", namespace="datasource-system", name="datasource-link-keys")
        + line("patch", "secrets", namespace="shop", name="sales-oauth2-credential")
    )
    with AuditLog(log) as audit:
        calls = audit.calls("operator")
    assert calls[Call("create", LINK_KEYS)] == 1
    assert Run(1, 1.0, calls).writes == 1
    # A restart must write none of them.
    assert calls.writes() == 2


def test_writes_to_a_datasource_and_its_secrets_are_counted_together_whatever_came_of_them(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(
        line("patch", "secrets", namespace="shop", name="sales-oauth2-credential")
        + line("patch", "secrets", code=409, namespace="shop", name="sales-oauth2-credential")
        + line("get", "secrets", namespace="shop", name="sales-oauth2-credential")
        + line("patch", "secrets", namespace="shop", name="sales-token")
        + line("patch", "secrets", namespace="other", name="sales-token")
        + line("patch", "datasources", subresource="status", namespace="shop", name="sales")
        + line("create", "events", namespace="shop", name="sales")
    )
    with AuditLog(log) as audit:
        calls = audit.calls("operator")
    assert calls.written == {
        ("shop", "sales"): [
            "patch secrets 200",
            "patch secrets 409",
            "patch secrets 200",
            "patch datasources/status 200",
        ],
        ("other", "sales"): ["patch secrets 200"],
    }
    assert calls.most_writes() == 4


def test_a_look_goes_on_where_the_last_one_ended_through_half_lines_and_a_rotation(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    whole = line("get", "secrets")
    log.write_bytes(whole + whole[:20])
    with AuditLog(log) as audit:
        assert sum(audit.calls("operator").values()) == 1
        with log.open("ab") as more:
            more.write(whole[20:])
        log.rename(tmp_path / "audit-1.log")
        log.write_bytes(whole)
        assert sum(audit.calls("operator").values()) == 2


def test_kernel_tells_what_a_process_uses() -> None:
    begun, machine = cpu_seconds(os.getpid()), busy_seconds()
    while cpu_seconds(os.getpid()) - begun < 0.05:
        sum(range(10_000))
    assert busy_seconds() > machine
    assert resident_kib(os.getpid()) > 1024
