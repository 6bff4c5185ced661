"""Every text in every language, and the language that a browser asks for."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from callback_server.consent import OPENID_CONNECT
from callback_server.language import (
    ENGLISH,
    LANGUAGES,
    Ability,
    Text,
    Words,
    language_for,
    placeholders,
    read_back,
    recorded,
    shown,
    text,
    texts_in,
)
from datasource.api.presets import PRESETS

OTHERS = [language for language in LANGUAGES if language != ENGLISH]
SCOPES = {*OPENID_CONNECT.values(), *(words for preset in PRESETS.values() for words in preset.scope_texts.values())}


def without_scopes(language: str) -> dict[str, str]:
    return {key: value for key, value in texts_in(language).items() if not key.startswith("scopes.")}


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_has_every_text_and_no_other(language: str) -> None:
    assert without_scopes(language).keys() == texts_in(ENGLISH).keys()


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_has_the_same_placeholders_as_in_english(language: str) -> None:
    english = texts_in(ENGLISH)
    differing = [
        key for key, value in without_scopes(language).items() if placeholders(value) != placeholders(english[key])
    ]
    assert differing == []


@pytest.mark.parametrize("language", OTHERS)
def test_every_scope_that_presets_explain_is_explained_in_every_language(language: str) -> None:
    known = {key.removeprefix("scopes.") for key in texts_in(language) if key.startswith("scopes.")}
    assert known == SCOPES


@pytest.mark.parametrize("language", OTHERS)
def test_nothing_was_left_in_english(language: str) -> None:
    """Where both are the same, there is nothing to translate: a value alone."""
    same = [key for key, value in without_scopes(language).items() if value == texts_in(ENGLISH)[key]]
    assert set(same) <= {
        "page.two",
        "the_datasource_is_not_ready_for_this.message",
        "done.time",
        "done.first_day",
        *MONTHS,
    }


MONTHS = {f"months.{number}" for number in range(1, 13)}


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("fr-CA, fr;q=0.8, en;q=0.7", "fr"),
        ("en-US,en;q=0.9,de;q=0.8", "en"),
        ("it,de;q=0.5", "de"),
        ("it", "en"),
        ("*", "en"),
        ("it,*;q=0.1", "en"),
        ("de;q=0", "en"),
        ("en;q=0,*", "de"),
        ("en;q=0,de;q=0,fr;q=0", "en"),
        ("de;q=0.2,fr;q=0.9", "fr"),
        ("fr,de", "fr"),
        ("de,fr", "de"),
        ("DE", "de"),
        ("de ; q = 0.3 , fr", "fr"),
        ("de;q=2,fr;q=0.1", "fr"),
        ("de;q=0.1234,fr;q=0.1", "fr"),
        ("de;level=1,fr;q=0.2", "fr"),
        ("d\u00e9", "en"),
        ("de\r\nSet-Cookie: x", "en"),
        ("/etc/passwd,../../de", "en"),
        ("de," * 16 + "de", "en"),
        ("x" * 513, "en"),
    ],
)
def test_browser_gets_the_language_that_it_prefers(header: str | None, language: str) -> None:
    assert language_for(header) == language


@given(st.text(max_size=600))
def test_whatever_is_sent_some_language_is_chosen(header: str) -> None:
    assert language_for(header) in LANGUAGES


def test_text_is_english_for_logs_and_statuses_and_another_language_for_its_reader() -> None:
    said = text("onward.title", host="login.example.com")
    assert said == "On to login.example.com"
    assert str(shown(said, "de", texts_in("de"))) == "Weiter zu login.example.com"


@pytest.mark.parametrize("language", LANGUAGES)
def test_values_are_escaped_once_in_every_language(language: str) -> None:
    said = shown(text("onward.title", host="<b>&"), language, texts_in(language))
    assert "&lt;b&gt;&amp;" in said
    assert "<b>" not in said
    emphasized = shown(text("onward.title", host=Markup("<b>x</b>")), language, texts_in(language))
    assert "<b>x</b>" in emphasized


def test_braces_in_a_value_are_no_placeholders() -> None:
    assert text("onward.title", host="{namespace} {0} {") == "On to {namespace} {0} {"


def test_words_of_others_are_marked_as_english_where_the_page_is_not() -> None:
    said = text("the_answer_cannot_be_used.message", what=Words("It says <no>."))
    assert (
        str(shown(said, "de", texts_in("de")))
        == '<span lang="en">It says &lt;no&gt;.</span> Es wurde nichts gespeichert.'
    )
    assert str(shown(said, "en", texts_in("en"))) == "It says &lt;no&gt;. Nothing was stored."


def test_text_within_a_text_is_translated_too() -> None:
    said = text("page.two", first=text("done.authorized"), second=text("done.nothing_left"))
    assert str(shown(said, "fr", texts_in("fr"))).startswith("La Datasource est AUTHORIZED. Vous ")


def test_what_a_scope_allows_is_translated_and_what_no_language_knows_is_english() -> None:
    assert str(shown(Ability("see your calendars"), "de", texts_in("de"))) == "Ihre Kalender sehen"
    assert str(shown(Ability("see your boats"), "de", texts_in("de"))) == '<span lang="en">see your boats</span>'
    assert str(shown(Ability("see your calendars"), "en", texts_in("en"))) == "see your calendars"


@pytest.mark.parametrize(
    "said",
    [
        text("common.ask"),
        text("the_answer_cannot_be_used.message", what=Words("It <says>.")),
        text("page.two", first=text("done.authorized"), second=text("done.not_granted", scopes="a, b")),
        "plain",
    ],
)
def test_text_comes_back_from_a_record_as_it_was(said: str) -> None:
    again = read_back(json.loads(json.dumps(recorded(said))), "otherwise")
    assert again == said
    assert shown(again, "de", texts_in("de")) == shown(said, "de", texts_in("de"))


@pytest.mark.parametrize(
    "record",
    [
        None,
        7,
        [],
        {"key": "no.such_text", "values": {}},
        {"key": "onward.title", "values": {}},
        {"key": "onward.title", "values": {"host": 7}},
        {"key": "onward.title", "values": {"host": "a", "more": "b"}},
        {"key": ["onward.title"], "values": {"host": "a"}},
        {"key": "onward.title"},
        {"words": 7},
    ],
)
def test_record_of_another_version_is_shown_in_the_english_that_it_has(record: object) -> None:
    again = read_back(record, "In English.")
    assert isinstance(again, Words)
    assert again == "In English."


def test_record_that_nests_for_ever_is_not_followed() -> None:
    record: object = "end"
    for _ in range(100):
        record = {"key": "page.two", "values": {"first": record, "second": "x"}}
    assert read_back(record, "In English.") == "In English."


@pytest.mark.parametrize("template", ["{", "}", "{}", "{0}", "{a.b}", "{a[b]}", "{a!r}", "{a:>9}"])
def test_text_that_does_more_than_name_a_value_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        placeholders(template)


def test_text_can_be_copied() -> None:
    import copy

    said = text("onward.title", host="a")
    again = copy.copy(said)
    assert isinstance(again, Text)
    assert (again, again.key, again.values) == (said, said.key, {"host": "a"})
