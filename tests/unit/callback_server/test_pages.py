"""The pages: what is on them, and where their forms and links lead."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callback_server.pages import Dialog, Form, Onward, dialog_page, onward_page
from callback_server.situation import Situation
from datasource.api.objects import Condition, Status
from datasource.api.requests import Requests
from datasource.api.spec import Spec
from datasource.api.states import Reason
from datasource.records.contents import StoredCredential
from datasource.records.credential import CredentialFacts
from datasource.records.effective import effective_oauth2
from datasource.records.import_secret import ImportedFrom
from tests.support.refresh import leads_on_to, refresh_target
from tests.unit.callback_server.test_parameter_rows import ISSUER, METADATA, oauth2


@pytest.mark.parametrize("has_form", [True, False])
def test_form_is_sent_to_us_alone_and_the_host_of_the_effective_authorize_url_is_named(has_form: bool) -> None:
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
    page = dialog_page(
        Dialog(situation, "https://connect.example.com", effective_oauth2(parameters, METADATA), form=form)
    )
    text = bytes(page.body).decode()
    assert "form-action 'self';" in page.headers["content-security-policy"]
    assert f"<code>{ISSUER}/tok</code>" in text
    assert ("login.example.com</strong>" in text) is has_form


@pytest.mark.parametrize(
    ("type_", "ends_at", "authorized_as", "says"),
    [
        (
            "GrantExpiring",
            "2026-07-03T12:00:00Z",
            "ada@example.com",
            "ends on 3 July 2026, 12:00 UTC; ada@example.com gave it",
        ),
        ("GrantExpiring", "2026-07-03T12:00:00Z", None, "The access behind it ends on 3 July 2026, 12:00 UTC."),
        ("GrantExpiring", "2026-07-03T12:00:00Z", "<script>", "&lt;script&gt; gave it, and you may give the next one."),
        ("GrantExpiring", "<script>", None, None),
        ("GrantExpiring", None, None, None),
        ("Ready", "2026-07-03T12:00:00Z", None, None),
    ],
)
def test_page_says_when_the_access_ends_where_that_is_near_and_that_another_person_may_give_the_next(
    type_: str, ends_at: str | None, authorized_as: str | None, says: str | None
) -> None:
    parameters = oauth2(issuer=ISSUER)
    condition = Condition(type=type_, status="True", reason="EndsSoon", message="", last_transition_time="")
    status = Status(conditions=(condition,), grant_expires_at=ends_at, authorized_as=authorized_as)
    held = StoredCredential(CredentialFacts("c-1", fingerprint="f"), "7", ())
    spec = Spec(url="https://api.example.com", oauth2=parameters)
    situation = Situation("shop", "calendar", "uid", spec, parameters, status, Requests(), held)
    text = bytes(dialog_page(Dialog(situation, "https://connect.example.com", None)).body).decode()
    assert "A credential is already stored." in text
    assert "<script>" not in text
    assert ("The access behind it" in text) is (says is not None)
    assert says is None or says in text


IMPORTED = CredentialFacts("c-1", fingerprint="f", imported=ImportedFrom("0" * 64, "uid-9"))
REVOKED = CredentialFacts("c-1", fingerprint="f", verdict=Reason.GRANT_REVOKED)


@pytest.mark.parametrize(
    ("facts", "expires_at", "is_in_use"),
    [
        pytest.param(IMPORTED, None, False, id="an import that nobody has proved"),
        pytest.param(IMPORTED, "2026-07-01T13:00:00Z", True, id="its predecessor's token lives"),
        pytest.param(REVOKED, None, False, id="revoked, and the token is gone"),
        pytest.param(REVOKED, "2026-07-01T13:00:00Z", True, id="revoked, and the token lives"),
        pytest.param(CredentialFacts("c-1", fingerprint="f"), None, True, id="no lifetime is told"),
    ],
)
def test_page_says_that_a_credential_stays_in_use_only_where_apps_have_it(
    facts: CredentialFacts, expires_at: str | None, is_in_use: bool
) -> None:
    parameters = oauth2(issuer=ISSUER)
    spec = Spec(url="https://api.example.com", oauth2=parameters)
    held = StoredCredential(facts, "7", ())
    situation = Situation("shop", "calendar", "uid", spec, parameters, Status(expires_at=expires_at), Requests(), held)
    text = bytes(dialog_page(Dialog(situation, "https://connect.example.com", None)).body).decode()
    assert ("It stays in use until the new one replaces it." in text) is is_in_use


def test_page_asks_nobody_else_where_the_spec_expects_one() -> None:
    parameters = oauth2(issuer=ISSUER, scopes=["openid"], expectedIdentity={"email": "ada@example.com"})
    condition = Condition(type="GrantExpiring", status="True", reason="EndsSoon", message="", last_transition_time="")
    ends: dict[str, Any] = {"grant_expires_at": "2026-07-03T12:00:00Z", "authorized_as": "ada@example.com"}
    status = Status(conditions=(condition,), **ends)
    held = StoredCredential(CredentialFacts("c-1", fingerprint="f"), "7", ())
    spec = Spec(url="https://api.example.com", oauth2=parameters)
    situation = Situation("shop", "calendar", "uid", spec, parameters, status, Requests(), held)
    text = bytes(dialog_page(Dialog(situation, "https://connect.example.com", None)).body).decode()
    assert "ends on 3 July 2026, 12:00 UTC; ada@example.com gave it." in text


# The page between the button and the provider.

PATHS = [
    "",
    "/authorize?state=x",
    "/a;b,c;url=https://evil.example/",
    "/it's",
    '/"quoted"',
    "/'\"",
    "/<script>alert(1)</script>",
    '/"><meta http-equiv="refresh" content="0;url=https://evil.example/',
    "/&amp;&quot;&#39;&lt",
    "/a%20b%0d%0aSet-Cookie:%20x",
    "/?a=1&b=2&amp;c=3&copy=4",
    "/url=https://evil.example/",
    "/{{7*7}}{% raw %}",
    "/?" + "x" * 100_000,
    # No spec and no metadata may have these; the page must bear them all the same.
    "/ä/\u20ac/\U0001f600",
    "/a b",
    "/a\r\nX-Injected: 1",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("origin", ["https://login.example.com", "HTTPS://LOGIN.example.com:8443", "http://[::1]:8080"])
def test_page_between_leads_to_the_very_url_by_itself_and_by_its_link(origin: str, path: str) -> None:
    page = onward_page(Onward("shop", "calendar", origin + path))
    assert leads_on_to(bytes(page.body).decode()) == origin + path


@given(st.text())
def test_page_between_leads_to_any_url_and_is_no_other_page(text: str) -> None:
    # Of these a browser makes others while it reads a page, and no URL has them.
    path = "/" + text.translate({ord(each): None for each in "\r\0"})
    page = onward_page(Onward("shop", "calendar", ISSUER + path))
    body = bytes(page.body).decode()
    assert leads_on_to(body) == ISSUER + path
    assert body.count("<meta ") == bytes(onward_page(Onward("shop", "calendar", ISSUER)).body).count(b"<meta ")


def test_page_between_names_host_and_datasource_and_tells_the_provider_nothing() -> None:
    page = onward_page(Onward("shop", "calendar", "https://login.example.com:8443/authorize?state=x"))
    text = bytes(page.body).decode()
    assert page.status_code == 200
    assert "<h1>On to login.example.com:8443</h1>" in text
    assert "Datasource calendar in namespace shop" in text
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert "form-action 'self';" in page.headers["content-security-policy"]
    # A URL in a header may be too long for a proxy, and no header can be made of one in the page.
    assert "refresh" not in page.headers
    assert "location" not in page.headers
    assert "<form" not in text
    assert "<script" not in text


def test_what_is_sent_on_does_not_print() -> None:
    assert "state" not in repr(Onward("shop", "calendar", f"{ISSUER}/authorize?state=x"))


@pytest.mark.parametrize(
    ("content", "target"),
    [
        ("0;url=https://a/;b,c'd\"e", "https://a/;b,c'd\"e"),
        ("0; URL = https://a/ ", "https://a/ "),
        ("0,https://a/", "https://a/"),
        ("0 https://a/", "https://a/"),
        ("0;url='https://a/'more", "https://a/"),
        ('0;"https://a/"more', "https://a/"),
        ("0;url='https://a/", "https://a/"),
        ("0;ur=https://a/", "ur=https://a/"),
        ("0;url https://a/", "url https://a/"),
        ("1.5.7;https://a/", "https://a/"),
        (".5;https://a/", "https://a/"),
        ("5", None),
        ("5;", None),
        ("x;https://a/", None),
        ("5x;https://a/", None),
        ("", None),
    ],
)
def test_refresh_is_read_as_browsers_do(content: str, target: str | None) -> None:
    """What the tests of the page between rest on: the examples and steps of the HTML standard."""
    assert refresh_target(content) == target
