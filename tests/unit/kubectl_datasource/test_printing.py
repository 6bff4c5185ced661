"""Results for programs."""

import json

import yaml

from kubectl_datasource.printing import names, rendered
from tests.unit.kubectl_datasource.builders import datasource

VALUE = {"b": ["\x1b[31m", "ä"], "a": None}


def test_json_and_yaml_say_the_same_and_move_no_terminal() -> None:
    for output, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        text = rendered(VALUE, output)
        assert read(text) == VALUE
        assert text.isascii()
        assert "\x1b" not in text
        assert list(read(text)) == ["b", "a"]


def test_names_are_those_of_kubectl() -> None:
    assert names([datasource(name="calendar")]) == ["datasource.datasource.dev/calendar"]
