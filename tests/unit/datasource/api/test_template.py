"""The token Secret's template: plain text with names to fill in, perhaps by way of a filter, nothing more."""

import json
import signal
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.template import (
    DEFAULT_DATA,
    FILTERS,
    VARIABLES,
    filter_problems,
    least_sizes,
    perhaps,
    render,
    rendered_size,
    unknown_variables,
    uses,
    values,
    variables,
)

VALUES = {name: f"<{name}>" for name in VARIABLES}


def filled_in(text: str, variables: Mapping[str, str]) -> str:
    """A template with its placeholders filled in."""
    return render(text, values([text], variables))


_SECONDS_OF_CPU = 3.0


@contextmanager
def no_runaway() -> Iterator[None]:
    """Interrupt what burns processor time a thousand times over its due: a hang would tell nobody which test it was."""

    def interrupt(*_: object) -> None:
        raise AssertionError(f"still at it after {_SECONDS_OF_CPU:g} s of processor time")

    before = signal.signal(signal.SIGVTALRM, interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, _SECONDS_OF_CPU)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        pytest.param("Bearer {{ access_token }}", "Bearer <access_token>", id="a variable in a text"),
        pytest.param("{{access_token}}", "<access_token>", id="no space within the braces"),
        pytest.param("{{\n\t url  }}", "<url>", id="any white space within the braces"),
        pytest.param("{{ url }}{{ name }}/{{ url }}", "<url><name>/<url>", id="several, and one of them twice"),
        pytest.param("{{{ url }}}", "{<url>}", id="braces around the braces"),
        pytest.param('{"a": {"b": "{{ url }}"}}', '{"a": {"b": "<url>"}}', id="JSON"),
        pytest.param("{ url } {{ url } {{ url", "{ url } {{ url } {{ url", id="braces that do not pair"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_template_is_filled_in(text: str, rendered: str) -> None:
    assert list(unknown_variables(text)) == []
    assert filled_in(text, VALUES) == rendered


@pytest.mark.parametrize("name", VARIABLES)
def test_every_variable_there_is_can_be_used(name: str) -> None:
    assert list(unknown_variables(f"{{{{ {name} }}}}")) == []
    assert filled_in(f"{{{{ {name} }}}}", VALUES) == f"<{name}>"


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        pytest.param("{{ refresh_token }}", ["refresh_token"], id="a refresh token is not to be had"),
        pytest.param("{{ Access_Token }}", ["Access_Token"], id="letters matter"),
        pytest.param("{{ uri | b64 }}", ["uri"], id="a filter makes none"),
        pytest.param("{{ url.__class__ }}", ["url.__class__"], id="there are no attributes"),
        pytest.param("{{ a b }}{{ url }}{{c}}", ["a b", "c"], id="each is named"),
        pytest.param("{{}}", [""], id="nothing between the braces"),
        pytest.param("{{ }}", [""], id="a space between the braces"),
    ],
)
def test_variable_that_there_is_not_is_named(text: str, unknown: list[str]) -> None:
    assert list(unknown_variables(text)) == unknown


def test_what_a_variable_holds_is_not_read_as_a_template() -> None:
    assert filled_in("{{ access_token }}", VALUES | {"access_token": "{{ url }}\\1"}) == "{{ url }}\\1"


@pytest.mark.parametrize("text", ["{{" + " " * 8190, "{{ url " + " " * 8180, "{{" * 4096, "{{ " * 2730])
def test_longest_template_that_the_schema_lets_through_is_read_without_delay(text: str) -> None:
    # One tenant's template must not stop the operator for all others.
    with no_runaway():
        assert list(unknown_variables(text)) == []
        assert filled_in(text, VALUES) == text


def test_default_template_holds_the_token_its_type_and_its_end() -> None:
    rendered = {key: filled_in(text, VALUES) for key, text in DEFAULT_DATA.items()}
    assert rendered == {
        "access_token": "<access_token>",
        "token_type": "<token_type>",
        "expires_at": "<expires_at>",
    }


@given(st.text(alphabet="{} url_naccesstok", max_size=40))
def test_template_without_unknown_variables_always_renders(text: str) -> None:
    if not list(unknown_variables(text)):
        filled_in(text, VALUES)


@given(st.text().filter(lambda text: "{{" not in text))
def test_text_without_braces_stays_as_it_is(text: str) -> None:
    assert filled_in(text, VALUES) == text


def test_captured_field_is_filled_in_and_empty_where_the_provider_did_not_send_it() -> None:
    told = VALUES | {"captured.team.id": "T1"}
    assert filled_in("{{ captured.team.id }}/{{ captured.realmId }}!", told) == "T1/!"


def test_captured_field_exists_where_it_is_captured() -> None:
    text = "{{ captured.realmId }} {{ captured.other }} {{ realmId }}"
    assert list(unknown_variables(text, ("realmId",))) == ["captured.other", "realmId"]


@given(
    st.lists(
        st.sampled_from([*(f"{{{{ {name} }}}}" for name in VARIABLES), "{{\u2003url}}", "{{", "}}", "{", "é😀", " "])
    ),
    st.dictionaries(st.sampled_from(VARIABLES), st.text(max_size=20)),
)
def test_size_is_told_to_the_byte_before_anything_is_rendered(parts: list[str], told: dict[str, str]) -> None:
    text, every = "".join(parts), dict.fromkeys(VARIABLES, "") | told
    try:
        rendered = filled_in(text, every)
    except KeyError:
        return  # braces that came together name no variable
    assert rendered_size(text, {name: len(value.encode()) for name, value in every.items()}) == len(rendered.encode())


def test_size_of_what_nobody_could_render_is_told_at_once() -> None:
    with no_runaway():
        assert rendered_size("{{url}}" * 10_000, {"url": 10**9}) == 10**13


def test_captured_field_that_was_not_sent_has_no_size() -> None:
    assert rendered_size("a{{ captured.realmId }}b", {}) == 2


def test_how_often_a_variable_is_used_is_counted() -> None:
    assert uses("{{url}} {{ url }} {{ name }} {url}") == {"url": 2, "name": 1}


# Filters.

TOKEN = 'a"b/ü\n'
OF_TOKEN = {"access_token": TOKEN}


@pytest.mark.parametrize(
    ("placeholder", "rendered"),
    [
        pytest.param("access_token | b64", "YSJiL8O8Cg==", id="base64 of UTF-8"),
        pytest.param("access_token|b64", "YSJiL8O8Cg==", id="without spaces"),
        pytest.param("access_token | json", '"a\\"b/ü\\n"', id="a JSON string, quotes included"),
        pytest.param("access_token | urlencode", "a%22b%2F%C3%BC%0A", id="percent-encoded, slashes too"),
        pytest.param("access_token | basic_as:git", "Z2l0OmEiYi/DvAo=", id="git and the token, in base64"),
        pytest.param("access_token | basic_as:<token>", "PHRva2VuPjphImIvw7wK", id="a user name with signs in it"),
        pytest.param("access_token | urlencode | json", '"a%22b%2F%C3%BC%0A"', id="from left to right"),
        pytest.param("access_token | b64 | b64", "WVNKaUw4TzhDZz09", id="the same one twice"),
    ],
)
def test_filter_changes_what_is_filled_in(placeholder: str, rendered: str) -> None:
    text = f"<{{{{ {placeholder} }}}}>"
    assert list(unknown_variables(text)) == list(filter_problems(text)) == []
    assert filled_in(text, OF_TOKEN) == f"<{rendered}>"


LIKE_BASIC_AS = " (perhaps basic_as:USER is meant)"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{{ url | upper }}", "uses the unknown filter upper in {{ url | upper }}"),
        ("{{ url | }}", "uses the unknown filter  in {{ url |  }}"),
        ("{{ url || b64 }}", "uses the unknown filter  in {{ url |  | b64 }}"),
        ("{{ url | B64 }}", "uses the unknown filter B64 in {{ url | B64 }} (perhaps b64 is meant)"),
        ("{{ url | basic_as }}", f"uses the unknown filter basic_as in {{{{ url | basic_as }}}}{LIKE_BASIC_AS}"),
        ("{{ url | basic_as: }}", f"uses the unknown filter basic_as: in {{{{ url | basic_as: }}}}{LIKE_BASIC_AS}"),
        (
            "{{ url | basic_as:a:b }}",
            f"uses the unknown filter basic_as:a:b in {{{{ url | basic_as:a:b }}}}{LIKE_BASIC_AS}",
        ),
        (
            "{{ url | basic_as: a }}",
            f"uses the unknown filter basic_as: a in {{{{ url | basic_as: a }}}}{LIKE_BASIC_AS}",
        ),
        (
            "{{ url | basic_as:a\x01 }}",
            f"uses the unknown filter basic_as:a  in {{{{ url | basic_as:a  }}}}{LIKE_BASIC_AS}",
        ),
        (
            "{{ url | basic_as:a\x7f }}",
            f"uses the unknown filter basic_as:a  in {{{{ url | basic_as:a  }}}}{LIKE_BASIC_AS}",
        ),
        ("{{ url | b64 | b64 | b64 }}", "has more than 2 filters in {{ url | b64 | b64 | b64 }}"),
        ("{{ url | basic_as:a | b64 | b64 }}", "has more than 2 filters in {{ url | basic_as:a | b64 | b64 }}"),
    ],
)
def test_filter_that_there_is_not_is_told(text: str, problem: str) -> None:
    assert problem in list(filter_problems(text))


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("acces_token", "access_token"),
        ("accessToken", "access_token"),
        ("scope", "scopes"),
        ("Name", "name"),
        ("captured.instance", "captured.instance_url"),
        ("captured.tenant", "captured.instance_url"),
        ("refresh_token", None),
        ("", None),
        ("x" * 8000, None),
    ],
)
def test_variable_that_is_like_a_known_one_brings_that_to_mind(wrong: str, meant: str | None) -> None:
    assert perhaps(wrong, variables(("instance_url",))) == meant


def test_same_mistake_is_told_once() -> None:
    text = "{{ tokn }}{{tokn}}{{ url | md5 }}{{ url|md5 }}"
    assert list(unknown_variables(text)) == ["tokn"]
    assert list(filter_problems(text)) == ["uses the unknown filter md5 in {{ url | md5 }}"]


def test_user_as_long_as_the_template_is_shown_in_part() -> None:
    (problem,) = filter_problems("{{ url | basic_as:" + "u" * 8000 + " }}")
    assert len(problem) < 700


@given(st.text(max_size=50), st.lists(st.sampled_from(sorted(FILTERS)), max_size=2))
def test_filters_lose_nothing(value: str, filters: list[str]) -> None:
    undo: dict[str, Callable[[str], str]] = {
        "b64": lambda text: b64decode(text).decode(),
        "json": json.loads,
        "urlencode": unquote,
    }
    found = filled_in("{{ url | " + " | ".join(filters) + " }}" if filters else "{{ url }}", {"url": value})
    for each in reversed(filters):
        found = undo[each](found)
    assert found == value


@given(st.text(max_size=50), st.lists(st.sampled_from([*FILTERS, "basic_as:u"]), max_size=2))
def test_no_filter_makes_anything_shorter_than_it_was_said_to_be_at_least(value: str, filters: list[str]) -> None:
    text = "{{ " + " | ".join(["url", *filters]) + " }}"
    (least,) = least_sizes([text], {"url": value}).values()
    assert len(filled_in(text, {"url": value}).encode()) >= least


def test_each_placeholder_is_worked_out_once_however_often_it_stands_there() -> None:
    asked = []

    class Counted(dict[str, str]):
        def __getitem__(self, name: str) -> str:
            asked.append(name)
            return super().__getitem__(name)

    texts = ["{{ url | b64 }}{{url|b64}}" * 100, "{{ url | b64 }} {{ url }}"]
    assert values(texts, Counted(url="u")) == {"url | b64": "dQ==", "url": "u"}
    assert asked == ["url", "url"]


def test_captured_field_that_was_not_sent_is_empty_before_the_filter() -> None:
    assert filled_in("{{ captured.realmId | json }}", {}) == '""'


@pytest.mark.parametrize("text", ["{{ url |" + " |" * 4090 + "}}", "{{ url | " + "| b64 " * 1360 + "}}"])
def test_longest_row_of_filters_is_told_without_delay(text: str) -> None:
    with no_runaway():
        assert "has more than 2 filters" in next(filter_problems(text))
        assert len(next(filter_problems(text))) < 700
