"""An installation's own words, logo and colours."""

import base64
import hashlib
import re
from xml.etree import ElementTree

import pytest

from callback_server.language import LANGUAGES, texts_in
from callback_server.pages import Message, message_page
from callback_server.presentation import DELIVERED, LARGEST_ICON, PRESENTATION, presentations
from datasource.process.branding import Branding
from datasource.process.settings import InvalidSettings
from tests.unit.datasource.process.test_branding import PNG


def test_without_branding_pages_are_as_delivered() -> None:
    for language in LANGUAGES:
        assert DELIVERED[language].texts == texts_in(language)
        assert DELIVERED[language].logo == ""
        assert ":root" in DELIVERED[language].style


def test_installation_says_a_text_in_its_own_words_in_that_language_alone() -> None:
    made = presentations(Branding(texts={"de": {"dialog.button": "Verbinden"}}))
    assert made["de"].texts["dialog.button"] == "Verbinden"
    assert made["fr"].texts["dialog.button"] == texts_in("fr")["dialog.button"]
    assert made["de"].texts["onward.title"] == texts_in("de")["onward.title"]


@pytest.mark.parametrize(
    ("language", "key", "text", "said"),
    [
        ("it", "dialog.button", "Vai", "languages it"),
        ("de", "dialog.buton", "Los", "dialog.buton"),
        ("de", "onward.title", "Weiter", r"\{host\}"),
        ("de", "dialog.button", "Los {host}", "no values"),
        ("de", "onward.title", "{host.__class__}", "no placeholder"),
        ("de", "onward.title", "{host", "cannot be used"),
        ("de", "onward.title", "{}", "no placeholder"),
    ],
)
def test_text_that_fits_no_page_ends_the_start_with_its_key(language: str, key: str, text: str, said: str) -> None:
    with pytest.raises(InvalidSettings, match=said):
        presentations(Branding(texts={language: {key: text}}))


def page(branding: Branding, language: str = "en") -> tuple[str, str]:
    before = PRESENTATION.set(presentations(branding)[language])
    try:
        response = message_page(Message("A title", "A text."))
        return bytes(response.body).decode(), response.headers["content-security-policy"]
    finally:
        PRESENTATION.reset(before)


def test_colours_are_in_the_style_and_the_style_is_what_the_policy_allows() -> None:
    shown, policy = page(Branding(accent="#7a1fa2", accent_dark="#ffb000"))
    style = shown.split("<style>")[1].split("</style>")[0]
    assert "--accent: #7a1fa2; --on-accent: #ffffff;" in style
    assert "--accent: #ffb000; --on-accent: #0b1420;" in style
    assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in policy
    assert "unsafe-inline" not in policy


def test_colour_for_light_pages_alone_leaves_dark_ones_as_they_are() -> None:
    shown, _ = page(Branding(accent="#7a1fa2"))
    assert shown.index("--accent: #7a1fa2") < shown.rindex("--accent: #7db3ff; --on-accent: #0b1420;")


def test_logo_is_a_picture_of_the_page_itself() -> None:
    shown, policy = page(Branding(logo=PNG), "de")
    assert f'<img class="logo" src="{PNG}" alt="">' in shown
    assert "img-src data:;" in policy
    assert "<img" not in page(Branding())[0]


def icon_of(shown: str) -> str:
    found = re.search(r'<link rel="icon" href="([^"]*)">', shown)
    assert found is not None
    return found[1]


def test_tab_has_an_icon_that_is_a_picture_of_the_page_itself() -> None:
    """A browser that finds none asks for /favicon.ico, which may be below the path of another app."""
    kind, encoded = icon_of(page(Branding())[0]).split(",")
    picture = base64.b64decode(encoded, validate=True)
    assert kind == "data:image/svg+xml;base64"
    assert ElementTree.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - it is our own
    assert len(picture) < 1000, "it is in every page"


def test_logo_is_the_icon_too_unless_it_is_too_large_to_be_in_the_page_twice() -> None:
    assert icon_of(page(Branding(logo=PNG))[0]) == PNG
    large = PNG + "A" * LARGEST_ICON
    assert icon_of(page(Branding(logo=large))[0]) == icon_of(page(Branding())[0])


def test_text_that_looks_like_html_is_shown_as_it_is() -> None:
    branding = Branding(texts={"en": {"page.try_again": "<b>Again</b>"}})
    before = PRESENTATION.set(presentations(branding)["en"])
    try:
        shown = bytes(message_page(Message("A title", "A text.", again="https://c.example/x")).body).decode()
    finally:
        PRESENTATION.reset(before)
    assert "&lt;b&gt;Again&lt;/b&gt;" in shown
