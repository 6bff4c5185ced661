import io
import json

import pytest

from kubectl_datasource.screen import Screen, may_open_browser, wants_colour
from kubectl_datasource.words import Cell


class Terminal(io.StringIO):
    """Somebody sees it."""

    def isatty(self) -> bool:
        return True


ESCAPE = "\x1b"
LINE = (Cell("name   "), Cell("ERROR", "red"))


def shown(stream: io.StringIO, **environ: str) -> str:
    Screen(stream, io.StringIO(), {"TERM": "xterm-256color"} | environ).show(LINE)
    return stream.getvalue()


def test_terminals_get_colours() -> None:
    assert ESCAPE in shown(Terminal())


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"NO_COLOR": "false"}, {"TERM": "dumb"}])
def test_terminals_without_colours_get_none(environ: dict[str, str]) -> None:
    assert shown(Terminal(), **environ) == "name   ERROR\n"


def test_empty_no_color_is_none() -> None:
    assert wants_colour(Terminal(), {"NO_COLOR": ""})


def test_pipes_get_no_colours() -> None:
    assert shown(io.StringIO()) == "name   ERROR\n"


def test_json_is_plain_ascii() -> None:
    out = Terminal()
    Screen(out, io.StringIO(), {}).show_json({"who": "\x9b31mädä"})
    assert json.loads(out.getvalue()) == {"who": "\x9b31mädä"}
    assert out.getvalue().isascii()


def test_progress_in_a_log_is_a_line_for_each_change() -> None:
    err = io.StringIO()
    with Screen(io.StringIO(), err, {}).progress() as show:
        for text in ("one", "one", "two\x1b[2J"):
            show(text)
    assert err.getvalue() == "one\ntwo\\x1b[2J\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_progress_on_a_terminal_is_in_its_encoding(encoding: str) -> None:
    written = io.BytesIO()

    class Of(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    err = Of(written, encoding=encoding, errors="backslashreplace", write_through=True)
    with Screen(io.StringIO(), err, {"TERM": "xterm-256color"}).progress() as show:
        show("waiting")
    assert b"waiting" in written.getvalue()
    assert b"\\u" not in written.getvalue()


@pytest.mark.parametrize(
    ("environ", "platform", "opens"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "darwin", True),
        ({"SSH_CONNECTION": "a b"}, "darwin", False),
    ],
)
def test_browser_opens_where_somebody_sits_before_a_screen(environ: dict[str, str], platform: str, opens: bool) -> None:
    assert may_open_browser(Terminal(), environ, platform) is opens
    assert not may_open_browser(io.StringIO(), environ, platform)


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_browser_that_is_named_opens_wherever_somebody_sits(stream: io.StringIO) -> None:
    assert may_open_browser(stream, {"BROWSER": "firefox", "SSH_CONNECTION": "a b"}, "linux")
