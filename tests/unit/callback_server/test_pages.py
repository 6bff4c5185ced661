"""What the dialog says of the parameters: those that hold, and where they come from."""

from typing import Any

import msgspec
import pytest

from callback_server.pages import Dialog, Form, Shown, dialog_page, shown_parameters
from callback_server.situation import Situation
from datasource.effective import effective
from datasource.oauth2 import ProviderMetadata
from datasource.objects import Status
from datasource.requests import Requests
from datasource.spec import OAuth2, Spec

ISSUER = "https://login.example.com"
METADATA = ProviderMetadata(
    issuer=ISSUER,
    authorization_endpoint=f"{ISSUER}/auth",
    token_endpoint=f"{ISSUER}/tok",
    pushed_authorization_request_endpoint=f"{ISSUER}/par",
    code_challenge_methods_supported=("S256",),
)


def oauth2(**fields: Any) -> OAuth2:
    return msgspec.convert({"clientID": "my-app", "scopes": ["read", "write"]} | fields, OAuth2)


def shown(parameters: OAuth2, metadata: ProviderMetadata | None = None) -> dict[str, Shown]:
    return {each.label: each for each in shown_parameters(parameters, effective(parameters, metadata))}


def test_what_is_written_is_shown_without_a_source() -> None:
    rows = shown(oauth2(authorizeURL="https://a.example/authorize", tokenURL="https://a.example/token"))
    assert list(rows) == ["Client ID", "Client secret", "Authorize URL", "Token URL", "Scopes"]
    assert rows["Scopes"].values == ("read", "write")
    assert {row.source for row in rows.values()} == {""}


def test_what_the_issuer_tells_is_shown_as_such() -> None:
    rows = shown(oauth2(issuer=ISSUER), METADATA)
    assert rows["Token URL"] == Shown("Token URL", (f"{ISSUER}/tok",), "from the issuer's metadata")
    assert rows["Request pushed to"] == Shown("Request pushed to", (f"{ISSUER}/par",), "from the issuer's metadata")
    assert rows["Issuer"].source == ""


def test_what_a_preset_fills_in_is_shown_as_such() -> None:
    rows = shown(oauth2(provider="google", authorizeParameters={"hd": "example.com"}))
    assert rows["Service"].values == ("Google",)
    assert "not tried" in rows["Service"].source
    assert rows["Token URL"] == Shown("Token URL", ("https://oauth2.googleapis.com/token",), "from the preset")
    assert rows["Authorize parameters"].source == "partly from the preset"
    assert set(rows["Authorize parameters"].values) == {"access_type=offline", "prompt=consent", "hd=example.com"}


def test_every_option_that_is_used_is_shown() -> None:
    rows = shown(
        oauth2(
            provider="salesforce",
            issuer=ISSUER,
            audience="api",
            resource=["https://api.example.com"],
            tokenPath="data",
            bodyFormat="json",
            refreshURL="https://a.example/refresh",
            privateKeyRef={"name": "signing"},
        ),
        METADATA,
    )
    assert rows["Private key"].values == ("in Secret signing, key private-key (private_key_jwt)",)
    assert rows["PKCE"] == Shown("PKCE", ("S256Unadvertised",), "from the preset")
    assert rows["Captured fields"] == Shown("Captured fields", ("instance_url",), "from the preset")
    assert rows["Default lifetime"] == Shown("Default lifetime", ("1h",), "from the preset")
    assert rows["Refresh URL"].values == ("https://a.example/refresh",)
    assert {"Audience", "Resources", "Token path", "Body of requests"} <= rows.keys()


def test_without_metadata_at_hand_it_is_said_where_an_endpoint_comes_from() -> None:
    rows = {each.label: each for each in shown_parameters(oauth2(issuer=ISSUER), None)}
    assert rows["Token URL"].values == ("told by the issuer's metadata",)


@pytest.mark.parametrize("has_form", [True, False])
def test_page_sends_its_form_to_the_effective_authorize_url_only(has_form: bool) -> None:
    parameters = oauth2(issuer=ISSUER)
    situation = Situation(
        namespace="shop",
        name="calendar",
        uid="uid",
        spec=Spec(url="https://api.example.com", oauth2=parameters),
        oauth2=parameters,
        status=Status(),
        requests=Requests(),
        credential=None,
    )
    form = Form(action="/authorize/shop/calendar", ticket="t", token="f") if has_form else None
    page = dialog_page(Dialog(situation, "https://connect.example.com", effective(parameters, METADATA), form=form))
    text = bytes(page.body).decode()
    assert (f"form-action 'self' {ISSUER};" in page.headers["content-security-policy"]) is has_form
    assert f"<code>{ISSUER}/tok</code>" in text
    assert ("login.example.com</strong>" in text) is has_form
