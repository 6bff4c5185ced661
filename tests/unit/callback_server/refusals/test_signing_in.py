"""What keeps somebody from signing in, and what somebody who did may not do."""

import shlex
import subprocess

import pytest

from callback_server import refusals
from callback_server.refusals.signing_in import role_binding
from datasource.cluster.page_requests import NotAsked
from datasource.oauth2.kubernetes_user import Why

ODD = [
    "ada",
    "a b",
    "it's",
    "$(id)",
    "`id`",
    'a"b',
    "-n",
    "a;b",
    "a\\b",
    "https://login.example.com#ada",
    "NAME NAMESPACE",
]


@pytest.mark.parametrize("user", ODD)
def test_command_gives_that_user_the_right_and_nothing_else(user: str) -> None:
    command = role_binding(user, "authorize", "shop")
    assert command is not None
    words = shlex.split(command)
    assert words[:3] == ["kubectl", "create", "rolebinding"]
    assert words[4:] == ["--clusterrole=datasource-authorizer", f"--user={user}", "--namespace=shop"]
    # A real shell reads it the same.
    shell = ["/bin/sh", "-c", f"printf '%s\\n' {command}"]
    printed = subprocess.run(shell, capture_output=True, text=True, check=True).stdout  # noqa: S603 - that is the test
    assert printed.splitlines() == words


@pytest.mark.parametrize("user", ["jürgen", "a\nb", "a\x1bb", "x" * 300])
def test_name_that_nobody_should_copy_into_a_shell_makes_no_command(user: str) -> None:
    assert role_binding(user, "get", "shop") is None


@pytest.mark.parametrize(
    ("verb", "role"),
    [("get", "viewer"), ("list", "viewer"), ("authorize", "authorizer"), ("patch", "editor")],
)
def test_role_is_the_least_that_has_the_verb(verb: str, role: str) -> None:
    refused = refusals.not_allowed("ada", verb, "shop")
    assert refused.command is not None
    assert f"--clusterrole=datasource-{role} " in refused.command


def test_name_in_the_command_is_the_user_s_whatever_stands_in_it() -> None:
    refused = refusals.not_allowed("NAME", "get", "shop").about("sales", "calendar")
    assert refused.command is not None
    assert "--user=NAME " in refused.command


@pytest.mark.parametrize("why", Why)
def test_every_reason_has_words(why: Why) -> None:
    assert "groups" in refusals.sign_in_names_nobody(why, "groups").message


@pytest.mark.parametrize("why", NotAsked)
def test_everything_that_was_not_asked_has_words(why: NotAsked) -> None:
    assert "Nothing was changed" in refusals.nothing_to_ask(why).message


@pytest.mark.parametrize("user", ["ada", "a'da"])
def test_command_for_all_namespaces_names_none(user: str) -> None:
    refused = refusals.not_allowed_everywhere(user, "list")
    assert refused.command is not None
    assert refused.command.startswith("kubectl create clusterrolebinding datasource-viewer-")
    assert refused.command.endswith(f" --clusterrole=datasource-viewer --user={shlex.quote(user)}")
    assert refusals.not_allowed_everywhere("ü", "list").command is None
