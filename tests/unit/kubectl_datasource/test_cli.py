"""What somebody types, and what of it reaches kubectl."""

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kubectl_datasource.cli import cli
from kubectl_datasource.options import NAME
from tests.unit.kubectl_datasource.fake_cluster import Cluster, datasource, listing, plugin

GET = "get datasources.datasource.dev"


@pytest.mark.parametrize("name", ["--all", "-A", "", "a b", "A", "a_b", "x" * 254, ".a", "a-", "$(id)", "a/b", "ü"])
def test_what_is_no_name_never_reaches_kubectl(name: str, cluster: Cluster) -> None:
    for command in (["explain"], ["clear", "--yes"], ["refresh"], ["authorize"]):
        assert plugin(*command, "--", name) == 2
    assert plugin("list", "--namespace", name) == 2
    assert cluster.asked == []


def test_what_is_no_name_is_answered_with_what_names_have(capsys: pytest.CaptureFixture[str]) -> None:
    assert plugin("status", "My_Calendar") == 2
    assert (
        "'My_Calendar' cannot be a name. Names have small letters, digits, hyphens and dots." in capsys.readouterr().err
    )


@pytest.mark.parametrize("name", ["a", "0", "a.b-c", "x" * 253])
def test_what_could_be_a_name_is_one(name: str) -> None:
    assert NAME.convert(name, None, None) == name


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ([], []),
        (["-n", "shop"], ["--namespace=shop"]),
        (["--namespace=shop", "--context", "a b"], ["--namespace=shop", "--context=a b"]),
        (["-A", "-n", "shop", "--kubeconfig", "/k"], ["--all-namespaces", "--kubeconfig=/k"]),
    ],
)
def test_cluster_and_namespace_are_chosen_as_with_kubectl(
    options: list[str], flags: list[str], cluster: Cluster
) -> None:
    cluster.says(GET, listing())
    assert plugin("list", *options) == 0
    (asked,) = cluster.asked
    assert all(flag in asked for flag in flags)
    assert ("--namespace=" in asked) is ("--namespace=shop" in flags)


def test_look_before_an_installation_sends_no_test_of_its_operator(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plugin("check", "--pre", "--test-notification") == 2
    assert "Leave one of the two out." in capsys.readouterr().err
    assert cluster.asked == []


def test_doctor_looks_at_all_namespaces_unless_one_is_named(cluster: Cluster) -> None:
    cluster.refuses("version", "The connection to the server was refused")
    for options, scope in (([], "--all-namespaces"), (["-n", "shop"], "--namespace=shop")):
        plugin("doctor", *options)
        assert cluster.asked
        assert scope in f"{cluster.asked[-1]} --all-namespaces" if not options else True


@pytest.mark.parametrize("name", cli.commands)
def test_every_option_says_what_it_is_for(name: str) -> None:
    options = [each for each in cli.commands[name].params if isinstance(each, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", cli.commands)
def test_the_list_of_commands_says_of_each_what_it_works_on_and_cuts_none_off(name: str) -> None:
    (line,) = re.findall(rf"^  {name} +(.+)$", CliRunner(env={"COLUMNS": "80"}).invoke(cli).output, re.MULTILINE)
    assert not line.endswith("...")
    noun = re.search(r"Datasources?\b|credential|installation|preset|refresh token|versions|script", line)
    assert noun is not None
    # What "it" is has to be said before.
    assert re.search(r"\b(?:it|its|them|they|one(?! Datasource))\b", line[: noun.end()]) is None


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("name", [None, *cli.commands])
def test_help_needs_no_cluster(name: str | None, option: str, cluster: Cluster) -> None:
    ended = CliRunner().invoke(cli, [*([] if name is None else [name]), option])
    assert ended.exit_code == 0
    assert "Usage:" in ended.output
    assert cluster.asked == []


def test_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert version("kubectl-datasource") in CliRunner().invoke(cli, ["--version"]).output


# Completion of names.


def completed(incomplete: str, *, command: str = "clear", **given: object) -> list[str]:
    with click.Context(cli.commands[command]) as context:
        context.params = dict(given)
        argument = next(each for each in cli.commands[command].params if isinstance(each, click.Argument))
        return [each.value for each in NAME.shell_complete(context, argument, incomplete)]


def test_names_are_completed_from_the_namespace_that_was_typed(cluster: Cluster) -> None:
    cluster.says(GET, listing(*(datasource(name=name) for name in ("calendar", "contacts", "mail"))))
    assert completed("c", namespace="shop") == ["calendar", "contacts"]
    assert "--namespace=shop" in cluster.asked[0]


def test_name_that_was_typed_already_is_not_offered_again(cluster: Cluster) -> None:
    cluster.says(GET, listing(*(datasource(name=name) for name in ("calendar", "contacts"))))
    assert completed("", names=("calendar",)) == ["contacts"]


def test_cluster_that_does_not_answer_completes_nothing_and_says_nothing(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.refuses(GET, "The connection to the server was refused")
    assert completed("") == []
    assert capsys.readouterr() == ("", "")


# The page about it.


def test_the_page_lists_every_command_and_none_that_is_not_there() -> None:
    page = (Path(__file__).parents[3] / "docs" / "plugin.md").read_text()
    rows = [shlex.split(line) for line in re.findall(r"^\| `kubectl datasource ([^`]+)` \|", page, re.MULTILINE)]
    assert {row[0] for row in rows} == set(cli.commands)
    for command, *words in rows:
        options = {option for each in cli.commands[command].params for option in each.opts}
        assert {word for word in words if word.startswith("-")} <= options
