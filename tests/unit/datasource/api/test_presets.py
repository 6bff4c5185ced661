"""Presets are options that a user could write; and each service's quirk, imitated, goes through the real client."""

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
import yaml

from datasource.api.presets import PRESETS, REDIRECT_URI, Rotation, scopes_included
from datasource.api.spec import InvalidSpec, OAuth2, Pkce
from datasource.api.spec_problems import parse_spec
from datasource.oauth2.authorize import authorization_parameters, front_url
from datasource.oauth2.errors import (
    InvalidClient,
    InvalidGrant,
    MalformedTokenResponse,
    OAuth2Error,
    TemporarilyRefused,
)
from datasource.oauth2.scopes import scopes_not_granted
from datasource.oauth2.token_request import authorization_code_request, refresh_request
from datasource.oauth2.token_response import TokenResponse
from datasource.providers.discovery import Discovery
from datasource.providers.exchange import request_token
from datasource.providers.metadata_lookup import look_up_metadata
from datasource.providers.transport import Transport
from datasource.records.client_secret import ClientSecret
from datasource.records.credential import CredentialFacts
from datasource.records.effective import (
    Effective,
    client_for,
    code_options,
    effective_oauth2,
    refresh_options,
    reply_options,
)
from deploy.local.cache import REPOSITORY
from kubectl_datasource.creating import example
from tests.support.hostile_provider import ON_LOOPBACK, Behaviour, HostileProvider, ReceivedRequest, replies
from tests.unit.datasource.builders import raw_spec

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
FORM = "application/x-www-form-urlencoded"

NAMES = sorted(PRESETS)
WITH_AN_ISSUER_OF_ONES_OWN = {"microsoft-entra", "keycloak", "okta", "auth0", "azure-devops"}
WITH_URLS_OF_ONES_OWN = {"shopify"}


def written(name: str, **fields: Any) -> OAuth2:
    """What somebody writes who uses a preset."""
    raw = raw_spec(authorizeURL=None, tokenURL=None) | {}
    raw["oauth2"] |= {"provider": name, "scopes": ["read"], **fields}
    oauth2 = parse_spec(raw, allow_insecure_http=False, egress=ON_LOOPBACK).oauth2
    assert oauth2 is not None
    return oauth2


def test_presets_are_those_that_the_schema_knows() -> None:
    crd = yaml.load((REPOSITORY / "crds" / "datasource.yaml").read_text(), yaml.CSafeLoader)
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert spec["properties"]["oauth2"]["properties"]["provider"]["enum"] == list(PRESETS)


def test_names_of_the_first_version_are_still_presets() -> None:
    first = {
        "github",
        "gitlab",
        "google",
        "microsoft-entra",
        "atlassian",
        "salesforce",
        "slack",
        "keycloak",
        "okta",
        "auth0",
    }
    assert first <= set(PRESETS)
    assert len(PRESETS) >= 30


@pytest.mark.parametrize("name", NAMES)
def test_preset_says_where_it_is_from_and_that_it_was_not_tried(name: str) -> None:
    preset = PRESETS[name]
    assert preset.source.startswith("https://")
    assert date(2026, 1, 1) <= preset.date <= datetime.now(UTC).date()
    assert preset.tried is False


@pytest.mark.parametrize("name", NAMES)
def test_preset_tells_how_to_register_an_application(name: str) -> None:
    preset = PRESETS[name]
    assert preset.register.startswith("https://")
    assert sum(REDIRECT_URI in step for step in preset.steps) == 1
    for text in (*preset.steps, *preset.notes, *filter(None, [preset.consent_ends])):
        assert text.endswith("."), text
        assert len(text.split()) <= 25, text


@pytest.mark.parametrize("name", NAMES)
def test_example_of_a_preset_lacks_nothing_and_is_valid(name: str) -> None:
    raw = example(name)["spec"]
    oauth2 = parse_spec(raw, allow_insecure_http=False).oauth2
    assert oauth2 is not None
    assert oauth2.missing() == ()
    assert oauth2.provider == name


@pytest.mark.parametrize("name", NAMES)
def test_preset_is_made_of_options_that_a_user_could_write(name: str) -> None:
    known = {field.encode_name for field in msgspec.structs.fields(OAuth2)}
    options = PRESETS[name].options
    assert set(options) <= known - {"clientID", "clientSecretRef", "privateKeyRef", "provider"}
    # Written out, the same options make the same parameters.
    spelled_out = written(name, **options)
    assert spelled_out.expanded() == written(name).expanded()


@pytest.mark.parametrize(
    "name", [name for name in NAMES if re.match("[0-9]+ days", PRESETS[name].refresh_lifetime or "")]
)
def test_end_of_a_grant_that_a_preset_tells_in_words_is_in_its_options(name: str) -> None:
    """Whoever reads docs/providers.md, and whoever waits for GrantExpiring, are told the same."""
    if name == "docusign":
        # Whether a refresh moves that depends on the scopes.
        return
    days = int((PRESETS[name].refresh_lifetime or "").split()[0])
    options = PRESETS[name].options
    field = "grantLifetime" if "from the consent on" in (PRESETS[name].refresh_lifetime or "") else "grantIdleLifetime"
    assert options.get(field) == f"{24 * days}h"


def test_scopes_that_services_leave_out_are_not_told_as_missing() -> None:
    """GitHub keeps of what was asked for only what nothing else includes, and so do others."""
    oauth2 = written("github", scopes=["repo", "public_repo", "admin:org", "read:org", "user", "user:email", "gist"])
    granted = ("repo", "admin:org", "user")
    assert scopes_not_granted(oauth2.scopes, granted, scopes_included("github")) == ("gist",)
    assert scopes_not_granted(["read_orders", "write_orders"], ["write_orders"], scopes_included("shopify")) == ()
    assert scopes_not_granted(["repository", "issue"], ["pullrequest:write"], scopes_included("bitbucket")) == (
        "issue",
    )
    assert scopes_included("google") == scopes_included("example") == scopes_included(None) == {}


@pytest.mark.parametrize("name", NAMES)
def test_preset_leaves_nothing_to_write_but_what_registration_tells(name: str) -> None:
    left = {"issuer"} if name in WITH_AN_ISSUER_OF_ONES_OWN else set()
    left |= {"authorizeURL", "tokenURL"} if name in WITH_URLS_OF_ONES_OWN else set()
    assert set(written(name).missing()) == left == set(PRESETS[name].asks_for)
    assert written(name, issuer="https://login.example.com").missing() == ()


def test_what_is_written_wins() -> None:
    whole = written(
        "google",
        tokenURL="https://proxy.example.com/token",
        authorizeParameters={"prompt": "select_account", "hd": "example.com"},
        clientAuthentication="client_secret_post",
    ).expanded()
    assert whole.token_url == "https://proxy.example.com/token"
    assert whole.authorize_url == "https://accounts.google.com/o/oauth2/v2/auth"
    assert whole.authorize_parameters == {"access_type": "offline", "prompt": "select_account", "hd": "example.com"}


def test_pkce_none_that_is_written_wins_over_the_preset() -> None:
    assert written("microsoft-entra", pkce="none").expanded().pkce is Pkce.NONE


def test_preset_for_a_client_secret_does_not_contradict_another_client() -> None:
    assert written("github", clientSecretRef=None).effective_client_authentication() == "none"
    key = {"clientSecretRef": None, "privateKeyRef": {"name": "signing"}}
    assert written("microsoft-entra", **key).effective_client_authentication() == "private_key_jwt"
    assert written("github").effective_client_authentication() == "client_secret_post"


def test_preset_that_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidSpec, match="is not a known preset") as caught:
        written("example")
    assert "github" in str(caught.value)


# Imitations.


class Service:
    """One service on loopback, spoken to with a preset, as both processes do."""

    def __init__(self, name: str, provider: HostileProvider, transport: Transport, **fields: Any) -> None:
        self.provider = provider
        self.transport = transport
        if PRESETS[name].options.get("tokenURL") is not None:
            # Where the preset has URLs, those of the imitation are written instead; otherwise its issuer is.
            fields = {"authorizeURL": f"{provider.origin}/authorize", "tokenURL": provider.url, "issuer": None} | fields
        else:
            fields = {"issuer": provider.origin} | fields
        self.oauth2 = written(name, **{key: value for key, value in fields.items() if value is not None})

    async def effective(self) -> Effective:
        discovery = Discovery(self.transport, lambda: 0.0)
        try:
            metadata = await look_up_metadata(discovery, self.oauth2, tenant="apps")
        finally:
            self.provider.requests = [each for each in self.provider.requests if each.method == "POST"]
        return effective_oauth2(self.oauth2, metadata)

    async def authorize_query(self) -> dict[str, str]:
        holds = await self.effective()
        parameters = holds.parameters
        audience = {"audience": parameters.audience} if parameters.audience else {}
        pairs = authorization_parameters(
            client_id=holds.client_id,
            redirect_uri="https://connect.example.com/callback/shop",
            state="st-1",
            scopes=parameters.scopes,
            scope_separator=parameters.scope_separator or " ",
            extra=parameters.authorize_parameters | audience,
        )
        return dict(parse_qsl(urlsplit(front_url(holds.authorize_url, pairs)).query))

    async def exchange(self) -> TokenResponse:
        holds = await self.effective()
        request = authorization_code_request(
            holds.token_url,
            self._client(holds),
            code="c-1",
            redirect_uri="https://connect.example.com/callback/shop",
            code_verifier="v-1",
            options=code_options(holds.parameters),
        )
        options = reply_options(holds.parameters)
        return await request_token(self.transport, request, tenant="apps", now=lambda: NOW, options=options)

    async def refresh(self) -> TokenResponse:
        holds = await self.effective()
        request = refresh_request(
            holds.token_url, self._client(holds), refresh_token="rt-1", options=refresh_options(holds.parameters)
        )
        options = reply_options(holds.parameters, refreshed=CredentialFacts("c"))
        return await request_token(self.transport, request, tenant="apps", now=lambda: NOW, options=options)

    def _client(self, holds: Effective) -> Any:
        return client_for(
            holds.parameters,
            ClientSecret("my-app", "s3cret"),
            token_endpoint=holds.token_url,
            now=NOW,
            token_bytes=lambda count: b"r" * count,
        )


def says(**members: Any) -> Behaviour:
    return replies(200, json.dumps(members).encode())


def by_method(document: Any, *posts: Behaviour) -> Behaviour:
    """A document for GET, where it stands in the place of OpenID Connect Discovery; behaviours for POST, one after another."""
    left = list(posts)

    async def behave(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        if request.method == "GET":
            origin = f"http://{request.headers['host']}"
            found = {
                "issuer": origin,
                "authorization_endpoint": f"{origin}/authorize",
                "token_endpoint": f"{origin}/token",
            }
            await says(**(found | document))(request, writer)
        else:
            await (left.pop(0) if len(left) > 1 else left[0])(request, writer)

    return behave


GOOD = {"access_token": "at-1", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "rt-1", "scope": "read"}


async def test_github_errors_come_with_200_and_names_of_its_own() -> None:
    refused = replies(
        200, b"error=bad_refresh_token&error_description=The+refresh+token+passed+is+incorrect", content_type=FORM
    )
    async with HostileProvider(refused) as provider, Transport(ON_LOOPBACK) as transport:
        with pytest.raises(InvalidGrant, match="bad_refresh_token"):
            await Service("github", provider, transport).refresh()
    rejected = says(error="incorrect_client_credentials")
    async with HostileProvider(rejected) as provider, Transport(ON_LOOPBACK) as transport:
        with pytest.raises(InvalidClient):
            await Service("github", provider, transport).exchange()


async def test_github_answers_in_a_form_unless_json_is_asked_for_and_both_are_read() -> None:
    form = replies(200, b"access_token=gho_1&scope=repo%2Cgist&token_type=bearer", content_type=FORM)
    async with HostileProvider(form) as provider, Transport(ON_LOOPBACK) as transport:
        response = await Service("github", provider, transport).exchange()
    (request,) = provider.requests
    assert (response.access_token, response.expires_at, response.refresh_token) == ("gho_1", None, None)
    assert response.scopes == ("repo", "gist")
    assert request.headers["accept"] == "application/json"
    assert (request.form["client_id"], request.form["client_secret"]) == ("my-app", "s3cret")


async def test_google_is_asked_for_offline_access_with_consent_and_keeps_its_refresh_token() -> None:
    async with HostileProvider(says(access_token="ya29", token_type="Bearer", expires_in=3599)) as provider:
        async with Transport(ON_LOOPBACK) as transport:
            service = Service("google", provider, transport)
            query = await service.authorize_query()
            response = await service.refresh()
    assert (query["access_type"], query["prompt"]) == ("offline", "consent")
    # None: the old one goes on to hold.
    assert response.refresh_token is None


async def test_atlassian_wants_an_audience_json_bodies_and_rotates() -> None:
    rotated = says(
        access_token="at-2", token_type="Bearer", expires_in=3600, refresh_token="rt-2", scope="read:jira-work"
    )
    async with HostileProvider(rotated) as provider, Transport(ON_LOOPBACK) as transport:
        service = Service("atlassian", provider, transport)
        query = await service.authorize_query()
        response = await service.refresh()
    (request,) = provider.requests
    assert (query["audience"], query["prompt"]) == ("api.atlassian.com", "consent")
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == {
        "grant_type": "refresh_token",
        "refresh_token": "rt-1",
        "client_id": "my-app",
        "client_secret": "s3cret",
    }
    assert response.refresh_token == "rt-2"


SLACK_BOT = {
    "ok": True,
    "access_token": "xoxb-1",
    "token_type": "bot",
    "scope": "chat:write,channels:read",
    "team": {"id": "T1"},
    "authed_user": {
        "id": "U1",
        "scope": "search:read",
        "access_token": "xoxp-1",
        "token_type": "user",
        "expires_in": 43200,
    },
}


async def test_slack_joins_scopes_with_commas_and_calls_its_tokens_bot() -> None:
    async with HostileProvider(says(**SLACK_BOT)) as provider, Transport(ON_LOOPBACK) as transport:
        service = Service(
            "slack",
            provider,
            transport,
            scopes=["chat:write", "channels:read"],
            capturedFields={"tokenResponse": ["team.id"]},
        )
        query = await service.authorize_query()
        response = await service.exchange()
    assert query["scope"] == "chat:write,channels:read"
    assert (response.access_token, response.token_type) == ("xoxb-1", "Bearer")
    assert response.scopes == ("chat:write", "channels:read")
    assert response.captured == {"team.id": "T1"}


async def test_slack_token_of_a_person_is_found_by_its_path_and_refreshed_without_it() -> None:
    flat = says(ok=True, access_token="xoxp-2", token_type="user", refresh_token="xoxe-2", expires_in=43200)
    async with HostileProvider(says(**SLACK_BOT), flat) as provider, Transport(ON_LOOPBACK) as transport:
        service = Service("slack", provider, transport, tokenPath="authed_user")
        first, second = await service.exchange(), await service.refresh()
    assert (first.access_token, first.scopes) == ("xoxp-1", ("search:read",))
    assert first.expires_at == NOW + timedelta(hours=12)
    assert second.access_token == "xoxp-2"


async def test_slack_reply_without_the_person_is_never_taken_for_theirs() -> None:
    bot_only = {key: value for key, value in SLACK_BOT.items() if key != "authed_user"}
    async with HostileProvider(says(**bot_only)) as provider, Transport(ON_LOOPBACK) as transport:
        with pytest.raises(MalformedTokenResponse, match="authed_user"):
            await Service("slack", provider, transport, tokenPath="authed_user").exchange()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("invalid_refresh_token", InvalidGrant),
        ("code_already_used", InvalidGrant),
        ("bad_client_secret", InvalidClient),
    ],
)
async def test_slack_errors_come_with_200(error: str, expected: type[OAuth2Error]) -> None:
    async with HostileProvider(says(ok=False, error=error)) as provider, Transport(ON_LOOPBACK) as transport:
        with pytest.raises(expected):
            await Service("slack", provider, transport).refresh()


async def test_salesforce_tells_its_instance_and_no_lifetime() -> None:
    reply = says(
        access_token="00D!1",
        token_type="Bearer",
        issued_at="1782907200000",
        instance_url="https://shop.my.salesforce.com",
        id="https://login.salesforce.com/id/1/2",
    )
    # Its metadata does not say that it takes S256.
    async with HostileProvider(by_method({}, reply)) as provider, Transport(ON_LOOPBACK) as transport:
        response = await Service("salesforce", provider, transport).exchange()
    assert response.captured == {"instance_url": "https://shop.my.salesforce.com"}
    assert response.expires_at == NOW + timedelta(hours=1)


async def test_entra_takes_s256_that_its_metadata_does_not_list() -> None:
    async with HostileProvider(by_method({}, says(**GOOD))) as provider, Transport(ON_LOOPBACK) as transport:
        response = await Service("microsoft-entra", provider, transport).exchange()
    assert response.access_token == "at-1"
    assert provider.requests[0].form["code_verifier"] == "v-1"


async def test_entra_metadata_of_every_tenant_is_refused() -> None:
    document = {"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"}
    async with HostileProvider(by_method(document, says(**GOOD))) as provider, Transport(ON_LOOPBACK) as transport:
        with pytest.raises(InvalidSpec, match="tenantid"):
            await Service("microsoft-entra", provider, transport).effective()


def _reply(name: str, number: int) -> dict[str, Any]:
    """What the service answers the code, then a refresh, by what presets.toml says of it."""
    preset = PRESETS[name]
    options = preset.options
    reply: dict[str, Any] = {"access_token": f"at-{number}", "token_type": "Bearer"}
    if options.get("missingTokenTypeAllowed"):
        del reply["token_type"]
    if preset.access_token[0].isdigit():
        reply["expires_in"] = 3600
    if preset.refresh_token is Rotation.ROTATES or (number == 1 and preset.refresh_token is not Rotation.NONE):
        reply["refresh_token"] = f"rt-{number}"
    separator = options.get("scopeSeparator", " ")
    if preset.scopes:
        reply["scope"] = separator.join(preset.scopes)
    for path in options.get("capturedFields", {}).get("tokenResponse", ()):
        reply[path] = f"the {path}"
    return reply


def _authenticates(request: ReceivedRequest, options: dict[str, Any]) -> bool:
    """Whether the client secret came where the preset says that the service wants it, and nowhere else."""
    body = json.loads(request.body) if options.get("bodyFormat") == "json" else request.form
    in_header = request.headers.get("authorization", "").startswith("Basic ")
    in_body = body.get("client_secret") == "s3cret"
    posts = options.get("clientAuthentication") == "client_secret_post"
    return (in_header, in_body) == (not posts, posts)


@pytest.mark.parametrize("name", NAMES)
async def test_whole_flow_goes_through_a_service_that_behaves_as_the_preset_says(name: str) -> None:
    preset = PRESETS[name]
    options = preset.options
    # Only metadata of a service with an issuer of its own is looked at, and Entra's does not list S256.
    document = {} if options.get("pkce") == "S256Unadvertised" else {"code_challenge_methods_supported": ["S256"]}
    behaviour = by_method(document, says(**_reply(name, 1)), says(**_reply(name, 2)))
    async with HostileProvider(behaviour) as provider, Transport(ON_LOOPBACK) as transport:
        elsewhere = {"refreshURL": f"{provider.origin}/refresh"} if "refreshURL" in options else {}
        fields: dict[str, Any] = {"scopes": list(preset.scopes)} | elsewhere
        if name in WITH_URLS_OF_ONES_OWN:
            fields |= {"authorizeURL": f"{provider.origin}/authorize", "tokenURL": provider.url, "issuer": None}
        service = Service(name, provider, transport, **fields)
        query = await service.authorize_query()
        first, second = await service.exchange(), await service.refresh()
    assert query.get("scope", "") == options.get("scopeSeparator", " ").join(preset.scopes)
    assert options.get("authorizeParameters", {}).items() <= query.items()
    assert all(_authenticates(request, options) for request in provider.requests)
    assert (first.access_token, second.access_token) == ("at-1", "at-2")
    assert (first.refresh_token is None) == (preset.refresh_token is Rotation.NONE)
    assert second.refresh_token == ("rt-2" if preset.refresh_token is Rotation.ROTATES else None)
    assert first.scopes == (preset.scopes or first.scopes)
    if preset.access_token[0].isdigit():
        assert first.expires_at == NOW + timedelta(hours=1)
    assert first.captured == {
        path: f"the {path}" for path in options.get("capturedFields", {}).get("tokenResponse", ())
    }


@pytest.mark.parametrize("name", ["gitlab", "keycloak", "okta", "auth0"])
async def test_service_with_metadata_is_found_by_its_issuer(name: str) -> None:
    document = {"code_challenge_methods_supported": ["S256"]}
    async with HostileProvider(by_method(document, says(**GOOD))) as provider, Transport(ON_LOOPBACK) as transport:
        service = Service(name, provider, transport)
        holds = await service.effective()
        first, second = await service.exchange(), await service.refresh()
    assert (holds.authorize_url, holds.token_url) == (f"{provider.origin}/authorize", provider.url)
    assert (first.access_token, second.access_token) == ("at-1", "at-1")
    assert all(request.headers["authorization"].startswith("Basic ") for request in provider.requests)


async def test_auth0_is_asked_for_an_audience_where_one_is_written() -> None:
    document = {"code_challenge_methods_supported": ["S256"]}
    async with HostileProvider(by_method(document, says(**GOOD))) as provider, Transport(ON_LOOPBACK) as transport:
        query = await Service("auth0", provider, transport, audience="https://api.example.com").authorize_query()
    assert query["audience"] == "https://api.example.com"


MEANS = {"invalidGrant": InvalidGrant, "invalidClient": InvalidClient, "temporary": TemporarilyRefused}
AS_WRITTEN = {"invalid_grant": InvalidGrant, "invalid_client": InvalidClient}


def _errors() -> Iterator[Any]:
    """Each error that a preset knows: the status and the reply that it comes with, and what it means."""
    for name in NAMES:
        for error, meaning in PRESETS[name].options.get("errorCodes", {}).items():
            yield pytest.param(name, 200, {"ok": False, "error": error}, AS_WRITTEN[meaning], id=f"{name} {error}")
        for rule in PRESETS[name].options.get("errorRules", ()):
            reply = _at(rule.get("path", "error").split("."), rule.get("error", "x"))
            reply |= {"error_description": f"Dear client, {rule['description']}!"} if "description" in rule else {}
            yield pytest.param(name, rule.get("status", 400), reply, MEANS[rule["means"]], id=f"{name} {rule}")


def _at(path: list[str], value: str) -> dict[str, Any]:
    """A reply in which that stands there; `errors` is a list at whoever has it."""
    first, *rest = path
    inner = _at(rest, value) if rest else value
    return {first: [inner] if first == "errors" else inner}


@pytest.mark.parametrize(("name", "status", "reply", "expected"), list(_errors()))
async def test_error_that_a_preset_knows_means_what_it_says(
    name: str, status: int, reply: dict[str, Any], expected: type[OAuth2Error]
) -> None:
    document = (
        {}
        if PRESETS[name].options.get("pkce") == "S256Unadvertised"
        else {"code_challenge_methods_supported": ["S256"]}
    )
    refused = by_method(document, replies(status, json.dumps(reply).encode()))
    async with HostileProvider(refused) as provider, Transport(ON_LOOPBACK) as transport:
        service = Service(name, provider, transport)
        for ask in (service.exchange, service.refresh):
            with pytest.raises(OAuth2Error) as caught:
                await ask()
            assert type(caught.value) is expected


@pytest.mark.parametrize("name", NAMES)
def test_endpoints_of_a_preset_are_https_and_carry_nothing(name: str) -> None:
    options = PRESETS[name].options
    urls = [value for key, value in options.items() if key.endswith("URL") or key == "issuer"]
    urls += [
        value for each in options.get("tokenURLs", ()) for key, value in each.items() if key.endswith(("url", "URL"))
    ]
    urls += filter(None, [PRESETS[name].url])
    for url in [*urls, PRESETS[name].source, PRESETS[name].register]:
        parts = urlsplit(url)
        assert (parts.scheme, parts.username) == ("https", None), url
        assert not parts.query or url not in urls, url
        assert parts.hostname is not None, url
        assert "." in parts.hostname, url


@pytest.mark.parametrize("name", NAMES)
def test_what_a_preset_says_of_scopes_is_about_scopes_that_can_be_asked_for(name: str) -> None:
    preset = PRESETS[name]
    said = {
        *preset.scope_texts,
        *preset.scope_includes,
        *(each for more in preset.scope_includes.values() for each in more),
    }
    raw = raw_spec() | {}
    raw["oauth2"]["scopes"] = sorted(said)
    assert parse_spec(raw, allow_insecure_http=False).oauth2 is not None
    assert all(re.fullmatch(r"[!#-\[\]-~]{1,256}", scope) for scope in said | set(preset.scopes))
    separator = preset.options.get("scopeSeparator", " ")
    assert not [scope for scope in said | set(preset.scopes) if separator in scope]


@pytest.mark.parametrize("name", [name for name in NAMES if PRESETS[name].access_token.startswith("does not expire")])
def test_token_that_does_not_expire_has_no_lifetime_in_the_preset(name: str) -> None:
    options = PRESETS[name].options
    assert not options.keys() & {"defaultLifetime", "maxLifetime", "grantIdleLifetime"}
