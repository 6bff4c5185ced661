"""I/O: the terminal. Results go to stdout; progress, warnings and errors to stderr. Colours only where somebody sees them."""

import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from kubectl_datasource.exits import Misused, Problem
from kubectl_datasource.words import Cell, Line, printable


def prepare_streams() -> None:
    """Make the streams of this process take whatever is written; called once, before all else.

    A character that the encoding lacks becomes an escape. A stream that is closed is like a pipe whose reader is gone.
    """
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open()  # noqa: SIM115
    sys.stdout, sys.stderr = (_writable(stream) for stream in (sys.stdout, sys.stderr))


def _writable(stream: TextIO | None) -> TextIO:
    if stream is None:
        read, write = os.pipe()
        os.close(read)
        # Unbuffered, so that a write fails at once: `input` swallows the error of a flush.
        return io.TextIOWrapper(io.FileIO(write, "w"), encoding="utf-8", write_through=True)
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream


def silence(stream: TextIO) -> None:
    """Lose whatever is still written there: Python must not complain when it flushes at the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


@contextmanager
def question() -> Iterator[None]:
    """What is asked here is written to stderr.

    Raises:
        Misused: it cannot be written there, so nobody reads it.
    """
    try:
        yield
    except OSError:
        silence(sys.stderr)
        raise Misused("Cannot ask you: stderr cannot be written.") from None


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
    is_read: bool = True
    """Whether anyone may still read the results. A command ends with its own exit code either way; one without an end stops."""

    @classmethod
    def of_process(cls) -> "Screen":
        """That of this process."""
        return cls(sys.stdout, sys.stderr, os.environ)

    def show(self, *lines: Line | str) -> None:
        """Write results."""
        with self._results():
            for line in lines:
                self._write(self.out, line)

    def show_text(self, text: str) -> None:
        """Write a result as it is."""
        with self._results():
            self.out.write(text)
            self.out.flush()

    def show_json(self, value: object) -> None:
        """Write a result for programs; what is not ASCII is escaped, so that no terminal obeys it."""
        self.show_text(json.dumps(value, indent=2) + "\n")

    def note(self, text: str, style: str = "") -> None:
        """Write beside the result."""
        with self._asides():
            self._write(self.err, (Cell(text, style),))

    def pass_on(self, text: str) -> None:
        """Write beside the result what another program said, as it is."""
        with self._asides():
            self.err.write(text)
            self.err.flush()

    @contextmanager
    def progress(self) -> Iterator[Callable[[str], None]]:
        """Show what is waited for: a spinner on a terminal, otherwise a line for each change."""
        if wants_colour(self.err, self.environ):
            from rich.console import Console
            from rich.text import Text

            console = Console(file=self.err, highlight=False)
            spinner = "dots" if console.encoding.startswith("utf") else "line"
            with console.status("", spinner=spinner) as status:
                yield lambda text: status.update(Text(printable(text)))
        else:
            yield _OnChange(self.note)

    @contextmanager
    def _results(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            # Whoever read us, such as `head`, has seen enough.
            silence(self.out)
            self.is_read = False
        except OSError as error:
            silence(self.out)
            raise Problem(f"The result cannot be written to stdout: {error.strerror}.") from None

    @contextmanager
    def _asides(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            silence(self.err)

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
