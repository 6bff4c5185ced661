"""The token Secret's template: plain text with names to fill in, nothing more."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.template import DEFAULT_DATA, VARIABLES, render, rendered_size, unknown_variables, uses

VALUES = {name: f"<{name}>" for name in VARIABLES}

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
    assert render(text, VALUES) == rendered


@pytest.mark.parametrize("name", VARIABLES)
def test_every_variable_there_is_can_be_used(name: str) -> None:
    assert list(unknown_variables(f"{{{{ {name} }}}}")) == []
    assert render(f"{{{{ {name} }}}}", VALUES) == f"<{name}>"


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        pytest.param("{{ refresh_token }}", ["refresh_token"], id="a refresh token is not to be had"),
        pytest.param("{{ Access_Token }}", ["Access_Token"], id="letters matter"),
        pytest.param("{{ url | upper }}", ["url | upper"], id="there are no filters"),
        pytest.param("{{ url.__class__ }}", ["url.__class__"], id="there are no attributes"),
        pytest.param("{{ a b }}{{ url }}{{c}}", ["a b", "c"], id="each is named"),
        pytest.param("{{}}", [""], id="nothing between the braces"),
        pytest.param("{{ }}", [""], id="a space between the braces"),
    ],
)
def test_variable_that_there_is_not_is_named(text: str, unknown: list[str]) -> None:
    assert list(unknown_variables(text)) == unknown


def test_what_a_variable_holds_is_not_read_as_a_template() -> None:
    assert render("{{ access_token }}", VALUES | {"access_token": "{{ url }}\\1"}) == "{{ url }}\\1"


@pytest.mark.parametrize("text", ["{{" + " " * 8190, "{{ url " + " " * 8180, "{{" * 4096, "{{ " * 2730])
def test_longest_template_that_the_schema_lets_through_is_read_without_delay(text: str) -> None:
    # One tenant's template must not stop the operator for all others.
    with no_runaway():
        assert list(unknown_variables(text)) == []
        assert render(text, VALUES) == text


def test_default_template_holds_the_token_its_type_and_its_end() -> None:
    rendered = {key: render(text, VALUES) for key, text in DEFAULT_DATA.items()}
    assert rendered == {
        "access_token": "<access_token>",
        "token_type": "<token_type>",
        "expires_at": "<expires_at>",
    }


@given(st.text(alphabet="{} url_naccesstok", max_size=40))
def test_template_without_unknown_variables_always_renders(text: str) -> None:
    if not list(unknown_variables(text)):
        render(text, VALUES)


@given(st.text().filter(lambda text: "{{" not in text))
def test_text_without_braces_stays_as_it_is(text: str) -> None:
    assert render(text, VALUES) == text


def test_captured_field_is_filled_in_and_empty_where_the_provider_did_not_send_it() -> None:
    values = VALUES | {"captured.team.id": "T1"}
    assert render("{{ captured.team.id }}/{{ captured.realmId }}!", values) == "T1/!"


def test_captured_field_exists_where_it_is_captured() -> None:
    text = "{{ captured.realmId }} {{ captured.other }} {{ realmId }}"
    assert list(unknown_variables(text, ("realmId",))) == ["captured.other", "realmId"]


@given(
    st.lists(
        st.sampled_from([*(f"{{{{ {name} }}}}" for name in VARIABLES), "{{\u2003url}}", "{{", "}}", "{", "é😀", " "])
    ),
    st.dictionaries(st.sampled_from(VARIABLES), st.text(max_size=20)),
)
def test_size_is_told_to_the_byte_before_anything_is_rendered(parts: list[str], values: dict[str, str]) -> None:
    text, every = "".join(parts), dict.fromkeys(VARIABLES, "") | values
    try:
        rendered = render(text, every)
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
