"""I/O: the terminal. Results go to stdout; progress, warnings and errors to stderr. Colours only where somebody sees them."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from kubectl_datasource.words import Cell, Line, printable


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether to write colours: to a terminal that can show them, unless NO_COLOR is set (no-color.org)."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def may_open_browser(stream: TextIO, environ: Mapping[str, str], platform: str) -> bool:
    """Whether somebody sits before a screen, or has named a browser: else one might open in the terminal, or on a server."""
    if environ.get("BROWSER"):
        return True
    if not stream.isatty() or environ.get("SSH_CONNECTION"):
        return False
    has_desktop = environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")
    return platform in {"darwin", "win32"} or bool(has_desktop)


@dataclass(slots=True)
class Screen:
    """Where a command writes."""

    out: TextIO
    err: TextIO
    environ: Mapping[str, str]

    @classmethod
    def of_process(cls) -> "Screen":
        """That of this process."""
        return cls(sys.stdout, sys.stderr, os.environ)

    def show(self, *lines: Line | str) -> None:
        """Write results."""
        for line in lines:
            self._write(self.out, line)

    def show_json(self, value: object) -> None:
        """Write a result for programs; what is not ASCII is escaped, so that no terminal obeys it."""
        self.out.write(json.dumps(value, indent=2) + "\n")

    def note(self, text: str, style: str = "") -> None:
        """Write beside the result."""
        self._write(self.err, (Cell(text, style),))

    @contextmanager
    def progress(self) -> Iterator[Callable[[str], None]]:
        """Show what is waited for: a spinner on a terminal, otherwise a line for each change."""
        if wants_colour(self.err, self.environ):
            from rich.console import Console
            from rich.text import Text

            with Console(file=self.err, highlight=False).status("") as status:
                yield lambda text: status.update(Text(printable(text)))
        else:
            yield _OnChange(self.note)

    def _write(self, stream: TextIO, line: Line | str) -> None:
        cells = (Cell(line),) if isinstance(line, str) else line
        if any(cell.style for cell in cells) and wants_colour(stream, self.environ):
            from rich.console import Console
            from rich.text import Text

            text = Text.assemble(*((cell.text, cell.style) for cell in cells))
            Console(file=stream, highlight=False).print(text, soft_wrap=True)
        else:
            stream.write("".join(cell.text for cell in cells).rstrip() + "\n")
        stream.flush()


@dataclass(slots=True)
class _OnChange:
    say: Callable[[str], None]
    said: str = ""

    def __call__(self, text: str) -> None:
        if text != self.said:
            self.said = text
            self.say(printable(text))


def as_lines(texts: Iterable[str]) -> list[Line]:
    """Unstyled lines of what others wrote."""
    return [(Cell(printable(text)),) for text in texts]


def open_browser(link: str) -> bool:
    """Open a link in the user's browser; False where that did not work."""
    import webbrowser

    try:
        return webbrowser.open(link)
    except (OSError, webbrowser.Error):
        return False
