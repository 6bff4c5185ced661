"""Kinds of refusals, by which metrics and logs count."""

import re
from pathlib import Path

from callback_server import refusals
from callback_server.refusals import Kind


def test_label_of_a_kind_is_one_word() -> None:
    for kind in Kind:
        assert re.fullmatch("[a-z0-9_]+", kind)


def test_each_kind_belongs_to_one_refusal() -> None:
    """Discovery that is down and a token endpoint that is down are two series."""
    source = "".join(module.read_text() for module in sorted(Path(refusals.__file__).parent.glob("*.py")))
    named = re.findall(r"Refused\(\s*(Kind\.\w+)", source)
    assert sorted(named) == sorted(f"Kind.{kind.name}" for kind in Kind)
    assert len(named) == len(re.findall(r"(?<!class )\bRefused\(", source))
