"""The sentences that programs, templates and manifests show to people. Pure but for the files that they are read from."""

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from generators.words.sentences import CODE

Found = Iterator[tuple[int, str]]
"""A text and the line that it begins in."""

_FEWEST_WORDS = 4
"""Shorter strings are keys, names and parts of commands."""

_TAG = re.compile(r"<style>.*?</style>|<[^>]+>", re.DOTALL)
_PLACEHOLDER = re.compile(r"\{\{.*?\}\}")
_VALUE = re.compile(r"\{\w+\}")
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
            for part in re.split(r"\n\s*\n", ast.get_docstring(node) or ""):
                yield node.lineno, part


def _strings(node: ast.AST) -> Found:
    """Those below a node, a string within another one not by itself."""
    match node:
        case ast.Expr(value=ast.Constant()):
            return
        case ast.Constant(value=str() as text) if len(text.split()) >= _FEWEST_WORDS:
            yield node.lineno, text
        case ast.JoinedStr(values=values):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else CODE for part in values)
            if len(text.split()) >= _FEWEST_WORDS:
                yield node.lineno, text
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _strings(child)


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


def of_crd(path: Path) -> Found:
    """Descriptions of fields and messages of rules."""
    yield from _descriptions(yaml.load(path.read_text(), yaml.CSafeLoader), "")


def _descriptions(node: Any, where: str) -> Found:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in {"description", "message"} and isinstance(value, str):
                yield 0, f"{value}"
            else:
                yield from _descriptions(value, f"{where}.{key}")
    elif isinstance(node, list):
        for value in node:
            yield from _descriptions(value, where)
