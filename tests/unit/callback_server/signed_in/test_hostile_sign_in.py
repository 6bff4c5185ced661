"""Sign-in, attacked as a whole: id_tokens that prove nothing, key sets that nobody should read, forms that no page sends."""

import base64
import hmac
import json
import re
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from callback_server.cookie import BROWSER
from callback_server.security import token_for
from callback_server.signed_in.sessions import SESSION
from callback_server.signed_in.under_way import SIGN_IN
from datasource.process.clock import utc_now
from datasource.records.credential import CredentialFacts
from tests.unit.callback_server.signed_in.company import CLIENT, EXTERNAL, Company, CompanyIssuer, company
from tests.unit.callback_server.signed_in.test_routes import PATHS
from tests.unit.datasource.oauth2.test_signature import EC, OTHER_RSA, RSA, key_set, part, signed

STANDING = CredentialFacts("c-1", fingerprint="f", has_refresh_token=True)
SECRET = "s3cret-of-sign-in"
OUT_OF_DATE = "This page is out of date"


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Company]:
    async with company(tmp_path / "secret", username_prefix="") as made:
        yield made


def claims_of(issuer: CompanyIssuer, **changes: Any) -> bytes:
    """What the issuer would say of ada now."""
    now = utc_now()
    times = {"iat": now.timestamp(), "exp": (now + timedelta(minutes=5)).timestamp()}
    usual = {"iss": issuer.origin, "aud": CLIENT, "nonce": issuer.nonce, "sub": "ada"} | times
    return json.dumps(usual | changes).encode()


def by_hmac(secret: bytes, issuer: CompanyIssuer, **header: Any) -> str:
    """A token whose signature a shared secret makes."""
    payload = base64.urlsafe_b64encode(claims_of(issuer)).decode().rstrip("=")
    signing = f"{part({'alg': 'HS256', 'kid': 'k-1'} | header)}.{payload}"
    mark = base64.urlsafe_b64encode(hmac.digest(secret, signing.encode(), "sha256")).decode().rstrip("=")
    return f"{signing}.{mark}"


def public_pem() -> bytes:
    return bytes(RSA.as_pem(private=False))


def without_signature(issuer: CompanyIssuer, alg: str) -> str:
    payload = base64.urlsafe_b64encode(claims_of(issuer)).decode().rstrip("=")
    return f"{part({'alg': alg})}.{payload}."


def resigned(issuer: CompanyIssuer) -> str:
    """The claims were changed after somebody signed them."""
    head, _, mark = signed(RSA, payload=claims_of(issuer, sub="somebody"), kid="k-1").split(".")
    payload = base64.urlsafe_b64encode(claims_of(issuer)).decode().rstrip("=")
    return f"{head}.{payload}.{mark}"


TOKENS: dict[str, Callable[[CompanyIssuer], str]] = {
    "no signature": lambda issuer: without_signature(issuer, "none"),
    "no signature, in another spelling": lambda issuer: without_signature(issuer, "NoNe"),
    "no signature under the right name": lambda issuer: without_signature(issuer, "RS256"),
    "the client secret signs": lambda issuer: by_hmac(SECRET.encode(), issuer),
    "the public key signs as a secret": lambda issuer: by_hmac(public_pem(), issuer),
    "nothing signs as a secret": lambda issuer: by_hmac(b"", issuer),
    "claims changed after signing": resigned,
    "another key under the right name": lambda issuer: signed(OTHER_RSA, payload=claims_of(issuer), kid="k-1"),
    "another key that the header brings along": lambda issuer: signed(
        OTHER_RSA, payload=claims_of(issuer), kid="k-1", jwk=OTHER_RSA.as_dict(private=False)
    ),
    "another key at an address in the header": lambda issuer: signed(
        OTHER_RSA, payload=claims_of(issuer), kid="k-9", jku="https://evil.example.com/jwks"
    ),
    "a key of another kind": lambda issuer: signed(EC, "ES256", payload=claims_of(issuer), kid="k-1"),
    "a name of a key that is a path": lambda issuer: signed(RSA, payload=claims_of(issuer), kid="../k-1"),
    "a critical header": lambda issuer: signed(RSA, payload=claims_of(issuer), kid="k-1", crit=["b64"], b64=True),
    "a megabyte": lambda issuer: signed(RSA, payload=claims_of(issuer, photo="x" * 2**20), kid="k-1"),
    "seventy kilobytes": lambda issuer: signed(RSA, payload=claims_of(issuer, photo="x" * 70_000), kid="k-1"),
    "an array in place of claims": lambda issuer: signed(RSA, payload=b"[]", kid="k-1"),
    "an issuer with a slash more": lambda issuer: signed(
        RSA, payload=claims_of(issuer, iss=issuer.origin + "/"), kid="k-1"
    ),
    "an issuer in capitals": lambda issuer: signed(
        RSA, payload=claims_of(issuer, iss=issuer.origin.upper()), kid="k-1"
    ),
    "an end that is a text": lambda issuer: signed(RSA, payload=claims_of(issuer, exp="4102444800"), kid="k-1"),
    "an end below zero": lambda issuer: signed(RSA, payload=claims_of(issuer, exp=-1), kid="k-1"),
    "issued tomorrow": lambda issuer: signed(
        RSA, payload=claims_of(issuer, iat=utc_now().timestamp() + 86_400), kid="k-1"
    ),
    "not before tomorrow": lambda issuer: signed(
        RSA, payload=claims_of(issuer, nbf=utc_now().timestamp() + 86_400), kid="k-1"
    ),
    "not before a text": lambda issuer: signed(RSA, payload=claims_of(issuer, nbf="now"), kid="k-1"),
    "our own audience twice, without a party": lambda issuer: signed(
        RSA, payload=claims_of(issuer, aud=[CLIENT, CLIENT]), kid="k-1"
    ),
    "an audience in capitals": lambda issuer: signed(RSA, payload=claims_of(issuer, aud=CLIENT.upper()), kid="k-1"),
    "an audience with a space": lambda issuer: signed(RSA, payload=claims_of(issuer, aud=f"{CLIENT} x"), kid="k-1"),
}


@pytest.mark.parametrize("what", TOKENS)
async def test_id_token_that_proves_nothing_lets_nobody_in(there: Company, what: str) -> None:
    browser = there.browser()
    sent_to = await browser.begin_sign_in()
    reply = {"access_token": "at", "token_type": "Bearer", "id_token": TOKENS[what](there.issuer)}
    there.issuer.token_reply = (200, json.dumps(reply).encode())
    answer = await browser.come_back(sent_to)
    assert answer.status_code in {403, 502}, answer.text
    assert SESSION.name not in answer.headers.get("set-cookie", "")
    assert there.cluster.sessions == []
    assert SECRET not in answer.text


async def test_claims_of_userinfo_and_of_the_reply_are_not_looked_at(there: Company) -> None:
    browser = there.browser()
    there.issuer.metadata = {"userinfo_endpoint": f"{there.issuer.origin}/userinfo"}
    sent_to = await browser.begin_sign_in()
    reply = json.loads(there.issuer.tokens()) | {"sub": "grace", "email": "grace@example.com", "groups": ["admins"]}
    there.issuer.token_reply = (200, json.dumps(reply).encode())
    await browser.come_back(sent_to)
    assert "signed in as <code>ada</code>" in (await browser.get("/")).text
    assert "admins" not in (await browser.get("/")).text
    assert "/userinfo" not in {request.target for request in there.issuer.requests}


KEYS: dict[str, bytes] = {
    "a thousand keys": key_set(*[{"kty": "RSA", "n": "A" * 342, "e": "AQAB", "kid": str(n)} for n in range(1000)]),
    "none": b'{"keys": []}',
    "only a secret": json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "k-1"}]}).encode(),
    "an object of keys": b'{"keys": {"k-1": {}}}',
    "no JSON": b"<html>",
    "a megabyte": b'{"keys": [], "x": "' + b"x" * 2**20 + b'"}',
}


@pytest.mark.parametrize("what", KEYS)
async def test_key_set_that_cannot_be_used_keeps_the_code_unspent(there: Company, what: str) -> None:
    browser = there.browser()
    sent_to = await browser.begin_sign_in()
    there.issuer.keys = KEYS[what]
    answer = await browser.come_back(sent_to)
    assert answer.status_code in {502, 503}, answer.text
    assert there.issuer.codes == []
    assert there.cluster.sessions == []


async def test_two_keys_of_one_name_sign_nobody_in(there: Company) -> None:
    """Which of them is meant is not guessed."""
    browser = there.browser()
    sent_to = await browser.begin_sign_in()
    there.issuer.keys = key_set(RSA, OTHER_RSA.as_dict(private=False) | {"kid": "k-1"})
    assert (await browser.come_back(sent_to)).status_code == 403
    assert there.cluster.sessions == []


async def test_key_that_the_issuer_rotated_since_is_fetched_at_once(there: Company) -> None:
    assert (await there.browser().sign_in()).status_code == 303
    there.issuer.key = OTHER_RSA
    there.issuer.keys = key_set(OTHER_RSA)
    there.issuer.kid = "k-2"
    assert (await there.browser().sign_in()).status_code == 303
    assert len(there.cluster.sessions) == 2


# Forms and methods that no page sends.


ACTIONS = [f"/datasources/shop/calendar/{action}" for action in ("authorize", "clear", "refresh")]
ORIGINS = [
    f"{EXTERNAL}:8443",
    f"{EXTERNAL}/",
    EXTERNAL.replace("https", "http"),
    EXTERNAL.upper(),
    "https://connect.example.com.evil.example.com",
    "https://evil.example.com/https://connect.example.com",
    "null",
    "",
]


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", *ACTIONS])
async def test_form_of_any_other_origin_does_nothing(there: Company, path: str) -> None:
    there.cluster.allow("ada", "get", "authorize", "patch")
    there.add(replaces=STANDING)
    browser = await there.signed_in("ada")
    fields = await fields_for(browser, path)
    before = there.cluster.answered
    for origin in ORIGINS:
        # An older browser, which says nothing else.
        answer = await browser.client.post(path, data=fields, headers={"Origin": origin})
        assert (answer.status_code, OUT_OF_DATE in answer.text) == (403, True), origin
    for site in ("none", "same-site", "cross-site", "SAME-ORIGIN", ""):
        answer = await browser.client.post(path, data=fields, headers={"Origin": EXTERNAL, "Sec-Fetch-Site": site})
        assert (answer.status_code, OUT_OF_DATE in answer.text) == (403, True), site
    assert there.cluster.answered == before
    # The form itself is good: what a browser of today and one of before say of it is both taken.
    assert (await browser.client.post(path, data=fields, headers={"Origin": EXTERNAL})).status_code in {200, 303}


async def fields_for(browser: Any, path: str) -> dict[str, str]:
    """What the form that goes there says."""
    if path == "/sign-in":
        return {"to": "/", "token": token_for(browser.cookies[BROWSER.name], "sign-in", "/")}
    page = await browser.get(
        "/datasources/shop/calendar/clear" if path.endswith("clear") else "/datasources/shop/calendar"
    )
    (form,) = re.findall(rf'<form method="post" action="{path}">(.*?)</form>', page.text, re.DOTALL)
    return dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))


FORMS: dict[str, Callable[[dict[str, str]], tuple[str, bytes]]] = {
    "json": lambda fields: ("application/json", json.dumps(fields).encode()),
    "text": lambda fields: ("text/plain", httpx.QueryParams(fields).__str__().encode()),
    "nothing": lambda fields: ("", httpx.QueryParams(fields).__str__().encode()),
    "in parts": lambda fields: (
        "multipart/form-data; boundary=b",
        "".join(f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()).encode()
        + b"--b--\r\n",
    ),
    "a field twice, ours first": lambda fields: (
        "application/x-www-form-urlencoded",
        f"{httpx.QueryParams(fields)}&token=x".encode(),
    ),
    "a field twice, ours last": lambda fields: (
        "application/x-www-form-urlencoded",
        f"token=x&{httpx.QueryParams(fields)}".encode(),
    ),
    "the same field twice": lambda fields: (
        "application/x-www-form-urlencoded",
        f"{httpx.QueryParams(fields)}&{httpx.QueryParams(fields)}".encode(),
    ),
    "eleven fields": lambda fields: (
        "application/x-www-form-urlencoded",
        f"{httpx.QueryParams(fields)}{'&x=1' * 11}".encode(),
    ),
    "not ASCII": lambda fields: (
        "application/x-www-form-urlencoded",
        f"{httpx.QueryParams(fields)}&x=\u00e4".encode(),
    ),
}


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", *ACTIONS])
async def test_form_that_no_browser_sends_from_our_page_does_nothing(there: Company, path: str, kind: str) -> None:
    there.cluster.allow("ada", "get", "authorize", "patch")
    there.add(replaces=STANDING)
    browser = await there.signed_in("ada")
    content_type, body = FORMS[kind](await fields_for(browser, path))
    held = json.dumps(there.cluster.credential("shop", "calendar"))
    headers = {"Origin": EXTERNAL, "Sec-Fetch-Site": "same-origin", "Content-Type": content_type}
    answer = await browser.client.post(path, content=body, headers=headers)
    assert (answer.status_code, OUT_OF_DATE in answer.text) == (403, True)
    assert json.dumps(there.cluster.credential("shop", "calendar")) == held
    assert "signed in as" in (await browser.get("/")).text


METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"}


@pytest.mark.parametrize("path", sorted({path for _, path in PATHS}))
async def test_path_takes_its_methods_and_no_other_does_anything(there: Company, path: str) -> None:
    there.cluster.allow("ada", "get", "list", "authorize", "patch")
    there.add(replaces=STANDING)
    browser = await there.signed_in("ada")
    held = json.dumps([there.cluster.credential("shop", "calendar"), there.cluster.sessions])
    taken = {method for method, each in PATHS if each == path}
    if "GET" in taken and path != "/signed-in":
        taken.add("HEAD")
    before = there.cluster.answered
    for method in METHODS - taken:
        answer = await browser.client.request(method, path, headers={"Origin": EXTERNAL})
        assert answer.status_code == 405, method
        assert set(answer.headers["allow"].split(", ")) == taken
    assert there.cluster.answered == before
    assert json.dumps([there.cluster.credential("shop", "calendar"), there.cluster.sessions]) == held


@pytest.mark.parametrize("path", [path for method, path in PATHS if method == "GET" and path != "/signed-in"])
async def test_head_says_what_get_says_and_is_kept_by_nobody(there: Company, path: str) -> None:
    there.cluster.allow("ada", "get", "list", "authorize", "patch")
    there.cluster.allow("ada", "list", namespace=None)
    there.add(replaces=STANDING)
    browser = await there.signed_in("ada")
    got, head = await browser.get(path), await browser.client.head(path)
    assert head.status_code == got.status_code
    assert dict(head.headers) == dict(got.headers)
    assert head.content == b""
    assert got.headers["cache-control"] == "no-store"
    assert got.headers["x-content-type-options"] == "nosniff"


# Cookies.


async def test_eight_kilobytes_of_other_cookies_change_nothing(there: Company) -> None:
    browser = await there.signed_in("ada")
    ours = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    junk = "; ".join(f"c{n}={'x' * 100}" for n in range(80))
    for line in (f"{junk}; {ours}", f"{ours}; {junk}", f"{ours};{junk}"):
        headers = [(b"Cookie", line.encode())]
        answer = await httpx.AsyncClient(transport=browser.client._transport, base_url=EXTERNAL).get(
            "/", headers=headers
        )
        assert "signed in as <code>ada</code>" in answer.text
    # On two lines, as HTTP/2 may have it.
    first, second = ours.split("; ", 1)
    headers = [(b"Cookie", first.encode()), (b"Cookie", second.encode())]
    answer = await httpx.AsyncClient(transport=browser.client._transport, base_url=EXTERNAL).get("/", headers=headers)
    assert "signed in as <code>ada</code>" in answer.text


@pytest.mark.parametrize("name", [SESSION.name, BROWSER.name])
@pytest.mark.parametrize(
    "shape",
    ['{name}="{value}"', "{name}={value}; {name}={value}", "{name} ={value}", "{name}={value}; {upper}=x", "{name}"],
)
async def test_cookie_in_a_shape_that_we_never_sent_lets_nobody_in(there: Company, name: str, shape: str) -> None:
    browser = await there.signed_in("ada")
    others = [f"{other}={value}" for other, value in browser.cookies.items() if other != name]
    odd = shape.format(name=name, value=browser.cookies[name], upper=name.upper())
    client = httpx.AsyncClient(transport=browser.client._transport, base_url=EXTERNAL)
    answer = await client.get("/", headers=[(b"Cookie", "; ".join([*others, odd]).encode())])
    if name == SESSION.name or answer.status_code == 403:
        assert "signed in as" not in answer.text
    # A browser's cookie that cannot be read is replaced: no form that was shown before is good any more.
    else:
        assert BROWSER.name in answer.headers["set-cookie"]


# Where a sign-in leads.


@pytest.mark.parametrize(
    "to",
    [
        "//evil.example.com",
        "/\\evil.example.com",
        "\\\\evil.example.com",
        "/\t/evil.example.com",
        "\t//evil.example.com",
        "/%09/evil.example.com",
        "/%2f%2fevil.example.com",
        "/datasources//evil.example.com",
        "/datasources/shop/..//evil.example.com",
        "/datasources/shop/%2e%2e/x",
        "/datasources/shop/calendar?x=//evil.example.com",
        "/datasources/shop#//evil.example.com",
        "/datasources/shop/calendar\r\nSet-Cookie: x=1",
        "/datasources/shop\x00",
        "/datasources/\u017fhop",
        "/done/../sign-out",
        "https:evil.example.com",
        "HTTPS://connect.example.com/datasources/shop",
        "data:text/html,x",
        "/" + "x" * 600,
        "",
    ],
)
async def test_no_return_path_leads_elsewhere(there: Company, to: str) -> None:
    browser = there.browser()
    await browser.get("/")
    fields = {"to": to, "token": token_for(browser.cookies[BROWSER.name], "sign-in", to)}
    onward = await browser.post("/sign-in", fields)
    assert SIGN_IN.name in browser.cookies, onward.text
    back = await browser.come_back(browser.sent_to(onward.text))
    assert (back.status_code, back.headers["location"]) == (303, f"{EXTERNAL}/")
    assert len(back.headers.get_list("set-cookie")) == 2


@pytest.mark.parametrize(
    "namespace",
    [
        "//evil.example.com",
        "..",
        "../sign-out",
        "shop/calendar",
        "shop%2Fcalendar",
        "shop\r\nx: y",
        "\u212aube",
        "x" * 64,
    ],
)
async def test_no_namespace_of_the_first_page_leads_elsewhere(there: Company, namespace: str) -> None:
    browser = await there.signed_in("ada")
    found = await browser.client.get("/datasources", params={"namespace": namespace})
    assert found.status_code == 303
    assert re.fullmatch(rf"{re.escape(EXTERNAL)}(/|/datasources/[a-z0-9-]+)", found.headers["location"])
