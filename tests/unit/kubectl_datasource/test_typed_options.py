"""What was typed is looked at before a manifest is made of it: each complaint names the option, and what to type instead."""

import pytest
import yaml

from datasource.api.names import CREDENTIAL_SUFFIX
from deploy.local.cache import REPOSITORY
from kubectl_datasource.creating import OPTIONS
from kubectl_datasource.exits import Misused
from kubectl_datasource.typed_options import (
    LONGEST_CLIENT_ID,
    LONGEST_NAME,
    LONGEST_SCOPE,
    LONGEST_URL,
    MOST_SCOPES,
    look_at_client_id,
    look_at_names,
    look_at_query,
    look_at_scopes,
    look_at_urls,
)

CLIENT_IDS = {
    "": "empty",
    " \t": "empty",
    "app\n": "new line",
    " app": "space",
    "äpp": "no client ID has",
    "a\x00b": "no client ID has",
    "a" * 1025: "1024",
}
SCOPES: dict[tuple[str, ...], str] = {
    ("",): "--scope is empty",
    ("read", "\u00a0"): "--scope is empty",
    ("read write  admin",): "--scope read --scope write --scope admin",
    ("read\n",): "no scope has",
    ("a\\b",): "no scope has",
    ("é",): "no scope has",
    ("a" * 257,): "256",
    ("read", "write", "read"): "--scope read is there twice",
    tuple(f"s{number}" for number in range(101)): "more than 100",
}
URLS = {
    "": "--url is empty",
    " ": "--url is empty",
    "api.example.com": "absolute",
    "https://": "absolute",
    "https://ada:secret@api.example.com": "user name",
    "https://api.example.com/#top": "fragment",
    "https://api.example.com/a b": "absolute",
    "https://api.example.com/\u202e": "absolute",
    f"https://api.example.com/{'a' * 2048}": "2048",
}
NAMES = [
    ("a" * 201, None, "NAME"),
    (f"a{CREDENTIAL_SUFFIX}", None, "NAME"),
    ("calendar", f"a{CREDENTIAL_SUFFIX}", "--client-secret-name"),
    ("calendar", "calendar-token", "--client-secret-name"),
]


def told(caught: pytest.ExceptionInfo[Misused]) -> str:
    assert caught.value.remedy
    return f"{caught.value.what} {caught.value.remedy}"


@pytest.mark.parametrize(("text", "says"), CLIENT_IDS.items())
def test_client_id_that_cannot_be_one_is_refused(text: str, says: str) -> None:
    with pytest.raises(Misused) as caught:
        look_at_client_id(text)
    assert "--client-id" in told(caught)
    assert says in told(caught)


@pytest.mark.parametrize(("scopes", "says"), SCOPES.items())
def test_scopes_that_cannot_be_asked_for_are_refused(scopes: tuple[str, ...], says: str) -> None:
    with pytest.raises(Misused) as caught:
        look_at_scopes(scopes)
    assert says in told(caught)


@pytest.mark.parametrize(("url", "says"), URLS.items())
def test_url_that_no_request_can_go_to_is_refused(url: str, says: str) -> None:
    with pytest.raises(Misused) as caught:
        look_at_urls({"--issuer": "https://login.example.com", "--url": url})
    assert says in told(caught)
    assert "secret" not in told(caught)


def test_issuer_with_a_query_is_refused() -> None:
    with pytest.raises(Misused) as caught:
        look_at_urls({"--issuer": "https://login.example.com/?"})
    assert "--issuer has a query" in told(caught)


@pytest.mark.parametrize(
    ("field", "query", "says"),
    [
        ("authorizeURL", "state=1", "sets state in its query"),
        ("authorizeURL", "prompt=consent&redirect_uri=https://a.example.com", "sets redirect_uri in its query"),
        ("authorizeURL", "%63lient_id=a", "sets client_id in its query"),
        ("authorizeURL", "nonce", "sets nonce in its query"),
        ("tokenURL", "v=1&client_secret=s3cret", "sets client_secret in its query"),
        ("tokenURL", "refresh%5ftoken=s3cret", "sets refresh_token in its query"),
    ],
)
def test_query_that_sets_what_the_flow_sets_is_refused_by_its_option(field: str, query: str, says: str) -> None:
    with pytest.raises(Misused) as caught:
        look_at_query(OPTIONS[field], f"https://login.example.com/a?{query}", field)
    assert f"{OPTIONS[field]} {says}" in told(caught)
    assert "s3cret" not in told(caught)


@pytest.mark.parametrize(("name", "client_secret", "says"), NAMES)
def test_names_that_the_operator_needs_itself_are_refused(name: str, client_secret: str | None, says: str) -> None:
    with pytest.raises(Misused) as caught:
        look_at_names(name, client_secret)
    assert says in told(caught)


def test_bounds_are_those_of_the_schema() -> None:
    crd = yaml.load((REPOSITORY / "crds" / "datasource.yaml").read_text(), yaml.CSafeLoader)
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec = schema["properties"]["spec"]["properties"]
    oauth2 = spec["oauth2"]["properties"]
    assert oauth2["clientID"]["maxLength"] == LONGEST_CLIENT_ID
    assert (oauth2["scopes"]["maxItems"], oauth2["scopes"]["items"]["maxLength"]) == (MOST_SCOPES, LONGEST_SCOPE)
    urls = [spec["url"], *(oauth2[field] for field in OPTIONS)]
    assert {each["maxLength"] for each in urls} == {LONGEST_URL}
    assert f"size(self.metadata.name) <= {LONGEST_NAME}" in {
        each["rule"] for each in schema["x-kubernetes-validations"]
    }


def test_what_the_api_server_takes_passes() -> None:
    look_at_names("a" * 200, "my-app")
    look_at_names("calendar", None)
    look_at_client_id("a" * 1024)
    look_at_client_id("app 2 (test)")
    look_at_scopes(("https://www.googleapis.com/auth/calendar.readonly", "a,b", "a" * 256))
    look_at_scopes(tuple(f"s{number}" for number in range(100)))
    look_at_urls(
        {"--authorize-url": "https://a.example.com/?prompt=consent", "--token-url": "https://a.example.com/?v=1"}
    )
    look_at_query("--authorize-url", "https://a.example.com/?prompt=consent&audience=x", "authorizeURL")
    look_at_query("--token-url", "https://a.example.com/?state=1", "tokenURL")
    look_at_urls({"--url": "http://api.example.com:8080/v3?x=1", "--issuer": "https://[::1]/realms/a"})
