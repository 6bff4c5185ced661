"""Draw docs/recording.svg from recording.json beside this file, the session that deploy/local/recording.py typed for real.

An SVG that moves by CSS alone: a page that shows it as a picture runs no script and fetches nothing. Light and dark as the
reader has it; whoever wants no motion sees all of it at once.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from deploy.local.cache import REPOSITORY

SESSION = Path(__file__).with_name("recording.json")
RESULT = REPOSITORY / "docs" / "recording.svg"

COLUMNS = 88
LASTS = 20.0
"""Seconds, then it begins again."""

_WIDTH, _HEIGHT, _MARGIN = 8.4, 21, 16
"""Of a character, of a line, and around all of them."""
_TYPES = 0.035
"""Seconds for a character."""
_READS = 2.2
"""Seconds of pause behind what a command said."""
_WAITS = 1.5
"""No command takes longer than this, whatever it took."""
_ENDS = 98.0
"""Per cent of the time at which the screen is emptied."""

_STYLE = """
text { font: 14px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1f2328; white-space: pre }
.screen { fill: #f6f8fa; stroke: #d1d9e0 }
.prompt { fill: #1a7f37; font-weight: 600 }
.command { font-weight: 600 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .screen { fill: #0d1117; stroke: #3d444d }
  .prompt { fill: #3fb950 }
}
"""


@dataclass(frozen=True, slots=True)
class Typed:
    """One command and what it said."""

    command: str
    output: tuple[str, ...]
    seconds: float
    """How long it took."""


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    begins: float
    """Seconds after the start at which it is there, or at which its typing begins."""
    typed_for: float = 0.0
    """Seconds; 0: it is there at once."""


def session(text: str) -> list[Typed]:
    """The session as it is kept."""
    found: list[dict[str, Any]] = json.loads(text)
    return [Typed(each["command"], tuple(each["output"]), each["seconds"]) for each in found]


def drawn(typed: Sequence[Typed]) -> str:
    """The picture."""
    lines = list(_lines(typed))
    took = max(line.begins + line.typed_for for line in lines) + _READS
    # A session of another length is stretched or pressed: pauses were a matter of taste anyway.
    scale = LASTS / took
    width = COLUMNS * _WIDTH + 2 * _MARGIN
    height = len(lines) * _HEIGHT + 2 * _MARGIN
    said = "; ".join(each.command for each in typed)
    moves = "\n".join(_keyframes(number, line, scale) for number, line in enumerate(lines))
    rows = "\n".join(_row(number, line) for number, line in enumerate(lines))
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" aria-labelledby="title description">
<title id="title">A terminal: a Datasource is applied, authorized and refreshed</title>
<desc id="description">Commands, one after the other: {escape(said)}</desc>
<style>{_STYLE}{moves}
@media (prefers-reduced-motion: reduce) {{ text {{ animation: none !important }} }}
</style>
<rect class="screen" x=".5" y=".5" width="{width - 1:g}" height="{height - 1:g}" rx="8"/>
{rows}
</svg>
"""


def _lines(typed: Sequence[Typed]) -> Iterator[_Line]:
    now = 0.5
    for each in typed:
        types = len(each.command) * _TYPES
        yield _Line(f"$ {each.command}", now, types)
        now += types + min(each.seconds, _WAITS)
        for line in each.output:
            yield from (_Line(row, now) for row in _wrapped(line))
        now += _READS


def _wrapped(line: str) -> list[str]:
    """As a terminal breaks a line."""
    return [line[start : start + COLUMNS] for start in range(0, len(line), COLUMNS)] or [""]


def _keyframes(number: int, line: _Line, scale: float) -> str:
    begins = 100 * line.begins * scale / LASTS
    ends = 100 * (line.begins + line.typed_for) * scale / LASTS
    name = f"l{number}"
    rule = f"#{name} {{ animation: {name} {LASTS:g}s infinite }}"
    if not line.typed_for:
        frames = f"0%, {begins:.2f}% {{ opacity: 0 }} {begins + 0.01:.2f}%, {_ENDS:g}% {{ opacity: 1 }} 100% {{ opacity: 0 }}"
    else:
        hidden, whole = "clip-path: inset(0 100% 0 0)", "clip-path: inset(0 0 0 0)"
        steps = f"animation-timing-function: steps({len(line.text)})"
        starts = f"0% {{ {hidden} }} {begins:.2f}% {{ {hidden}; {steps} }}"
        frames = f"{starts} {ends:.2f}%, {_ENDS:g}% {{ {whole} }} 100% {{ {hidden} }}"
    return f"{rule} @keyframes {name} {{ {frames} }}"


def _row(number: int, line: _Line) -> str:
    # Every font gives the same columns.
    fit = f'textLength="{len(line.text) * _WIDTH:g}" lengthAdjust="spacingAndGlyphs"'
    at = f'x="{_MARGIN}" y="{_MARGIN + (number + 0.75) * _HEIGHT:g}"'
    shown = escape(line.text, quote=False)
    if line.typed_for:
        shown = f'<tspan class="prompt">$</tspan><tspan class="command">{shown[1:]}</tspan>'
    return f'<text id="l{number}" {at} {fit} xml:space="preserve">{shown}</text>' if line.text else ""


def main() -> None:
    """Write it."""
    RESULT.write_text(drawn(session(SESSION.read_text())))


if __name__ == "__main__":
    main()
