"""Authorizations from the link to the credential, with a provider on loopback: whose answer is believed, who waits for whom."""

import asyncio
import dataclasses
import gzip
import json
from base64 import b64decode, urlsafe_b64encode
from typing import Any

import httpx
import msgspec
import pytest

from callback_server.limits import Bulkhead
from datasource.api.objects import Metadata
from datasource.oauth2.provider_metadata import ProviderMetadata
from datasource.records.credential import CredentialFacts
from datasource.records.flow import failed_flow
from tests.support.hostile_provider import (
    Behaviour,
    HostileProvider,
    ReceivedRequest,
    closed_port,
    replies,
    stays_silent,
)
from tests.support.person import STORED, forms_in
from tests.support.refresh import leads_on_to
from tests.unit.callback_server.world import EXTERNAL, World, come_back, world


@pytest.fixture(autouse=True)
def nobody_waits_for_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callback_server.done.LOOKS", 1)


def endpoints(provider: HostileProvider) -> dict[str, Any]:
    return {"authorizeURL": f"{provider.origin}/a/authorize", "tokenURL": provider.url}


async def test_credential_is_stored_and_no_more_than_digests_of_requests_is_recorded() -> None:
    async with world() as cluster, HostileProvider(replies(200)) as provider, cluster.new_client() as browser:
        asked = {"datasource.dev/new-credential": "n" * 200_000, "datasource.dev/refresh": "r" * 60_000}
        cluster.add("shop", "calendar", annotations=asked, **endpoints(provider))
        page = await come_back(browser, await cluster.sent_to(browser, "shop", "calendar"))
        assert STORED in page
        assert all(len(json.dumps(each)) < 4000 for each in cluster.secrets["datasource-system"].secrets.values())
        credential = cluster.credential("shop", "calendar")
        assert credential is not None
        handled = json.loads(credential["metadata"]["annotations"]["datasource.dev/handled"])
        assert {name: len(digests) for name, digests in handled.items()} == {"newCredential": 1, "refresh": 1}


async def test_header_for_a_gateway_goes_with_the_code_and_is_in_no_page_and_no_record() -> None:
    refused = b'{"error": "invalid_request", "error_description": "Wrong key: s3cret"}'
    async with world() as cluster, HostileProvider(replies(400, refused)) as provider, cluster.new_client() as browser:
        headers = [
            {"name": "X-Api-Key", "secretRef": {"name": "my-app", "key": "client-secret"}},
            {"name": "User-Agent", "value": "gw-client/1"},
        ]
        pushed: dict[str, Any] = {"pushedAuthorizationURL": provider.url}
        options = endpoints(provider) | {"clientSecretRef": None, "tokenHeaders": headers}
        cluster.add("shop", "calendar", **options)
        cluster.add("shop", "pushed", **options, **pushed)
        page = await browser.get(cluster.links["shop", "calendar"])
        assert "X-Api-Key: in Secret my-app, key client-secret" in page.text
        refusals = [
            await come_back(browser, await cluster.sent_to(browser, "shop", "calendar")),
            (await cluster.begin(browser, "shop", "pushed")).text,
        ]
        assert [request.headers["x-api-key"] for request in provider.requests] == ["s3cret", "s3cret"]
        assert {request.headers["user-agent"] for request in provider.requests} == {"gw-client/1"}
        assert all("Wrong key" in said and "s3cret" not in said for said in refusals)
        assert "s3cret" not in json.dumps(cluster.secrets["datasource-system"].secrets)


async def test_header_that_is_not_there_is_told_before_anything_is_begun() -> None:
    async with world() as cluster, HostileProvider(replies(200)) as provider, cluster.new_client() as browser:
        headers = [{"name": "X-Api-Key", "secretRef": {"name": "my-app", "key": "api-key"}}]
        cluster.add("shop", "calendar", tokenHeaders=headers, **endpoints(provider))
        said = (await cluster.begin(browser, "shop", "calendar")).text
        assert "spec.oauth2.tokenHeaders names key api-key, which is missing or empty in Secret my-app" in said
        assert provider.requests == []


async def test_credential_is_made_with_the_labels_that_a_policy_engine_wants() -> None:
    async with world() as cluster, HostileProvider(replies(200)) as provider, cluster.new_client() as browser:
        cluster.add("shop", "calendar", **endpoints(provider))
        template = {"labels": {"team": "sales"}, "annotations": {"example.com/a": "b"}}
        cluster.objects["shop/datasources/calendar"]["spec"]["credentialSecret"] = {"template": template}
        assert STORED in await come_back(browser, await cluster.sent_to(browser, "shop", "calendar"))
        credential = cluster.credential("shop", "calendar")
        assert credential is not None
        assert credential["metadata"]["labels"] == {"team": "sales"}
        assert credential["metadata"]["annotations"]["example.com/a"] == "b"


# What providers send that no standard has.

_GOOD = b'{"access_token": "at-1", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "rt-2"}'
_JWT = "e30." + urlsafe_b64encode(b'{"exp": 1%s}' % (b"0" * 400)).decode().rstrip("=") + ".c2ln"
ODD_REPLIES = {
    "a coding that is none": replies(200, _GOOD, headers=("Content-Encoding: utf-8",)),
    "a coding by another one's name": replies(200, gzip.compress(_GOOD), headers=("Content-Encoding: br",)),
    "a gzip of two": replies(200, gzip.compress(_GOOD[:40]) + gzip.compress(_GOOD[40:])),
    "a header that is none": replies(200, _GOOD, headers=("X Powered By: us", "Broken")),
    "byte order marks": replies(200, b"\xef\xbb\xbf\r\n\xef\xbb\xbf" + _GOOD),
    "UTF-16": replies(200, _GOOD.decode().encode("utf-16")),
    "JSON in JSON": replies(200, json.dumps(_GOOD.decode()).encode()),
    "a JWT that ends beyond all numbers": replies(
        200, json.dumps({"access_token": _JWT, "token_type": "Bearer"}).encode()
    ),
    "a token that takes itself back": replies(200, _GOOD[:-1] + b', "refresh_token": null, "access_token": ""}'),
}


@pytest.mark.parametrize("reply", ODD_REPLIES.values(), ids=ODD_REPLIES.keys())
async def test_consent_is_not_lost_to_an_odd_reply(reply: Behaviour) -> None:
    async with world() as cluster, HostileProvider(reply) as provider, cluster.new_client() as browser:
        cluster.add("shop", "calendar", **endpoints(provider))
        assert STORED in await come_back(browser, await cluster.sent_to(browser, "shop", "calendar"))
        credential = cluster.credential("shop", "calendar")
        assert credential is not None
        assert b64decode(credential["data"]["access_token"]).decode() in {"at-1", _JWT}
        # One request: nothing had to be made good by a refresh.
        assert len(provider.requests) == 1


async def test_consent_is_not_lost_to_a_name_in_another_encoding_on_the_way_back() -> None:
    async with world() as cluster, HostileProvider(replies(200)) as provider, cluster.new_client() as browser:
        cluster.add("shop", "calendar", **endpoints(provider))
        asked = (await cluster.sent_to(browser, "shop", "calendar")).params
        url = f"{asked['redirect_uri']}?code=c-1&state={asked['state']}&user=J%e9r%f4me"
        assert STORED in (await browser.get(url, follow_redirects=True)).text


async def test_token_that_is_elsewhere_in_the_reply_is_told_with_the_field_and_the_grant_is_not_left_alive() -> None:
    nested = replies(200, b'{"code": 0, "data": %s}' % _GOOD)
    async with world() as cluster, HostileProvider(nested) as provider, cluster.new_client() as browser:
        cluster.add("shop", "calendar", **endpoints(provider), revocationURL=f"{provider.origin}/revoke")
        said = await come_back(browser, await cluster.sent_to(browser, "shop", "calendar"))
        assert "set spec.oauth2.tokenPath to data" in said
        assert provider.requests[-1].form["token"] == "rt-2"


async def test_error_under_the_name_that_a_service_has_for_it_is_told() -> None:
    async with world() as cluster, HostileProvider(replies(200)) as provider, cluster.new_client() as browser:
        cluster.add("shop", "calendar", **endpoints(provider))
        sent_to = await cluster.sent_to(browser, "shop", "calendar")
        said = await come_back(browser, sent_to, code=None, error_code="200", error_message="Permissions error <b>")
        assert "Permissions error &lt;b&gt;" in said
        assert provider.requests == []


# Token URLs of which the callback chooses one.


def in_data_centres(at_home: HostileProvider, abroad: HostileProvider) -> dict[str, Any]:
    entry = {"parameter": "accounts-server", "value": "https://accounts.example.eu", "url": abroad.url}
    return endpoints(at_home) | {
        "revocationURL": f"{at_home.origin}/revoke",
        "tokenURLs": [entry | {"revocationURL": f"{abroad.origin}/revoke"}],
    }


def endpoints_of(credential: dict[str, Any] | None) -> list[str]:
    assert credential is not None
    return [b64decode(credential["data"][f"{each}_endpoint"]).decode() for each in ("token", "revocation")]


async def test_code_goes_to_the_data_centre_that_the_callback_chooses_of_the_list_and_so_is_recorded() -> None:
    async with (
        world() as cluster,
        HostileProvider(replies(200)) as at_home,
        HostileProvider(replies(200)) as abroad,
        cluster.new_client() as browser,
    ):
        cluster.add("shop", "calendar", **in_data_centres(at_home, abroad))
        page = await browser.get(cluster.links["shop", "calendar"])
        assert f"{abroad.url} where accounts-server is https://accounts.example.eu" in page.text
        sent_to = await cluster.sent_to(browser, "shop", "calendar")
        assert STORED in await come_back(browser, sent_to, **{"accounts-server": "https://accounts.example.eu"})
        assert (len(at_home.requests), len(abroad.requests)) == (0, 1)
        assert endpoints_of(cluster.credential("shop", "calendar")) == [abroad.url, f"{abroad.origin}/revoke"]


@pytest.mark.parametrize(
    "named",
    [
        None,
        "",
        "https://accounts.example.eu/",
        "https://ACCOUNTS.example.eu",
        "accounts.example.eu",
        "{evil}",
        "https://accounts.example.eu@{evil}",
        "https://accounts.example.eu\n",
    ],
)
async def test_what_the_callback_names_is_never_followed_where_it_is_not_in_the_list(named: str | None) -> None:
    async with (
        world() as cluster,
        HostileProvider(replies(200)) as at_home,
        HostileProvider(replies(200)) as abroad,
        HostileProvider(replies(200)) as evil,
        cluster.new_client() as browser,
    ):
        cluster.add("shop", "calendar", **in_data_centres(at_home, abroad))
        sent_to = await cluster.sent_to(browser, "shop", "calendar")
        told = None if named is None else named.format(evil=evil.url)
        assert STORED in await come_back(browser, sent_to, **{"accounts-server": told})
        assert (len(at_home.requests), len(abroad.requests), len(evil.requests)) == (1, 0, 0)
        assert endpoints_of(cluster.credential("shop", "calendar")) == [at_home.url, f"{at_home.origin}/revoke"]


async def test_chosen_data_centre_that_the_client_secret_does_not_allow_is_told_before_the_code_is_spent() -> None:
    async with world() as cluster, HostileProvider(replies(200)) as at_home, cluster.new_client() as browser:
        entry = {"parameter": "dc", "value": "eu", "url": "https://accounts.example.eu/token"}
        cluster.add("shop", "calendar", **endpoints(at_home), tokenURLs=[entry])
        held = cluster.secrets["shop"].secrets["my-app"]
        held["metadata"]["annotations"] = {"datasource.dev/allowed-hosts": "127.0.0.1"}
        said = await come_back(browser, await cluster.sent_to(browser, "shop", "calendar"), dc="eu")
        assert "accounts.example.eu" in said
        assert at_home.requests == []
        assert cluster.credential("shop", "calendar") is None


# Whose answer it is.


@pytest.mark.parametrize("error", [None, "access_denied"])
async def test_answer_that_names_an_issuer_of_elsewhere_spends_nothing_where_the_spec_names_none(
    error: str | None,
) -> None:
    """The instance: iss of another server was accepted where no issuer is set."""
    async with world() as cluster, HostileProvider(replies(200)) as provider, cluster.new_client() as browser:
        cluster.add("shop", "calendar", **endpoints(provider))
        sent_to = await cluster.sent_to(browser, "shop", "calendar")
        code = "c-1" if error is None else None
        page = await come_back(browser, sent_to, iss="https://honest.example.com", code=code, error=error)
        assert "The answer comes from another service" in page
        assert "https://honest.example.com" in page
        assert "set spec.oauth2.issuer to it" in page
        assert "access_denied" not in page
        assert provider.requests == []
        assert cluster.credential("shop", "calendar") is None


async def test_answer_that_names_an_issuer_above_the_authorize_url_is_taken() -> None:
    async with world() as cluster, HostileProvider(replies(200)) as provider, cluster.new_client() as browser:
        cluster.add("shop", "calendar", **endpoints(provider))
        sent_to = await cluster.sent_to(browser, "shop", "calendar")
        assert STORED in await come_back(browser, sent_to, iss=f"{provider.origin}/a")


# Where the answer comes back to.


@pytest.mark.parametrize(
    ("asked_for", "path"), [(None, "/callback/shop"), ("PerDatasource", "/callback/shop/calendar")]
)
async def test_answer_is_taken_at_the_redirect_uri_that_was_asked_for_and_nowhere_else(
    asked_for: str | None, path: str
) -> None:
    async with world() as cluster, HostileProvider(replies(200)) as provider, cluster.new_client() as browser:
        cluster.add("shop", "calendar", redirectURI=asked_for, **endpoints(provider))
        page = await browser.get(cluster.links["shop", "calendar"])
        assert f"<code>{EXTERNAL}{path}</code>" in page.text.replace("<wbr>", "")
        sent_to = await cluster.sent_to(browser, "shop", "calendar")
        assert sent_to.params["redirect_uri"] == EXTERNAL + path
        elsewhere = {"/callback/shop", "/callback/shop/calendar", "/callback/shop/mail", "/callback/sales/calendar"}
        for other in elsewhere - {path}:
            moved = sent_to.copy_set_param("redirect_uri", EXTERNAL + other)
            assert "This authorization is unknown" in await come_back(browser, moved)
        assert provider.requests == []
        assert STORED in await come_back(browser, sent_to)
        assert provider.requests[-1].form["redirect_uri"] == EXTERNAL + path


async def test_scopes_that_a_person_left_out_are_told_though_only_the_callback_says_so() -> None:
    """Strava: its reply to the code names none."""
    async with world() as cluster, HostileProvider(replies(200)) as provider, cluster.new_client() as browser:
        asked: dict[str, Any] = {"scopes": ["read", "activity:read"], "scopeSeparator": ","}
        cluster.add("shop", "calendar", **endpoints(provider), **asked)
        page = await come_back(browser, await cluster.sent_to(browser, "shop", "calendar"), scope="read")
        assert STORED in page
        credential = cluster.credential("shop", "calendar")
        assert credential is not None
        assert credential["metadata"]["annotations"]["datasource.dev/granted-scopes"] == "read"


# What was promised once.


def promised(issuer: str, **promises: object) -> CredentialFacts:
    """A tombstone of a credential whose issuer promised something."""
    said = msgspec.convert({"issuer": issuer} | promises, ProviderMetadata)
    return CredentialFacts(credential_id="cred-1", fingerprint="fp", promised=said)


IS_OUT_OF_REACH: Behaviour = replies(503)


async def test_iss_that_was_promised_once_is_asked_for_while_the_metadata_is_out_of_reach() -> None:
    async with world() as cluster, HostileProvider(IS_OUT_OF_REACH) as provider, cluster.new_client() as browser:
        before = promised(provider.origin, authorization_response_iss_parameter_supported=True)
        options = endpoints(provider) | {"issuer": provider.origin, "pkce": "S256Unadvertised"}
        cluster.add("shop", "calendar", replaces=before, **options)
        page = await come_back(browser, await cluster.sent_to(browser, "shop", "calendar"))
        assert "promises to name itself" in page
        assert all(request.method == "GET" for request in provider.requests), "no code was spent"


POST_ALONE = {
    "token_endpoint_auth_methods_supported": ("client_secret_post",),
    "code_challenge_methods_supported": ("S256",),
}


@pytest.mark.parametrize(
    ("changes", "is_in_the_body"),
    [
        ({}, True),
        ({"clientAuthentication": "client_secret_basic"}, False),
        ({"issuer": "https://b.example.com"}, False),
    ],
    ids=["as it was told", "as it is written", "of another issuer"],
)
async def test_way_to_authenticate_that_was_told_once_holds_while_the_metadata_is_out_of_reach(
    changes: dict[str, str], is_in_the_body: bool
) -> None:
    """Basic, which is what nothing written means, would spend the code of a service that takes the body alone."""
    async with world() as cluster, HostileProvider(IS_OUT_OF_REACH) as provider, cluster.new_client() as browser:
        options = endpoints(provider) | {"issuer": provider.origin} | changes
        cluster.add("shop", "calendar", replaces=promised(provider.origin, **POST_ALONE), **options)
        await come_back(browser, await cluster.sent_to(browser, "shop", "calendar"))
        exchange = provider.requests[-1]
        assert exchange.method == "POST"
        assert ("client_secret" in exchange.form) is is_in_the_body
        assert ("authorization" in exchange.headers) is not is_in_the_body


async def test_promise_of_another_issuer_is_none() -> None:
    async with world() as cluster, HostileProvider(IS_OUT_OF_REACH) as provider, cluster.new_client() as browser:
        before = promised("https://earlier.example.com", authorization_response_iss_parameter_supported=True)
        cluster.add("shop", "calendar", replaces=before, **endpoints(provider), issuer=provider.origin)
        await come_back(browser, await cluster.sent_to(browser, "shop", "calendar"))
        assert provider.requests[-1].method == "POST", "the code went to the token endpoint"


async def test_request_that_had_to_be_pushed_is_not_sent_by_the_browser_while_the_metadata_is_out_of_reach() -> None:
    async with world() as cluster, HostileProvider(IS_OUT_OF_REACH) as provider, cluster.new_client() as browser:
        before = promised(
            provider.origin,
            require_pushed_authorization_requests=True,
            code_challenge_methods_supported=("S256",),
        )
        cluster.add("shop", "calendar", replaces=before, **endpoints(provider), issuer=provider.origin)
        page = await cluster.begin(browser, "shop", "calendar")
        assert page.status_code == 409
        assert "spec.oauth2.pushedAuthorizationURL" in page.text


async def test_pushed_request_that_is_refused_tells_the_operator() -> None:
    refuses = replies(400, b'{"error": "invalid_request", "error_description": "no such scope"}')
    async with world() as cluster, HostileProvider(refuses) as provider, cluster.new_client() as browser:
        cluster.add("shop", "calendar", pushedAuthorizationURL=provider.url, **endpoints(provider))
        page = await cluster.begin(browser, "shop", "calendar")
        (record,) = cluster.secrets["datasource-system"].secrets.values()
    assert "no such scope" in page.text
    told = failed_flow(msgspec.convert(record["metadata"], Metadata))
    assert told is not None
    assert "no such scope" in told.message


async def test_s256_that_was_not_promised_stays_so_while_the_metadata_is_out_of_reach() -> None:
    async with world() as cluster, HostileProvider(IS_OUT_OF_REACH) as provider, cluster.new_client() as browser:
        cluster.add(
            "shop", "calendar", replaces=promised(provider.origin), **endpoints(provider), issuer=provider.origin
        )
        page = await cluster.begin(browser, "shop", "calendar")
        assert page.status_code == 409
        assert "S256Unadvertised" in page.text


async def test_promises_are_kept_with_the_credential() -> None:
    async with world() as cluster, HostileProvider(replies(200)) as provider, cluster.new_client() as browser:
        document = {
            "issuer": provider.origin,
            "authorization_endpoint": f"{provider.origin}/a/authorize",
            "token_endpoint": provider.url,
            "code_challenge_methods_supported": ["plain", "S256"],
            "authorization_response_iss_parameter_supported": True,
        }
        provider.behaviours = (replies(200, json.dumps(document).encode()), replies(200))
        cluster.add("shop", "calendar", issuer=provider.origin, authorizeURL=None, tokenURL=None)
        sent_to = await cluster.sent_to(browser, "shop", "calendar")
        assert STORED in await come_back(browser, sent_to, iss=provider.origin)
        credential = cluster.credential("shop", "calendar")
        assert credential is not None
        assert json.loads(credential["metadata"]["annotations"]["datasource.dev/promised"]) == {
            "issuer": provider.origin,
            "authorization_response_iss_parameter_supported": True,
            "code_challenge_methods_supported": ["S256"],
        }


# Who waits for whom.


def with_few_places(cluster: World, reserved: int) -> World:
    """The same with a handful of places; to be called before a browser is made."""
    bulkhead = Bulkhead(in_all=8, per_namespace=2, reserved=reserved, longest_wait=0.3, longest_line=4)
    served = cluster.services
    cluster.services = dataclasses.replace(
        served,
        callback=dataclasses.replace(served.callback, bulkhead=bulkhead),
        dialog=dataclasses.replace(served.dialog, bulkhead=bulkhead),
    )
    return cluster


async def test_token_endpoints_that_hang_in_four_namespaces_keep_no_other_namespace_from_authorizing() -> None:
    """The instance: four namespaces of one tenant held all exchange places."""
    async with (
        world() as cluster,
        HostileProvider(stays_silent()) as silent,
        HostileProvider(replies(200)) as provider,
        with_few_places(cluster, reserved=4).new_client() as browser,
    ):
        cluster.add("shop", "calendar", **endpoints(provider))
        for tenant in ("t-1", "t-2", "t-3", "t-4"):
            for name in ("a", "b", "c"):
                cluster.add(tenant, name, **endpoints(silent))
        began = [(place, await cluster.sent_to(browser, *place)) for place in cluster.links if place[0] != "shop"]
        hanging = [asyncio.create_task(come_back(browser, sent_to)) for _, sent_to in began]
        async with asyncio.timeout(10):
            while len(silent.requests) < 6:  # noqa: ASYNC110 - the provider has no event for it
                await asyncio.sleep(0.01)
        page = await come_back(browser, await cluster.sent_to(browser, "shop", "calendar"))
        assert STORED in page
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_issuers_that_hang_keep_no_other_namespace_from_its_own() -> None:
    async with world() as cluster, HostileProvider(stays_silent()) as silent:
        lookups = Bulkhead(in_all=8, per_namespace=2, reserved=4, longest_wait=0.3, longest_line=4)
        observer = dataclasses.replace(cluster.services.dialog.observer, lookups=lookups)
        cluster.services = dataclasses.replace(
            cluster.services, dialog=dataclasses.replace(cluster.services.dialog, observer=observer)
        )
        for tenant in ("t-1", "t-2", "t-3"):
            for name in ("a", "b", "c"):
                cluster.add(tenant, name, **endpoints(silent), issuer=f"{silent.origin}/{tenant}/{name}")
        browser = cluster.new_client()
        hanging = [asyncio.create_task(browser.get(link)) for link in cluster.links.values()]
        with closed_port() as port:
            nobody = f"http://127.0.0.1:{port}"
            cluster.add("shop", "calendar", authorizeURL=f"{nobody}/a", tokenURL=f"{nobody}/t", issuer=nobody)
            await asyncio.sleep(0.1)
            answer = await browser.get(cluster.links["shop", "calendar"])
        assert answer.status_code == 200
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


@pytest.mark.parametrize(
    ("pressed", "prompt"),
    [
        pytest.param({}, None, id="the button"),
        pytest.param({"account": "other"}, "select_account", id="the one that asks for the account first"),
    ],
)
async def test_service_asks_for_the_account_where_the_person_wants_that(
    pressed: dict[str, str], prompt: str | None
) -> None:
    async with world() as cluster, cluster.new_client() as browser:
        cluster.add("shop", "calendar", provider="github")
        page = await browser.get(cluster.links["shop", "calendar"])
        (form,) = forms_in(page.text)
        sent = form.fields | pressed
        onward = await browser.post(EXTERNAL + form.action, data=sent, headers={"Sec-Fetch-Site": "same-origin"})
    assert httpx.URL(leads_on_to(onward.text) or "").params.get("prompt") == prompt


@pytest.mark.parametrize("depends_on_it", [True, False], ids=["it has the endpoints", "the spec has them"])
async def test_person_waits_for_a_slow_issuer_no_longer_than_before_any_page(depends_on_it: bool) -> None:
    """It is asked for on, once for all who wait; whether its answer is needed decides what the page says meanwhile."""
    async with world() as cluster, HostileProvider(stays_silent()) as silent:
        observer = dataclasses.replace(cluster.services.dialog.observer, patience=0.01)
        cluster.services = dataclasses.replace(
            cluster.services, dialog=dataclasses.replace(cluster.services.dialog, observer=observer)
        )
        written = {"authorizeURL": None, "tokenURL": None} if depends_on_it else endpoints(silent)
        cluster.add("shop", "calendar", **written, issuer=silent.origin)
        async with cluster.new_client() as browser:
            pages = [await browser.get(cluster.links["shop", "calendar"]) for _ in range(3)]
        assert len(silent.requests) <= 1
    if depends_on_it:
        assert {(page.status_code, page.headers["Refresh"]) for page in pages} == {(503, "5")}
        assert "The service has not answered yet" in pages[0].text
    else:
        assert {page.status_code for page in pages} == {200}


# A reply that is of no use.


async def test_consent_is_not_lost_by_an_access_token_that_cannot_be_used() -> None:
    replied = iter(
        [
            {"access_token": "at-1", "token_type": "mac", "refresh_token": "rt-1"},
            {"access_token": "at-2", "token_type": "Bearer", "refresh_token": "rt-2"},
        ]
    )

    async def behave(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        await replies(200, json.dumps(next(replied)).encode())(request, writer)

    async with world() as cluster, HostileProvider(behave) as provider, cluster.new_client() as browser:
        cluster.add("shop", "calendar", **endpoints(provider))
        assert STORED in await come_back(browser, await cluster.sent_to(browser, "shop", "calendar"))
        credential = cluster.credential("shop", "calendar")
        assert credential is not None
        data = {name: b64decode(value).decode() for name, value in credential["data"].items()}
        assert (data["access_token"], data["refresh_token"]) == ("at-2", "rt-2")


async def test_grant_whose_tokens_are_of_no_use_is_revoked_and_the_first_failure_is_told() -> None:
    useless = replies(200, b'{"access_token": "at-1", "token_type": "mac", "refresh_token": "rt-1"}')
    async with (
        world() as cluster,
        HostileProvider(useless) as provider,
        HostileProvider(replies(200, b"")) as revokes,
        cluster.new_client() as browser,
    ):
        cluster.add("shop", "calendar", revocationURL=revokes.url, **endpoints(provider))
        page = await come_back(browser, await cluster.sent_to(browser, "shop", "calendar"))
        assert "token_type is mac" in page
        assert "spec.oauth2.bearerTokenTypes" in page
        assert [request.form["token"] for request in revokes.requests] == ["rt-1"]
        assert cluster.credential("shop", "calendar") is None
        assert "rt-1" not in page
