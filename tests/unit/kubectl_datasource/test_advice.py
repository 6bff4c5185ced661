"""Commands that people copy: run by a real shell, they reach kubectl as the words that were meant."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from kubectl_datasource.advice import Case, ClientSecret, creating, editing, fields_in, replacing
from tests.unit.kubectl_datasource.builders import OAUTH2, datasource

CONTEXT = "a cluster; $(touch broken) 'of mine'"
WEIRD = 'it\'s a "key"; $(id) `id` \\'


@pytest.fixture
def shell(tmp_path: Path) -> "Shell":
    """A real shell in which kubectl notes its words, and its stdin where it is to read any."""
    return Shell(tmp_path)


class Shell:
    """Runs a line, and tells what kubectl was called with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # A file for each run: of two that are piped, the words would mix.
        noting = 'for word; do printf "%s\\0" "$word"; done > "$0.words.$$"'
        reading = 'case "$*" in *"/dev/stdin"*|*"-f -"*) cat;; esac >> "$0.stdin"'
        script = folder / "kubectl"
        script.write_text(f"#!/bin/sh\n{noting}\n{reading}\n")
        script.chmod(0o700)

    def run(self, line: str, typed: str = "") -> list[list[str]]:
        """The words of each run of kubectl, in no order where they are piped."""
        bash = shutil.which("bash")
        assert bash is not None
        environ = {"PATH": f"{self.folder}:/usr/bin:/bin"}
        subprocess.run(  # noqa: S603
            [bash, "-eu", "-c", line], input=typed, text=True, check=True, env=environ, cwd=self.folder
        )
        return [path.read_text().split("\0")[:-1] for path in self.folder.glob("kubectl.words.*")]

    @property
    def stdin(self) -> str:
        """What kubectl read."""
        return (self.folder / "kubectl.stdin").read_text()


def case(**changes: object) -> Case:
    return Case(datasource(**changes), (f"--context={CONTEXT}",))  # type: ignore[arg-type]


def test_every_word_arrives_whole_and_nothing_is_run(shell: Shell) -> None:
    (words,) = shell.run(case().kubectl("get", "secret", WEIRD))
    assert words == ["get", "secret", WEIRD, "-n", "shop", f"--context={CONTEXT}"]
    assert not (shell.folder / "broken").exists()


def test_commands_of_the_plugin_name_the_datasource(shell: Shell) -> None:
    (words,) = shell.run(case().plugin("authorize", "--new"))
    assert words == ["datasource", "authorize", "calendar", "--new", "-n", "shop", f"--context={CONTEXT}"]


def test_patch_arrives_as_json(shell: Shell) -> None:
    patch = {"oauth2": {"clientID": WEIRD, "scopes": ["a", "b"]}, "suspend": False}
    (words,) = shell.run(case().patch(patch))
    assert json.loads(words[words.index("-p") + 1]) == {"spec": patch}
    assert "--type=merge" in words


@pytest.mark.parametrize("typed", ["s3cret", "with spaces  ", "back\\slash", "'quotes\"", "-n", "%s"])
def test_client_secret_goes_from_the_keyboard_to_kubectl_and_into_no_argument(shell: Shell, typed: str) -> None:
    ref = ClientSecret("clientSecretRef", "my-app", "client-secret")
    (words,) = shell.run(creating(case().target, ref).line, typed=f"{typed}\n")
    assert words[:5] == ["create", "secret", "generic", "my-app", "--from-file=client-secret=/dev/stdin"]
    assert shell.stdin == typed.strip() if typed != "back\\slash" else shell.stdin == typed
    assert typed == "-n" or not [word for word in words if typed in word]


def test_private_key_is_read_from_a_file_and_nobody_is_asked() -> None:
    ref = ClientSecret("privateKeyRef", "my-key", "private-key")
    command = creating(case().target, ref)
    assert "--from-file=private-key=PRIVATE_KEY.pem" in command.line
    assert "read" not in command.line
    assert "name the file" in command.purpose


def test_key_is_replaced_beside_the_others_that_a_secret_has(shell: Shell) -> None:
    """By server-side apply: whoever owns other keys keeps them."""
    ref = ClientSecret("clientSecretRef", "my-app", WEIRD)
    calls = shell.run(replacing(case().target, ref).line, typed="s3cret\n")
    (make,) = [words for words in calls if "create" in words]
    (apply,) = [words for words in calls if "apply" in words]
    assert {"--dry-run=client", f"--from-file={WEIRD}=/dev/stdin"} <= set(make)
    assert {"--server-side", "-f", "-"} <= set(apply)
    assert all(words[-1] == f"--context={CONTEXT}" for words in calls), "both of the same cluster"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, ClientSecret("clientSecretRef", "my-app", "client-secret"), id="by its usual key"),
        pytest.param(
            {"clientSecretRef": {"name": "a", "key": "k"}}, ClientSecret("clientSecretRef", "a", "k"), id="by its own"
        ),
        pytest.param(
            {"clientSecretRef": None, "privateKeyRef": {"name": "p"}},
            ClientSecret("privateKeyRef", "p", "private-key"),
            id="a private key",
        ),
        pytest.param({"clientSecretRef": None}, None, id="a public client"),
    ],
)
def test_what_a_client_proves_itself_with(changes: dict[str, object], expected: ClientSecret | None) -> None:
    given = {name: value for name, value in (OAUTH2 | changes).items() if value is not None}
    assert case(oauth2=given).client_secret == expected


def test_datasource_without_parameters_has_no_client() -> None:
    assert case(oauth2=None).client_secret is None
    assert case(oauth2=None).oauth2.client_id is None


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("Not set yet: spec.oauth2.tokenURL, spec.oauth2.clientID.", ("spec.oauth2.tokenURL", "spec.oauth2.clientID")),
        ("spec.oauth2.scopes[0] is empty. See spec.oauth2.scopes[0].", ("spec.oauth2.scopes[0]",)),
        ("spec.tokenSecret.template.data[a.b/c] is long.", ("spec.tokenSecret.template.data[a.b/c]",)),
        ("The special thing in the spec is wrong.", ()),
        ("", ()),
    ],
)
def test_fields_of_a_message_are_named_once_each(message: str, fields: tuple[str, ...]) -> None:
    assert fields_in(case(message=message)) == fields


def test_datasource_is_edited_where_it_is(shell: Shell) -> None:
    (command,) = editing(case())
    assert shell.run(command.line) == [["edit", "dsrc", "calendar", "-n", "shop", f"--context={CONTEXT}"]]
