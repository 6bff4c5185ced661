"""What the audit log tells of who asked what."""

import json
import os
from pathlib import Path
from typing import Any

from bench.meter import AuditLog, Call, cpu_seconds, resident_kib


def line(
    verb: str, resource: str, *, user: str = "operator", agent: str = "ours", uri: str = "/api", **ref: Any
) -> bytes:
    event = {
        "verb": verb,
        "user": {"username": user},
        "userAgent": agent,
        "requestURI": uri,
        "objectRef": {"resource": resource, **ref},
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
    begun = cpu_seconds(os.getpid())
    while cpu_seconds(os.getpid()) - begun < 0.05:
        sum(range(10_000))
    assert resident_kib(os.getpid()) > 1024
