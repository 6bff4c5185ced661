"""What a person reads before a consent: who asks for what, for which app, where."""

from typing import Any

import msgspec
import pytest

from callback_server.consent import MOST_SHOWN, Consent, expected_account, other_account
from callback_server.language import isolated
from callback_server.pages import Dialog, Form, dialog_page
from callback_server.situation import Situation
from datasource.api.display import Display
from datasource.api.objects import Status
from datasource.api.presets import PRESETS
from datasource.api.requests import Requests
from datasource.api.spec import OAuth2, Spec
from datasource.process.branding import Branding
from datasource.records.effective import effective_oauth2

HOST = "login.example.com"
ENDPOINTS: dict[str, Any] = {"authorizeURL": f"https://{HOST}/authorize", "tokenURL": f"https://{HOST}/token"}


def situation(display: Display | None = None, **oauth2: Any) -> Situation:
    parameters = msgspec.convert({"clientID": "my-app", "scopes": ["read"]} | (oauth2 or ENDPOINTS), OAuth2)
    spec = Spec(url="https://api.example.com", oauth2=parameters, display=display or Display())
    return Situation("shop", "calendar", "uid", spec, parameters, Status(), Requests(), None)


def consent(display: Display | None = None, cluster: str = "", **oauth2: Any) -> Consent:
    return Consent(situation(display, **oauth2), Branding(cluster_name=cluster), HOST)


def page(display: Display | None = None, branding: Branding | None = None, **oauth2: Any) -> str:
    there = situation(display, **oauth2)
    form = Form(action="/authorize/shop/calendar", ticket="t", token="f")
    dialog = Dialog(
        there,
        "https://connect.example.com",
        effective_oauth2(there.oauth2, None),
        form=form,
        branding=branding or Branding(),
    )
    return " ".join(bytes(dialog_page(dialog).body).decode().split())


def test_page_begins_with_who_asks_for_what_for_which_app_where() -> None:
    display = Display(title="Room display", purpose="Shows free rooms.", owner="Team Facilities", contact="ext. 12")
    shown = page(display, Branding("Example Corp", "prod-eu", "help@example.com"), provider="google")
    first = "<h1>Team Facilities asks you to connect Google for the app <q>Room display</q> in cluster prod-eu.</h1>"
    assert first in shown
    assert "Their reason: <q>Shows free rooms.</q>" in shown
    assert "You can reach Team Facilities at ext. 12." in shown
    assert '<a href="mailto:help@example.com">help@example.com</a>' in shown
    assert shown.index(first) < shown.index("<button") < shown.index("<details>") < shown.index("Redirect URI")


def test_page_without_words_of_the_tenant_names_namespace_and_host() -> None:
    assert f"The team of namespace shop asks you to connect {HOST} for the app <q>calendar</q>." in page()
    assert "Questions?" not in page()


def test_words_of_a_tenant_are_no_markup_and_move_no_text() -> None:
    shown = page(
        Display(title="<script>x</script>\u202egro", owner="a\nb", purpose="x" * 5000, contact='"><a href="/">')
    )
    assert "<script" not in shown
    assert "\u202e" not in shown
    assert "x" * 301 not in shown
    assert '<a href="/">' not in shown


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://help.example.com/x", '<a href="https://help.example.com/x">'),
        ("javascript:alert(1)", "Support: javascript:alert(1)"),
        ("http://help.example.com", "Support: http://help.example.com"),
        ("ext. 12", "Support: ext. 12"),
    ],
)
def test_support_address_is_a_link_only_where_it_leads_somewhere_safe(address: str, shown: str) -> None:
    assert shown in page(branding=Branding(support_address=address))


def test_known_scopes_are_told_in_words_and_others_by_their_names() -> None:
    told = consent(provider="google", scopes=["openid", "https://www.googleapis.com/auth/calendar", "made-up"])
    assert told.abilities == ("see, change and delete your calendars", "see which account is yours")
    assert told.others == ("made-up",)
    assert told.more == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"scopes": ["openid"], **ENDPOINTS}, True),
        ({"scopes": ["openid", "offline_access"], **ENDPOINTS}, False),
        ({"scopes": ["read"], **ENDPOINTS}, False),
        # Google gives a refresh token for access_type=offline, which its preset asks for, and knows no such scope.
        ({"provider": "google", "scopes": ["openid"]}, False),
    ],
)
def test_administrators_are_told_of_offline_access_where_it_is_what_is_missing(
    options: dict[str, Any], says: bool
) -> None:
    assert ("The scope <code>offline_access</code> is not requested." in page(**options)) is says


def test_words_from_right_to_left_are_kept_from_turning_ours_around() -> None:
    shown = page(
        Display(title="מערכת יומן", purpose="אב <i>", owner="Team", contact="א"), Branding("خدمة"), **ENDPOINTS
    )
    assert "for the app <q><bdi>מערכת יומן</bdi></q>." in shown
    assert "Their reason: <q><bdi>אב &lt;i&gt;</bdi></q>" in shown
    assert "You can reach Team at <bdi>א</bdi>." in shown
    assert '<p class="brand"><bdi>خدمة</bdi></p>' in shown
    # A title is text: no element is in it.
    assert "<title>מערכת יומן - Datasource shop/calendar</title>" in shown


@pytest.mark.parametrize("character", list("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"))
def test_character_that_turns_text_around_ends_with_the_words_that_it_is_in(character: str) -> None:
    assert isolated(f"a{character}b") == f"<bdi>a{character}b</bdi>"


def test_other_words_stand_as_they_are() -> None:
    assert isolated("Ada <ada@example.com> 日本 Ünï \u200b") == "Ada &lt;ada@example.com&gt; 日本 Ünï \u200b"


def test_redirect_uri_breaks_behind_a_slash_before_a_word() -> None:
    assert "<code>https:/<wbr>/<wbr>connect.example.com/<wbr>callback/<wbr>shop</code>" in page()


def test_many_scopes_do_not_push_the_button_off_the_screen() -> None:
    told = consent(scopes=[f"scope-{number}" for number in range(40)], **ENDPOINTS)
    assert len(told.others) == MOST_SHOWN
    assert told.more == 40 - MOST_SHOWN


def test_scopes_of_every_preset_s_example_are_told_in_words_where_it_has_any() -> None:
    for name, preset in PRESETS.items():
        if preset.scope_texts:
            scopes = [scope for scope in preset.scopes if scope != "oauth"]
            parameters = situation(provider=name, scopes=scopes)
            assert Consent(parameters, Branding(), HOST).others == (), name


def test_who_is_expected_is_told_before_the_button() -> None:
    identity = {"hd": "example.com", "email": "ada@example.com"}
    shown = page(issuer="https://i.example", scopes=["openid"], expectedIdentity=identity, **ENDPOINTS)
    told = "Sign in as <strong>ada@example.com</strong> and <strong>example.com</strong> (hd). Any other account is refused."
    assert told in shown
    assert shown.index(told) < shown.index("<button")


@pytest.mark.parametrize(
    ("identity", "account"),
    [
        ({"email": "ada@example.com"}, "ada@example.com"),
        ({"sub": "1", "upn": "ada@example.com"}, "ada@example.com"),
        ({"hd": "example.com"}, None),
        ({"email": "ada"}, None),
        ({"email": "ada@localhost"}, None),
        ({"email": "ada@example.com\n"}, None),
        ({"email": "a da@example.com"}, None),
        ({"email": "a@b@example.com"}, None),
        ({}, None),
    ],
)
def test_account_is_offered_where_it_is_an_address(identity: dict[str, str], account: str | None) -> None:
    assert expected_account(identity) == account


def test_both_hosts_are_named_where_they_differ() -> None:
    shown = page(authorizeURL=f"https://{HOST}/authorize", tokenURL="https://token.example.net/token")
    assert "<strong>token.example.net</strong>" in shown
    assert "both addresses" in shown


# Which account.


def asks_first(**written: Any) -> bool:
    return 'name="account" value="other"' in page(**written)


def test_page_offers_to_choose_the_account_where_the_service_is_known_to_let_a_person_choose() -> None:
    assert [name for name, preset in PRESETS.items() if preset.other_account] == ["github", "google", "microsoft-entra"]
    assert asks_first(provider="google")
    # An unknown prompt may be an error there.
    assert not asks_first(provider="slack")
    assert not asks_first(**ENDPOINTS)


def test_parameters_that_the_spec_writes_are_not_overruled_and_nothing_is_promised() -> None:
    assert not asks_first(provider="google", authorizeParameters={"prompt": "login"})
    assert asks_first(provider="google", authorizeParameters={"hd": "example.com"})
    assert other_account(situation(provider="google").oauth2) == {"prompt": "consent select_account"}
