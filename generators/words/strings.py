"""The sentences that programs, templates and manifests show to people. Pure but for the files that they are read from."""

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from generators.words.sentences import CODE, paragraphs

Found = Iterator[tuple[int, str]]
"""A text and the line that it begins in."""

_FEWEST_WORDS = 4
"""Shorter strings are keys, names and parts of commands."""

_RELEASED = re.compile(r"^## \[\d.*", re.MULTILINE)
_BLANK_LINE = re.compile(r"\n\s*\n")
_TAG = re.compile(r"<style>.*?</style>|<[^>]+>", re.DOTALL)
_PLACEHOLDER = re.compile(r"\{\{.*?\}\}")
_VALUE = re.compile(r"\{[\w.!:]*\}")
_PERCENT = re.compile(r"%[-#0-9.]*[sdrf]")
_CEL_STRING = re.compile(r"'([^']*)'")
_CONTROL = re.compile(r"\{\{-?\s*(?:if|else|end|with|range|\$)[^}]*\}\}")
"""What a template of Go decides, and shows nothing."""
_CHOICE = re.compile(r"\{\{ if [^}]*\}\}(.*?)\{\{ else \}\}.*?\{\{ end \}\}", re.DOTALL)
_STATEMENT = re.compile(r"\{%.*?%\}")


def of_python(path: Path) -> Found:
    """Strings of a module. Docstrings are for contributors, and left out; what is formatted into a string is one word."""
    yield from _strings(ast.parse(path.read_text()))


def of_commands(path: Path) -> Found:
    """The same, and the docstrings of click's commands: they are the help texts."""
    tree = ast.parse(path.read_text())
    yield from _strings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any("command" in ast.unparse(each) for each in node.decorator_list):
            for part in _BLANK_LINE.split(ast.get_docstring(node) or ""):
                yield node.lineno, part


def _strings(node: ast.AST) -> Found:
    """Those below a node, a string within another one not by itself; what is put together from several is read as one."""
    match node:
        case ast.Expr(value=ast.Constant()):
            return
        case ast.Constant() | ast.JoinedStr() | ast.BinOp() | ast.Call() if (text := _text(node)) is not None:
            for paragraph in _BLANK_LINE.split(text):
                if len(paragraph.split()) >= _FEWEST_WORDS:
                    yield node.lineno, paragraph
            # What is filled in has texts of its own: f"{'a person has to act' if x else 'it tries again'}".
            yield from _filled_in(node)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _strings(child)


def _text(node: ast.AST) -> str | None:
    """What a string, a concatenation, `%` or `.format` shows, each value as one word; nothing where no string is in it."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_text(part) or CODE for part in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            halves = _text(left), _text(right)
            return None if halves == (None, None) else "".join(half or CODE for half in halves)
        case ast.BinOp(left=left, op=ast.Mod()) if (formatted := _text(left)) is not None:
            return _PERCENT.sub(CODE, formatted)
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str() as text), attr="format")):
            return _VALUE.sub(CODE, text)
        case _:
            return None


def _filled_in(node: ast.AST) -> Found:
    match node:
        case ast.Constant():
            return
        case ast.FormattedValue(value=value):
            yield from _strings(value)
        case ast.JoinedStr(values=parts):
            for part in parts:
                yield from _filled_in(part)
        case ast.BinOp(left=left, op=op, right=right):
            yield from _filled_in(left)
            yield from _filled_in(right) if isinstance(op, ast.Add) and _text(right) is not None else _strings(right)
        case ast.Call(args=args, keywords=keywords):
            for each in (*args, *(keyword.value for keyword in keywords)):
                yield from _strings(each)
        case _:
            yield from _strings(node)


def of_template(path: Path) -> Found:
    """What a page template shows: each element's text by itself."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = _PLACEHOLDER.sub(CODE, _TAG.sub(" ", _STATEMENT.sub("\n", line)))
        for part in text.split("\n"):
            if len(part.split()) >= _FEWEST_WORDS:
                yield number, part


def of_texts(path: Path) -> Found:
    """The texts of the pages, a value that is filled in as one word."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        for text in tomllib.loads(line).values() if "=" in line and not line.startswith(("#", "[")) else ():
            yield number, _VALUE.sub(CODE, text)


def of_changes(path: Path) -> Found:
    """What a changelog says of the version to come. What was released stays as it was written."""
    to_come, *_ = _RELEASED.split(path.read_text())
    yield from paragraphs(to_come)


def of_presets(path: Path) -> Found:
    """What presets say of a service: notes, what its scopes allow, and when its consents end."""
    for preset in tomllib.loads(path.read_text()).values():
        told = [*preset.get("notes", ()), *preset.get("steps", ()), *preset.get("scopeTexts", {}).values()]
        for text in (*told, preset.get("consentEnds", "")):
            yield 0, _VALUE.sub(CODE, text)


def of_notes(path: Path) -> Found:
    """What Helm says after an installation, by paragraphs; commands are indented."""
    text = _PLACEHOLDER.sub(CODE, _CONTROL.sub("", path.read_text()))
    for paragraph in _BLANK_LINE.split(text):
        yield 0, "\n".join(line for line in paragraph.splitlines() if not line.startswith("    "))


def of_manifest(path: Path) -> Found:
    """Descriptions and messages of manifests: of fields, rules, policies, alerts and panels."""
    for document in yaml.load_all(path.read_text(), yaml.CSafeLoader):
        yield from _descriptions(document)


_SHOWN = frozenset({"description", "message", "summary"})


def _descriptions(node: Any) -> Found:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in _SHOWN and isinstance(value, str):
                yield 0, _PLACEHOLDER.sub(CODE, _CHOICE.sub(r"\1", value))
            elif key == "messageExpression" and isinstance(value, str):
                yield 0, _of_cel(value)
            else:
                yield from _descriptions(value)
    elif isinstance(node, list):
        for value in node:
            yield from _descriptions(value)


def _of_cel(expression: str) -> str:
    """The message that CEL puts together, what is filled in as one word."""
    texts = _CEL_STRING.split(expression)[1::2]
    return f" {CODE} ".join(text.strip() for text in texts if len(text.split()) > 1)
