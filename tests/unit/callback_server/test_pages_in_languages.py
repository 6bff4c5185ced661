"""Whole pages in another language: what is ours is translated, and what is not is marked."""

import base64
import json
import re
from collections.abc import Iterator
from html import unescape
from http import HTTPStatus
from typing import Any

import pytest

from callback_server.language import ENGLISH, LANGUAGES, text, texts_in
from callback_server.pages import (
    Banner,
    Dialog,
    Form,
    Onward,
    dialog_page,
    onward_page,
    progress_page,
    refusal_page,
)
from callback_server.parameter_rows import Shown
from callback_server.presentation import DELIVERED, PRESENTATION
from callback_server.refusals import goes_on
from datasource.api.display import Display
from datasource.process.branding import Branding
from datasource.records.effective import effective_oauth2
from deploy.local.cache import REPOSITORY
from tests.unit.callback_server.refusals.test_refused import every_refusal
from tests.unit.callback_server.test_callback import GRANTS
from tests.unit.callback_server.test_consent import situation
from tests.unit.callback_server.visits import visit

OTHERS = [language for language in LANGUAGES if language != ENGLISH]
TEMPLATES = sorted((REPOSITORY / "callback_server" / "templates").glob("*.html"))


@pytest.fixture(params=OTHERS)
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    """Whoever asks reads this one."""
    before = PRESENTATION.set(DELIVERED[request.param])
    yield request.param
    PRESENTATION.reset(before)


def english_fragments() -> set[str]:
    """What stands between the values of the English texts: three words or more, which no other language has by chance."""
    found = set()
    for template in texts_in(ENGLISH).values():
        for part in re.split(r"\{\w+\}", template):
            words = part.strip(" .,:")
            if len(words.split()) >= 3:
                found.add(words)
    return found


FRAGMENTS = english_fragments()


def without_what_is_marked(page: str) -> str:
    """The page without the technical details, and without what others say."""
    details = re.sub(r'<div lang="en">.*?</div>\n</details>', "", page, flags=re.DOTALL)
    return re.sub(r'<span lang="en">.*?</span>', "", details)


def english_in(page: str) -> list[str]:
    rest = unescape(without_what_is_marked(page))
    return [fragment for fragment in FRAGMENTS if fragment in rest]


def body(page: object) -> str:
    return bytes(getattr(page, "body")).decode()  # noqa: B009


def dialogs() -> Iterator[Dialog]:
    display = Display(title="Raumanzeige", purpose="Zeigt freie Zimmer.", owner="Team Haus", contact="Tel. 12")
    there = situation(display, provider="google", scopes=["openid", "email", "https://x/own"])
    plain = situation(scopes=[])
    form = Form(action="/authorize/shop/calendar", ticket="t", token="f")
    branding = Branding("Example Corp", "prod-eu", "help@example.com")
    yield Dialog(there, "https://c.example", effective_oauth2(there.oauth2, None), form=form, branding=branding)
    yield Dialog(situation(), "https://c.example", effective_oauth2(situation().oauth2, None), form=form)
    yield Dialog(plain, "https://c.example", None)
    rows = (Shown(text("done.granted"), (text("done.granted_unknown"),)),)
    stored = Banner(text("done.stored"), text("done.not_seen_yet"), is_success=True)
    yield Dialog(there, "https://c.example", None, banner=stored, show_reload=True, gained=rows)
    refused = Banner(text("common.ask"), text("done.authorized"), is_success=False, advice=text("common.again"))
    yield Dialog(there, "https://c.example", None, banner=refused, again="https://c.example/x")


def test_dialog_and_done_page_hold_no_english_of_ours(language: str) -> None:
    for dialog in dialogs():
        shown = body(dialog_page(dialog))
        assert f'<html lang="{language}">' in shown
        assert english_in(shown) == []
        assert texts_in(language)["dialog.details"] in shown


SENTENCES = {
    "en": (
        "What the service shows you on its own page",
        "You can take it back at any time, in your account at the service.",
        "What the service calls <code>read</code>",
        "You can reach the team of namespace shop at ext. 12.",
    ),
    "de": (
        "Was der Dienst Ihnen auf seiner eigenen Seite zeigt",
        "Sie können ihn jederzeit zurücknehmen, in Ihrem Konto bei dem Dienst.",
        "Was bei dem Dienst so heißt: <code>read</code>",
        "Sie erreichen das Team des Namespace shop unter ext. 12.",
    ),
    "fr": (
        "Ce que le service vous montre sur sa propre page",
        "Vous pouvez le retirer à tout moment, dans votre compte chez le service.",
        "Ce qui s'appelle <code>read</code> chez le service",
        "Vous pouvez joindre l'équipe du namespace shop à ext. 12.",
    ),
}


@pytest.mark.parametrize("tongue", LANGUAGES)
def test_words_of_ours_that_stand_for_a_name_fit_into_each_sentence(tongue: str) -> None:
    """The instances: "einen Dienst" where it has to be "dem Dienst", and a capital within a sentence."""
    before = PRESENTATION.set(DELIVERED[tongue])
    try:
        display = Display(contact="ext. 12")
        shown = [
            body(dialog_page(Dialog(situation(display, scopes=scopes), "https://c.example", None)))
            for scopes in ([], ["read"])
        ]
    finally:
        PRESENTATION.reset(before)
    text_of = " ".join(unescape("".join(shown)).split())
    assert [each for each in SENTENCES[tongue] if each not in text_of] == []


def test_page_of_every_refusal_holds_no_english_of_ours(language: str) -> None:
    for refused in every_refusal():
        page = refusal_page(refused, reference="abc", again="https://c.example/x")
        assert english_in(body(page)) == [], refused.kind
        assert page.headers["content-language"] == language


def test_pages_between_hold_no_english_of_ours(language: str) -> None:
    onward = Onward("shop", "calendar", "https://login.example.com/authorize")
    assert english_in(body(onward_page(onward))) == []
    assert english_in(body(progress_page())) == []
    assert english_in(body(refusal_page(goes_on(), reloads=True))) == []


def test_english_would_be_found() -> None:
    """The instrument itself: the same pages in English are full of it."""
    assert all(english_in(body(refusal_page(refused))) for refused in every_refusal())
    assert all(english_in(body(dialog_page(dialog))) for dialog in dialogs())


def test_templates_hold_no_text_of_their_own_outside_the_technical_details() -> None:
    assert TEMPLATES
    for template in TEMPLATES:
        shown = template.read_text().split('<summary>{{ t("dialog.details") }}</summary>')[0]
        rest = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|<[^>]*>", " ", shown, flags=re.DOTALL)
        words = set(re.findall(r"[A-Za-z]{2,}", rest)) - {"Datasource"}
        assert words == set(), template.name


def test_expressions_of_templates_fill_in_no_english_outside_the_technical_details() -> None:
    for template in TEMPLATES:
        if template.name != "details.html":
            filled_in = re.findall(r"\{\{(.*?)\}\}", template.read_text(), re.DOTALL)
            assert [each for each in filled_in if re.search(r"""["'][A-Za-z]+ [A-Za-z]""", each)] == [], template.name


def test_values_that_look_like_places_are_shown_as_they_are(language: str) -> None:
    display = Display(title="{host} {", purpose="<i>{0}</i>", owner="{owner}")
    there = situation(display)
    shown = body(dialog_page(Dialog(there, "https://c.example", None, form=Form("/a", "t", "f"))))
    assert "<q>{host} {</q>" in shown
    assert "&lt;i&gt;{0}&lt;/i&gt;" in shown


@pytest.mark.parametrize(
    "path", ["authorize/shop/calendar?ticket=x", "nothing", "callback/shop?code=a&state=b", "done/x"]
)
@pytest.mark.parametrize(("sent", "answered"), [("de-CH, en;q=0.5", "de"), ("fr", "fr"), ("it", "en")])
async def test_browser_gets_every_page_in_its_language(path: str, sent: str, answered: str) -> None:
    async with visit() as there:
        page = await there.client.get(f"/{path}", headers={"Accept-Language": sent})
    assert page.headers["content-language"] == answered
    assert page.headers["vary"] == "Accept-Language"
    assert f'<html lang="{answered}">' in page.text
    assert page.status_code >= HTTPStatus.BAD_REQUEST


async def test_one_visitor_s_language_is_not_the_next_one_s() -> None:
    async with visit() as there:
        first = await there.client.get("/nothing", headers={"Accept-Language": "de"})
        second = await there.client.get("/nothing")
    assert (first.headers["content-language"], second.headers["content-language"]) == ("de", "en")


async def test_header_that_was_sent_twice_counts_as_none() -> None:
    async with visit() as there:
        page = await there.client.get("/nothing", headers=[("Accept-Language", "de"), ("Accept-Language", "fr")])
    assert page.headers["content-language"] == "en"


async def test_failure_is_told_in_the_reader_s_language_and_recorded_in_english() -> None:
    async with visit() as there:
        there.client.headers["Accept-Language"] = "de"
        state = await there.begin()
        there.client.headers["Accept-Language"] = "fr"
        done = await there.end(await there.come_back(state, error="access_denied", error_description="No & thanks."))
        recorded = [record["metadata"]["annotations"] for record in there.flow_records]
    assert "L&#39;accord a été refusé" in done.text
    assert '<span lang="en">access_denied: No &amp; thanks.</span>' in done.text
    assert english_in(done.text) == []
    said = "Consent was denied. The service answered access_denied: No & thanks. Nothing was stored."
    assert [
        each["datasource.dev/outcome-message"] for each in recorded if "datasource.dev/outcome-message" in each
    ] == [said]


async def test_success_is_told_in_the_reader_s_language() -> None:
    async with visit(GRANTS) as there:
        there.client.headers["Accept-Language"] = "de"
        there.meanwhile.append(there.take_up)
        done = await there.authorize()
    assert texts_in("de")["done.stored"] in done.text
    assert "Die Datasource ist AUTHORIZED." in done.text
    assert english_in(done.text) == []


async def test_flow_that_an_earlier_version_recorded_is_shown_in_its_english() -> None:
    """Its record has the three English texts and nothing else."""
    async with visit() as there:
        there.client.headers["Accept-Language"] = "de"
        state = await there.begin()
        back = await there.come_back(state, error="access_denied")
        for record in there.flow_records:
            forget_texts(record)
        done = await there.end(back)
    assert '<h1><span lang="en">Consent was denied</span></h1>' in done.text


def forget_texts(record: dict[str, Any]) -> None:
    for key, value in record.get("data", {}).items():
        flow = json.loads(base64.b64decode(value))
        if flow.pop("outcomeTexts", None):
            record["data"][key] = base64.b64encode(json.dumps(flow).encode()).decode()
