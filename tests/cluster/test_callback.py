"""The callback server spoken to directly: what a browser never sends, and what a provider should not answer."""

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from urllib.parse import quote, urlsplit

import pytest

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.processes import free_ports
from deploy.local.provider import Authentication
from deploy.local.stack import Process, Stack
from tests.support.api import SECRETS
from tests.support.person import OUR_COOKIE, STORED, Person, forms_in, parameters_of
from tests.support.refresh import leads_on_to
from tests.support.user import CLIENT_SECRET, User, eventually

pytestmark = pytest.mark.cluster


@pytest.fixture
def person() -> Iterator[Person]:
    """Somebody with cookies of their own."""
    with Person() as somebody:
        yield somebody


def token_requests(user: User) -> int:
    return sum(each.client_id == user.client_id for each in user.provider.token_requests())


def title(page: str) -> str:
    found = re.search(r"<title>(.*?)</title>", page)
    assert found is not None
    return found.group(1)


def test_authorize_request_carries_what_the_protocol_asks_for(user: User, person: Person) -> None:
    link = user.ready_to_authorize(authorizeParameters={"login_hint": "demo"})

    first, second = parameters_of(person.begin(link)), parameters_of(person.begin(link))

    assert first["response_type"] == "code"
    assert first["client_id"] == user.client_id
    assert first["redirect_uri"] == f"{user.external_url}/callback/{user.namespace}"
    assert first["scope"] == "openid email offline_access read"
    assert first["code_challenge_method"] == "S256"
    assert first["login_hint"] == "demo"
    for fresh in ("state", "nonce", "code_challenge"):
        assert len(first[fresh]) >= 43
        assert first[fresh] != second[fresh]


def test_host_headers_never_build_the_redirect_uri(user: User, person: Person) -> None:
    page = person.get(user.ready_to_authorize())
    form = forms_in(page.text)[0]
    url = f"{user.external_url}{form.action}"

    answer = person.post(
        url, form.fields, Host="evil.example.com", X_Forwarded_Host="evil.example.com", Forwarded="host=evil"
    )

    assert answer.status_code == 200
    assert parameters_of(leads_on_to(answer.text) or "")["redirect_uri"].startswith(user.external_url)


def test_looking_at_the_dialog_changes_nothing(user: User, person: Person) -> None:
    link = user.ready_to_authorize()
    before = user.get()["metadata"]["resourceVersion"]

    for _ in range(3):
        assert person.get(link).status_code == 200

    assert user.get()["metadata"]["resourceVersion"] == before
    assert flow_records(user) == []


def flow_records(user: User) -> list[str]:
    listed = user.api.all_of(SECRETS, SYSTEM_NAMESPACE, fields="type=datasource.dev/oauth2-flow")
    owner = f"{user.namespace}/calendar"
    return [
        each["metadata"]["name"]
        for each in listed
        if each["metadata"]["annotations"]["datasource.dev/datasource"] == owner
    ]


@pytest.mark.parametrize("alter", [lambda t: "", lambda t: t[:-1], lambda t: t + "A", lambda t: t.swapcase()])
def test_ticket_that_is_not_the_live_one_shows_nothing(user: User, person: Person, alter: Callable[[str], str]) -> None:
    place, _, ticket = user.ready_to_authorize().partition("?ticket=")

    answer = person.get(f"{place}?ticket={alter(ticket)}")

    assert answer.status_code == 404
    assert "This link is no longer valid" in answer.text
    assert user.client_id not in answer.text


def test_stranger_learns_nothing_about_what_exists(user: User, person: Person) -> None:
    place, _, _ = user.ready_to_authorize().partition("?ticket=")

    existing = unspecific(person.get(f"{place}?ticket=x").text, "calendar", user.namespace)
    missing = unspecific(
        person.get(f"{user.external_url}/authorize/{user.namespace}/nothing?ticket=x").text, "nothing", user.namespace
    )
    elsewhere = unspecific(
        person.get(f"{user.external_url}/authorize/no-such-namespace/no-one?ticket=x").text,
        "no-one",
        "no-such-namespace",
    )

    assert existing == missing == elsewhere


def unspecific(page: str, name: str, namespace: str) -> str:
    """A page without what the visitor's own URL says, and without its reference, which is random."""
    assert f"get dsrc {name} -n {namespace} " in page
    named = page.replace(f"get dsrc {name} -n {namespace} ", "get dsrc NAME -n NAMESPACE ")
    return re.sub("Reference: <code>[0-9a-f]+</code>", "Reference: <code>random</code>", named)


@pytest.mark.parametrize(
    ("headers", "fields", "keeps_cookie"),
    [
        ({"Sec_Fetch_Site": "cross-site"}, {}, True),
        ({"Sec_Fetch_Site": "same-site"}, {}, True),
        ({"Sec_Fetch_Site": "none"}, {}, True),
        ({"Origin": "https://evil.example.com"}, {}, True),
        ({"Origin": "null"}, {}, True),
        ({}, {"token": "forged"}, True),
        ({}, {"token": ""}, True),
        ({}, {}, False),
    ],
    ids=["cross-site", "same-site", "typed", "foreign origin", "null origin", "forged token", "no token", "no cookie"],
)
def test_form_that_is_not_ours_starts_nothing(
    user: User, person: Person, headers: dict[str, str], fields: dict[str, str], keeps_cookie: bool
) -> None:
    page = person.get(user.ready_to_authorize())
    form = forms_in(page.text)[0]
    if not keeps_cookie:
        person.cookie = None

    answer = person.post(f"{user.external_url}{form.action}", form.fields | fields, **headers)

    assert answer.status_code == 403
    assert flow_records(user) == []


def test_form_of_another_browser_starts_nothing(user: User, person: Person) -> None:
    link = user.ready_to_authorize()
    form = forms_in(person.get(link).text)[0]

    with Person() as other:
        other.get(link)
        answer = other.post(f"{user.external_url}{form.action}", form.fields)

    assert answer.status_code == 403
    assert flow_records(user) == []


def test_form_that_is_huge_or_no_form_starts_nothing(user: User, person: Person) -> None:
    page = person.get(user.ready_to_authorize())
    form = forms_in(page.text)[0]
    url = f"{user.external_url}{form.action}"

    huge = person.post(url, form.fields | {"more": "x" * 100_000})
    no_form = person.client.post(url, json=form.fields, headers=person._headers(url, {}))

    assert huge.status_code == 403
    assert no_form.status_code == 404
    assert flow_records(user) == []


CHANGES = {
    "no query": lambda query: "",
    "no state": lambda query: re.sub(r"state=[^&]*&?", "", query),
    "unknown state": lambda query: re.sub(r"state=([^&]{4})[^&]*", r"state=\1", query),
    "state of that shape": lambda query: re.sub(r"state=[^&]*", "state=" + "0" * 16 + "-0." + "A" * 43, query),
    "state altered at its end": lambda query: re.sub(r"(state=[^&]*)(.)(?=&|$)", r"\1*", query),
    "no code": lambda query: re.sub(r"code=[^&]*&?", "", query),
    "code twice": lambda query: query + "&code=again",
    "state twice": lambda query: query + "&" + re.findall(r"state=[^&]*", query)[0],
    "iss twice": lambda query: query + "&" + re.findall(r"iss=[^&]*", query)[0],
    "code and error": lambda query: query + "&error=access_denied",
    "null bytes": lambda query: query + "%00",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_callback_that_is_none_of_ours_spends_nothing(user: User, person: Person, change: Callable[[str], str]) -> None:
    callback = person.consent(person.begin(user.ready_to_authorize()))
    place, _, query = callback.partition("?")
    changed = change(query)

    answer = person.get(f"{place}?{changed}")

    if changed.endswith("%00"):
        assert answer.status_code in {303, 400}
    else:
        assert answer.status_code == 400
        assert token_requests(user) == 0
        # The flow goes on all the same: a stranger cannot end it.
        assert STORED in person.come_back(callback).text


def test_callback_in_another_namespace_spends_nothing(user: User, person: Person) -> None:
    callback = person.consent(person.begin(user.ready_to_authorize()))

    answer = person.get(callback.replace(f"/callback/{user.namespace}", "/callback/default"))

    assert answer.status_code == 400
    assert token_requests(user) == 0


@pytest.mark.parametrize("error", [False, True], ids=["code", "error"])
def test_answer_of_another_issuer_spends_nothing(user: User, person: Person, error: bool) -> None:
    callback = person.consent(person.begin(user.ready_to_authorize()), "Deny" if error else "Allow")

    page = person.come_back(re.sub(r"iss=[^&]*", "iss=https%3A%2F%2Fevil.example.com", callback)).text

    assert "The answer comes from another service" in page
    assert token_requests(user) == 0


def test_error_is_shown_escaped(user: User, person: Person) -> None:
    state = parameters_of(person.begin(user.ready_to_authorize()))["state"]
    attack = "error=server_error&error_description=%3Cscript%3Ealert(1)%3C%2Fscript%3E%0d%0aSet-Cookie:x"

    answer = person.come_back(
        f"{user.external_url}/callback/{user.namespace}?state={state}&iss={quote(user.provider.issuer)}&{attack}"
    )

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text
    assert "<script" not in answer.text
    assert token_requests(user) == 0


def test_authorization_that_failed_reaches_whoever_runs_the_datasource(user: User, person: Person) -> None:
    state = parameters_of(person.begin(user.ready_to_authorize()))["state"]
    answer = f"state={state}&iss={quote(user.provider.issuer)}&error=access_denied&error_description=not+{state}"
    person.come_back(f"{user.external_url}/callback/{user.namespace}?{answer}")

    user.wait_for_status("the failure is told", lambda seen: "lastAuthorization" in seen)
    last = user.status()["lastAuthorization"]
    assert last["outcome"] == "Failed"
    assert "access_denied" in last["message"]
    assert state not in last["message"]
    eventually(
        "an Event warns of it",
        lambda: (
            [each["note"] for each in user.events() if each["reason"] == "AuthorizationFailed"] == [last["message"]]
        ),
    )
    assert [each["type"] for each in user.events() if each["reason"] == "AuthorizationFailed"] == ["Warning"]


def test_flow_that_took_too_long_spends_nothing(user: User, person: Person) -> None:
    callback = person.consent(person.begin(user.ready_to_authorize()))
    (record,) = flow_records(user)
    secret = user.api.get(SECRETS, record, SYSTEM_NAMESPACE)
    flow = json.loads(base64.b64decode(secret["data"]["flow"]))
    flow["expiresAt"] = "2020-01-01T00:00:00Z"
    change = {"data": {"flow": base64.b64encode(json.dumps(flow).encode()).decode()}}
    user.api.patch(SECRETS, record, change, SYSTEM_NAMESPACE)

    page = person.come_back(callback).text

    assert "This authorization took too long" in page
    assert token_requests(user) == 0


def test_datasource_replaced_under_way_spends_nothing(user: User, person: Person) -> None:
    callback = person.consent(person.begin(user.ready_to_authorize()))
    user.kubectl("delete", "datasource", "calendar")
    user.apply(user.datasource(user.oauth2()))
    user.wait_for_reason("AuthorizationRequired")

    answer = person.come_back(callback)

    assert answer.status_code == 410
    assert "The Datasource was deleted" in answer.text
    assert token_requests(user) == 0


def test_more_than_ten_at_once_take_the_places_of_others_and_the_newest_goes_on(user: User, person: Person) -> None:
    link = user.ready_to_authorize()
    urls = [person.begin(link) for _ in range(11)]

    assert len(flow_records(user)) <= 10
    assert STORED in person.come_back(person.consent(urls[-1])).text
    assert STORED not in person.come_back(person.consent(urls[0])).text


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "PUT"])
def test_callback_that_is_looked_at_before_it_is_opened_spends_nothing(user: User, person: Person, method: str) -> None:
    """What scanners of links and previews do."""
    callback = person.consent(person.begin(user.ready_to_authorize()))

    answer = person.client.request(method, callback, headers={"Cookie": f"{OUR_COOKIE}={person.cookie}"})

    assert answer.status_code == 405
    assert token_requests(user) == 0
    assert STORED in person.come_back(callback).text


@pytest.mark.parametrize(
    "cookies",
    [
        [b"\xa0%(name)s=%(his)s"],
        [b"%(name)s=%(his)s; \xa0%(name)s=%(his)s"],
        [b"\x85%(name)s=%(his)s; %(name)s=%(other)s"],
        [b"%(name)s=%(other)s", b"%(name)s=%(his)s"],
        [b"%(name)s=%(his)s", b"a=b, %(name)s=%(other)s"],
        [b"%(name)s\x1c=%(his)s"],
        [b"%%5F%%5FHost-datasource-browser=%(his)s"],
    ],
)
def test_cookie_that_another_host_planted_finishes_no_flow(user: User, person: Person, cookies: list[bytes]) -> None:
    callback = person.consent(person.begin(user.ready_to_authorize()))
    values = {b"name": OUR_COOKIE.encode(), b"his": (person.cookie or "").encode(), b"other": b"E" * 43}

    answer = person.client.get(callback, headers=[(b"Cookie", line % values) for line in cookies])

    assert answer.status_code == 403
    assert "A cookie of another site blocks this page" in answer.text
    assert token_requests(user) == 0
    assert user.credential_id() == ""
    # Who began goes on all the same.
    assert STORED in person.come_back(callback).text


def test_done_page_is_shown_to_its_browser_only(user: User, person: Person) -> None:
    page = person.authorize(user.ready_to_authorize())
    done = str(page.url)

    with Person() as stranger:
        assert stranger.get(done).status_code == 403
    assert person.get(done[:-1]).status_code == 400
    assert person.get(done).status_code == 200


def test_every_answer_has_the_headers_that_keep_it_safe(user: User, person: Person) -> None:
    link = user.ready_to_authorize()
    dialog = person.get(link)
    pages = [dialog, person.get(f"{link}x"), person.get(user.external_url), person.submit(dialog, "Get new credential")]

    for page in pages:
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-content-type-options"] == "nosniff"
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "form-action 'self';" in policy
    policies = [page.headers["referrer-policy"] for page in pages]
    assert policies == ["same-origin", "same-origin", "same-origin", "no-referrer"]
    assert "; Path=/; Secure; HttpOnly; SameSite=Lax" in dialog.headers["set-cookie"]


def test_public_client_and_body_authentication_work(user: User, person: Person) -> None:
    callback = f"{user.external_url}/callback/{user.namespace}"
    user.provider.register_client("public", None, [callback])
    user.provider.register_client("body", "p&ss/w+rd=%20~", [callback], authentication=Authentication.POST)
    user.kubectl("create", "secret", "generic", "body", "--from-literal=client-secret=p&ss/w+rd=%20~")
    user.apply(user.datasource(user.oauth2(clientID="public", clientSecretRef=None), name="public"))
    body = user.oauth2(clientID="body", clientSecretRef={"name": "body"}, clientAuthentication="client_secret_post")
    user.apply(user.datasource(body, name="body"))

    for name in ("public", "body"):
        user.wait_for_reason("AuthorizationRequired", name)
        assert STORED in person.authorize(user.link(name)).text
        user.wait_for_reason("Authorized", name)


def test_datasource_with_a_redirect_uri_of_its_own_authorizes_with_it(user: User, person: Person) -> None:
    own = f"{user.external_url}/callback/{user.namespace}/calendar"
    link = user.ready_to_authorize(redirectURI="PerDatasource")
    user.provider.register_client(user.client_id, CLIENT_SECRET, [own])

    assert user.status()["redirectURI"] == own
    assert STORED in person.authorize(link).text


def test_server_with_a_path_prefix_serves_and_links_below_it(user: User, stack: Stack, person: Person) -> None:
    (port,) = free_ports(1)
    prefixed = f"http://localhost:{port}/connect"
    server = stack.callback_server(
        "callback-server-prefix", DATASOURCE_EXTERNAL_URL=prefixed, DATASOURCE_LISTEN=f"127.0.0.1:{port}"
    )
    link = user.ready_to_authorize()
    user.provider.register_client(user.client_id, CLIENT_SECRET, [f"{prefixed}/callback/{user.namespace}"])
    server.start()
    try:
        page = person.authorize(link.replace(user.external_url, prefixed))
        assert STORED in page.text
        assert urlsplit(str(page.url)).path.startswith("/connect/done/")
        assert person.get(f"http://localhost:{port}/authorize/a/b").status_code == 404
    finally:
        server.stop()


def test_sigterm_waits_for_an_exchange_under_way(user: User, callback_server: Process, person: Person) -> None:
    callback = person.consent(person.begin(user.ready_to_authorize()))
    user.provider.fault(client_id=user.client_id, hold_reply=timedelta(seconds=2))
    thread = threading.Thread(target=lambda: person.get(callback))
    thread.start()
    eventually("the code is being exchanged", lambda: token_requests(user) == 1)

    callback_server.stop()
    thread.join()
    callback_server.start()

    assert user.credential_id() != ""
    user.wait_for_reason("Authorized")
    assert "callback server ended" in callback_server.child.log.read_text()


def test_error_that_names_no_authorization_is_shown_and_acted_on_by_nobody(user: User, person: Person) -> None:
    """Some services leave the state out."""
    callback = person.consent(person.begin(user.ready_to_authorize()))
    place, _, _ = callback.partition("?")

    answer = person.get(f"{place}?error=invalid_scope&error_description=%3Cb%3Eno+such+scope")

    assert answer.status_code == 400
    assert "The service answered invalid_scope: &lt;b&gt;no such scope." in answer.text
    assert STORED in person.come_back(callback).text
