"""What kubectl runs at <TAB>, answered as it wants to be answered."""

import sys

import pytest

from kubectl_datasource.cli import cli
from kubectl_datasource.completion import NO_FILE_NAMES, main
from tests.unit.kubectl_datasource.fake_cluster import Cluster, datasource, listing


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> "Complete":
    return Complete(monkeypatch, capsys)


class Complete:
    """Types words, the last one unfinished."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self._patch, self._capture = patch, capture

    def __call__(self, *words: str) -> list[str]:
        self._patch.setattr(sys, "argv", ["kubectl_complete-datasource", *words])
        main()
        *candidates, directive = self._capture.readouterr().out.splitlines()
        assert directive == f":{NO_FILE_NAMES}", "Cobra reads the last line; nobody completes files"
        return [each.partition("\t")[0] for each in candidates]


@pytest.mark.parametrize("words", [(), ("",)])
def test_commands_are_completed(complete: Complete, words: tuple[str, ...]) -> None:
    assert set(complete(*words)) == set(cli.commands)


def test_command_that_is_begun_is_completed(complete: Complete) -> None:
    assert complete("ex") == ["explain", "export"]


def test_options_are_completed_with_what_they_are_for(complete: Complete, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--no-browser" in complete("authorize", "--no")


def test_choices_of_an_option_are_completed(complete: Complete) -> None:
    assert complete("list", "-o", "") == ["wide", "json", "yaml", "name"]


def test_names_are_completed_from_the_cluster(complete: Complete, cluster: Cluster) -> None:
    cluster.says("get datasources.datasource.dev", listing(datasource(name="calendar"), datasource(name="mail")))
    assert complete("explain", "-n", "shop", "c") == ["calendar"]
    assert "--namespace=shop" in cluster.asked[0]


@pytest.mark.parametrize("words", [("nothing", ""), ("explain", "--nothing", ""), ("list", "--timeout", "x", "")])
def test_what_makes_no_sense_completes_without_a_complaint(
    complete: Complete, cluster: Cluster, words: tuple[str, ...]
) -> None:
    complete(*words)
