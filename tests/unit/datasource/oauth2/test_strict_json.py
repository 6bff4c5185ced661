"""JSON of strangers: an object within bounds, or nothing."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.oauth2.strict_json import DEEPEST_JSON, MOST_ELEMENTS, Number, json_object, leading_json_object, text_of


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


@pytest.mark.parametrize("number", ["0", "-1", "1e999", "9" * 5_000, "1.50", "NaN", "-Infinity"])
def test_number_is_kept_as_it_is_written(number: str) -> None:
    assert json_object(f'{{"a": {number}}}') == {"a": Number(number)}


@pytest.mark.parametrize("text", ["", "[]", "null", '"a"', "1", "{", '{"a"}', "{} {}", "{'a': 1}", ' {"a": 1}'])
def test_what_is_no_object_is_none(text: str) -> None:
    assert json_object(text) is None


def test_object_may_nest_so_deep_and_no_deeper() -> None:
    assert json_object(nested(DEEPEST_JSON)) is not None
    assert json_object(nested(DEEPEST_JSON + 1)) is None


def test_object_may_have_so_many_elements_and_no_more() -> None:
    def listing(elements: int) -> str:
        return '{"a":[' + ",".join("1" for _ in range(elements)) + "]}"

    # Two brackets each for the object and the list, and a comma less than there are elements.
    assert json_object(listing(MOST_ELEMENTS - 3)) is not None
    assert json_object(listing(MOST_ELEMENTS - 2)) is None


def test_body_loses_white_space_and_byte_order_mark_around_it() -> None:
    assert text_of(b'\xef\xbb\xbf \r\n{"a": "\xc3\xbc"}\n') == '{"a": "ü"}'


_json = st.recursive(
    st.none() | st.booleans() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=10), _json, max_size=5))
def test_object_without_numbers_is_read_as_it_is(written: dict[str, Any]) -> None:
    assert json_object(json.dumps(written)) == written


@given(st.text() | st.text(alphabet='{}[],:"0123eE+-.').map("{".__add__))
def test_arbitrary_text_is_an_object_or_none(text: str) -> None:
    parsed = json_object(text)
    assert parsed is None or isinstance(parsed, dict)


@given(st.binary())
def test_arbitrary_body_is_text(body: bytes) -> None:
    text = text_of(body)
    assert text == text.strip()
    text.encode()


@pytest.mark.parametrize("text", ['"{', '"{\\"a\\": 1', '"{\\u00"', '"{ no object }"', '"[]"', '"'])
def test_text_that_holds_no_object_is_none(text: str) -> None:
    assert leading_json_object(text) is None
