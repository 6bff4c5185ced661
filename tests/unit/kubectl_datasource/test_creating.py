"""The manifest that `create` prints is one that the operator takes; what is missing is asked for by its option."""

import json
import shlex
import subprocess
from typing import Any

import pytest
import yaml

from datasource.api.presets import PRESETS
from datasource.api.spec_problems import parse_spec
from kubectl_datasource.__main__ import run
from kubectl_datasource.advice import Target
from kubectl_datasource.creating import Wanted, manifest, next_steps, table, told
from kubectl_datasource.exits import Misused

HERE = Target(None)
"""Where the kubeconfig points."""


def wanted(**fields: Any) -> Wanted:
    return Wanted(**{"name": "calendar", "provider": "github", "client_id": "my-app"} | fields)


def test_manifest_says_no_more_than_was_asked_for() -> None:
    assert manifest(wanted(scopes=("repo", "read:org"), namespace="shop")) == {
        "apiVersion": "datasource.dev/v1alpha1",
        "kind": "Datasource",
        "metadata": {"name": "calendar", "namespace": "shop"},
        "spec": {
            "url": "https://api.github.com",
            "oauth2": {
                "provider": "github",
                "clientID": "my-app",
                "clientSecretRef": {"name": "calendar-client", "key": "client-secret"},
                "scopes": ["repo", "read:org"],
            },
        },
    }


def test_before_the_registration_the_client_id_may_be_left_out() -> None:
    before = wanted(client_id=None)
    oauth2 = parse_spec(manifest(before)["spec"], allow_insecure_http=False).oauth2
    assert oauth2 is not None
    assert oauth2.missing() == ("clientID",)
    assert any("{.status.redirectURI}" in line for line in next_steps(before, HERE))
    assert not any("{.status.redirectURI}" in line for line in next_steps(wanted(), HERE))


def test_public_client_has_no_secret_anywhere() -> None:
    public = wanted(public=True)
    assert "clientSecretRef" not in manifest(public)["spec"]["oauth2"]
    assert not any("create secret" in line for line in next_steps(public, HERE))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"provider": "keycloak", "url": "https://a.example.com"},
            "--issuer https://keycloak.example.com/realms/REALM",
        ),
        ({"provider": "shopify", "url": "https://a.example.com"}, "--authorize-url https://SHOP.myshopify.com"),
        ({"provider": "keycloak"}, "--url"),
        ({"provider": "example"}, "github"),
        ({"provider": None, "url": "https://a.example.com"}, "--provider"),
        ({"public": True, "client_secret": "app"}, "--public"),
        (
            {
                "provider": None,
                "url": "https://a.example.com",
                "endpoints": {"tokenURL": "https://a.example.com/token"},
            },
            "--authorize-url",
        ),
    ],
)
def test_what_is_missing_is_asked_for_by_its_option(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(Misused) as caught:
        manifest(wanted(**fields))
    assert says in caught.value.remedy


@pytest.mark.parametrize("field", ["authorizeURL", "tokenURL"])
@pytest.mark.parametrize("provider", ["shopify", None])
def test_endpoint_that_the_operator_would_refuse_makes_no_manifest(field: str, provider: str | None) -> None:
    endpoints = {"authorizeURL": "https://a.example.com/authorize", "tokenURL": "https://a.example.com/token"}
    bad = {"authorizeURL": "?code_challenge=x", "tokenURL": "?client_secret=s3cret"}[field]
    with pytest.raises(Misused) as caught:
        manifest(
            wanted(
                provider=provider,
                url="https://a.example.com",
                endpoints=endpoints | {field: endpoints[field] + bad},
            )
        )
    assert "in its query" in caught.value.what


def test_without_a_preset_an_issuer_is_enough() -> None:
    made = manifest(wanted(provider=None, url="https://a.example.com", endpoints={"issuer": "https://b.example.com"}))
    oauth2 = parse_spec(made["spec"], allow_insecure_http=False).oauth2
    assert oauth2 is not None
    assert oauth2.missing() == ()


def test_command_for_the_secret_stores_it_without_a_newline_and_off_the_command_line() -> None:
    (line,) = [line for line in next_steps(wanted(), HERE) if "create secret" in line]
    # kubectl is another program here, which shows what reaches it; read takes the secret from stdin in the place of a terminal.
    script = 'kubectl() { echo "$@"; od -c -An; }\n' + line
    done = subprocess.run(["bash", "-c", script], input="s3 c'ret\\\n", capture_output=True, text=True, check=True)  # noqa: S603, S607
    first, rest = done.stdout.split("\n", 1)
    assert first == "create secret generic calendar-client --from-file=client-secret=/dev/stdin"
    assert "".join(rest.split()) == "s3c'ret\\"


def test_commands_go_to_the_cluster_and_the_namespace_that_were_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["--context", "a 'cluster'", "--kubeconfig", "/home/ada/my config", "-n", "shop"]
    assert run(["create", "calendar", "--provider", "github", *chosen]) == 0
    commands = [line for line in capsys.readouterr().err.splitlines() if "kubectl" in line]
    assert len(commands) == 3, "the redirect URI, the Secret, the credential"
    for line in commands:
        words = shlex.split(line)
        assert {"-n", "shop", "--context=a 'cluster'", "--kubeconfig=/home/ada/my config"} <= set(words), line


def test_manifest_goes_to_stdout_and_the_rest_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(["create", "calendar", "--provider", "github", "--client-id", "my-app", "--scope", "a,b", "--scope", "c"])
        == 0
    )
    printed = capsys.readouterr()
    assert yaml.safe_load(printed.out) == manifest(wanted(scopes=("a,b", "c")))
    assert "kubectl datasource authorize calendar" in printed.err


ODD = ("1.0", "yes", "null", "a:b", "-x", "#", "'", "{x}", "~", "0x1f", "2026-01-01", "*a", "&a", "!a", "%a", "@a")
"""What YAML could take for something else."""


@pytest.mark.parametrize("odd", ODD)
def test_whatever_is_written_comes_back_as_it_was(odd: str, capsys: pytest.CaptureFixture[str]) -> None:
    client_id = f'{odd}: "{odd}" # {odd}'
    assert run(["create", "calendar", "--provider", "github", f"--client-id={client_id}", f"--scope={odd}"]) == 0
    oauth2 = yaml.safe_load(capsys.readouterr().out)["spec"]["oauth2"]
    assert (oauth2["clientID"], oauth2["scopes"]) == (client_id, [odd])


@pytest.mark.parametrize(
    ("option", "text"),
    [
        *(
            (option, text)
            for option in ("--client-id", "--scope", "--url", "--issuer", "--authorize-url", "--token-url")
            for text in ("", " ", "\t\n", "\u3000")
        ),
        *(
            (option, text)
            for option in ("--url", "--issuer", "--authorize-url", "--token-url")
            for text in ("example.com", "https://", "ftp://x", "https://a b")
        ),
        ("--issuer", "https://login.example.com?tenant=1"),
        ("--issuer", "https://login.example.com?"),
        ("--client-id", "my-app "),
        ("--client-id", "my\u200bapp"),
        ("--scope", "read write"),
        ("--scope", 'a"b'),
        ("--client-secret-name", ""),
        ("--client-secret-name", "calendar-token"),
        ("--client-secret-name", "sales-oauth2-credential"),
        ("--client-secret-name", "a..b"),
    ],
)
def test_option_that_the_api_server_would_not_take_is_named_and_nothing_is_printed(
    option: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two wrong options the first is told; the others here are right."""
    given = {"--provider": "github", "--client-id": "my-app", "--scope": "read"} | {option: text}
    assert run(["create", "calendar", *(f"{key}={value}" for key, value in given.items())]) == 2
    printed = capsys.readouterr()
    assert option in printed.err
    assert printed.out == ""


@pytest.mark.parametrize("name", ["a" * 201, "sales-oauth2-credential", "a..b", "a.-b"])
def test_name_that_the_api_server_would_not_take_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["create", name, "--provider", "github"]) == 2
    assert "NAME" in capsys.readouterr().err


def test_unknown_provider_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["create", "calendar", "--provider", "nobody"]) == 2
    assert run(["providers", "nobody"]) == 2
    assert "not a known provider" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "meant"), [("gitub", "github"), ("Google", "google"), ("azure-devop", "azure-devops")]
)
def test_provider_that_was_mistyped_is_answered_with_the_one_that_is_meant(
    typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["providers", typed]) == 2
    assert f"Did you mean {meant}? Use one of " in capsys.readouterr().err


@pytest.mark.parametrize("name", PRESETS)
def test_all_that_is_known_of_a_provider_is_told(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = "\n".join(told(name))
    preset = PRESETS[name]
    assert all(each in text for each in (preset.title, preset.register, preset.source, *preset.scopes, *preset.notes))
    assert run(["providers", name, "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["source"] == preset.source


def test_list_has_a_line_for_each_provider(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(table()) == len(PRESETS) + 1
    assert run(["providers"]) == 0
    assert all(f"\n{name} " in capsys.readouterr().out for name in ["github"])
    assert run(["providers", "-o", "json"]) == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)["items"]] == list(PRESETS)
