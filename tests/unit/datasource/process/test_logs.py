"""Logs of both processes: one format, and nothing of what libraries would tell of secrets."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from datasource.process.logs import configure_logging
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
