"""Logs of both processes: one format, and nothing of what libraries would tell of secrets."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from datasource.process import logs
from datasource.process.logs import (
    IN_ALL_AT_ONCE,
    LINES_AT_ONCE,
    THEN_ONE_OF_ALL_EVERY,
    FairLines,
    configure_logging,
)
from datasource.process.metrics import LEFT_OUT
from datasource.process.settings import LogFormat

QUIET = ("httpx", "httpcore", "kopf.objects", "kopf.activities")


@contextmanager
def configured(log_format: LogFormat) -> Iterator[None]:
    """Configure logging, and undo it: it belongs to the whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    ours = structlog.get_config()
    levels = {name: logging.getLogger(name).level for name in QUIET}
    try:
        configure_logging(log_format)
        yield
    finally:
        structlog.configure(**ours)
        structlog.contextvars.clear_contextvars()
        root.handlers, root.level = handlers, level
        for name, before in levels.items():
            logging.getLogger(name).setLevel(before)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def fail() -> None:
    raise ValueError("broken")


def test_own_lines_are_json_with_level_name_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    with configured("json"):
        structlog.get_logger("ours").info("refreshed", datasource="shop/sales")
        (line,) = lines(capsys)
    timestamp = line.pop("timestamp")
    assert timestamp.endswith("Z")
    assert datetime.fromisoformat(timestamp) <= datetime.now(UTC)
    assert line == {"event": "refreshed", "datasource": "shop/sales", "level": "info", "logger": "ours"}


def test_lines_of_libraries_are_json_of_the_same_shape(capsys: pytest.CaptureFixture[str]) -> None:
    with configured("json"):
        logging.getLogger("uvicorn.error").warning("port %d is taken", 80)
        (line,) = lines(capsys)
    assert line.keys() == {"event", "level", "logger", "timestamp"}
    assert (line["event"], line["level"], line["logger"]) == ("port 80 is taken", "warning", "uvicorn.error")


def test_context_stands_on_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    with configured("json"):
        structlog.contextvars.bind_contextvars(datasource="shop/sales")
        structlog.get_logger("ours").info("one")
        logging.getLogger("theirs").info("two")
        assert [line["datasource"] for line in lines(capsys)] == ["shop/sales"] * 2


@pytest.mark.parametrize("logger", ["ours", "theirs"])
def test_exception_stands_on_the_line_it_belongs_to(logger: str, capsys: pytest.CaptureFixture[str]) -> None:
    with configured("json"):
        log = structlog.get_logger("ours") if logger == "ours" else logging.getLogger("theirs")
        try:
            fail()
        except ValueError:
            log.exception("it failed")
        (line,) = lines(capsys)
    assert line["event"] == "it failed"
    assert line["exception"].endswith("ValueError: broken")


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    with configured("text"):
        structlog.get_logger("ours").info("refreshed", datasource="shop/sales")
        shown = capsys.readouterr().err
    assert "refreshed" in shown
    assert "datasource=shop/sales" in shown
    assert "\x1b[" not in shown  # no colours where nobody looks at a terminal


def test_text_has_colours_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with configured("text"):
        structlog.get_logger("ours").info("refreshed")
        assert "\x1b[" in capsys.readouterr().err


@pytest.mark.parametrize("logger", ["ours", "theirs"])
def test_exception_in_text_is_shown_without_a_warning_of_the_renderer(
    logger: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with configured("text"):
        log = structlog.get_logger("ours") if logger == "ours" else logging.getLogger("theirs")
        try:
            fail()
        except ValueError:
            log.exception("it failed")
        shown = capsys.readouterr().err
    assert "Logging error" not in shown  # what logging prints of an exception, and so of a warning, within itself
    assert "it failed" in shown
    assert "ValueError: broken" in shown


@pytest.mark.parametrize("name", QUIET)
def test_library_that_tells_too_much_is_kept_quiet(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    # httpx logs whole URLs at INFO.
    with configured("json"):
        logging.getLogger(name).info("POST https://login.example.com/token?code=sentinel")
        assert lines(capsys) == []
        logging.getLogger(name).warning("it matters")
        assert [line["event"] for line in lines(capsys)] == ["it matters"]


def test_debug_lines_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    with configured("json"):
        structlog.get_logger("ours").debug("detail")
        logging.getLogger("theirs").debug("detail")
        assert lines(capsys) == []


# One tenant's endless errors.


def fair_lines() -> tuple[FairLines, list[float]]:
    clock = [0.0]
    return FairLines(lambda: clock[0]), clock


def passes(lines: FairLines, event: str, **fields: object) -> dict[str, Any] | None:
    try:
        return dict(lines(None, "warning", {"event": event, **fields}))
    except structlog.DropEvent:
        return None


def passed(lines: FairLines, count: int, event: str, **fields: object) -> int:
    return sum(passes(lines, event, **fields) is not None for _ in range(count))


def test_endless_lines_about_one_namespace_are_left_out_and_counted() -> None:
    fair, clock = fair_lines()
    before = LEFT_OUT.labels("log line")._value.get()
    for number in range(500):
        passes(fair, "a refresh failed", datasource=f"loud/{number}")
    assert LEFT_OUT.labels("log line")._value.get() - before == 500 - LINES_AT_ONCE
    clock[0] = 1.0
    assert passes(fair, "a refresh failed", datasource="loud/x") == {
        "event": "a refresh failed",
        "datasource": "loud/x",
        "left_out": 500 - LINES_AT_ONCE,
    }


def test_endless_lines_drown_neither_other_namespaces_nor_other_messages_nor_the_installation() -> None:
    fair, _ = fair_lines()
    passed(fair, 500, "a refresh failed", datasource="loud/a")
    assert passes(fair, "a refresh failed", datasource="loud/b") is None
    assert passes(fair, "a refresh failed", datasource="quiet/a") is not None
    assert passes(fair, "state changed", datasource="loud/a") is not None
    assert passed(fair, 500, "cannot renew", lease="datasource-operator") == 500


def test_many_namespaces_of_one_tenant_have_a_bound_together() -> None:
    fair, clock = fair_lines()
    written = sum(passed(fair, 200, f"message {kind}", namespace=f"loud-{n}") for n in range(60) for kind in range(4))
    assert written <= 2 * IN_ALL_AT_ONCE
    clock[0] = 10.0
    seconds = timedelta(seconds=10) / THEN_ONE_OF_ALL_EVERY
    assert sum(passed(fair, 50, "message 0", namespace=f"loud-{n}") for n in range(60)) <= 2 * seconds


def test_crowd_of_namespaces_keeps_no_first_line_of_another_out() -> None:
    fair, _ = fair_lines()
    for number in range(60):
        passed(fair, 200, "a refresh failed", namespace=f"loud-{number}")
    assert passes(fair, "a refresh failed", namespace="loud-0") is None
    assert passes(fair, "a refresh failed", namespace="quiet") == {"event": "a refresh failed", "namespace": "quiet"}


def test_line_that_all_together_left_out_is_told_with_the_next_one() -> None:
    fair, clock = fair_lines()
    for number in range(11):
        passed(fair, 100, "a refresh failed", namespace=f"loud-{number}")
    passed(fair, 1, "a refresh failed", namespace="quiet")
    assert passes(fair, "a refresh failed", namespace="quiet") is None
    clock[0] = 1.0
    told = passes(fair, "a refresh failed", namespace="quiet")
    assert told is not None
    assert told["left_out"] == 1


@pytest.mark.parametrize("field", [{"datasource": "loud/a"}, {"secret": "loud/a"}, {"namespace": "loud"}])
def test_a_line_is_counted_for_the_namespace_that_it_names(field: dict[str, str]) -> None:
    fair, _ = fair_lines()
    assert passed(fair, 500, "no metadata", **field) == LINES_AT_ONCE
    assert passes(fair, "no metadata", secret="a", namespace="loud") is None


def test_left_out_lines_are_missing_from_the_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "THEN_A_LINE_EVERY", timedelta(days=1))
    with configured("json"):
        for _ in range(LINES_AT_ONCE + 20):
            structlog.get_logger("ours").warning("a refresh failed", datasource="loud/a")
        structlog.get_logger("ours").warning("a refresh failed", datasource="quiet/a")
        written = [line["datasource"] for line in lines(capsys)]
    assert written.count("loud/a") == LINES_AT_ONCE
    assert written[-1] == "quiet/a"
