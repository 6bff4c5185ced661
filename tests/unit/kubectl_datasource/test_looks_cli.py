"""The commands that look: every help text has examples, and descriptions that are not cut off."""

import re

import click
import pytest
from click.testing import CliRunner

from kubectl_datasource.cli import cli
from kubectl_datasource.looks_cli import COMMANDS

LONGEST = 60
"""Characters of a description in the list of commands, so that a terminal of 80 columns shows it whole."""


@pytest.mark.parametrize("name", cli.commands)
def test_every_help_text_has_an_example_and_a_short_description(name: str) -> None:
    ended = CliRunner().invoke(cli, [name, "--help"])
    assert re.search(r"Examples:\n +(# .*\n +)?(kubectl datasource|source <)", ended.output)
    assert len(cli.commands[name].get_short_help_str(limit=200)) <= LONGEST


def test_the_list_of_commands_is_not_cut_off() -> None:
    shown = CliRunner().invoke(cli, ["--help"], terminal_width=80).output.splitlines()
    assert [line for line in shown if line.startswith("  ") and "..." in line] == []


def test_every_command_that_looks_is_one_of_the_plugin() -> None:
    assert {each.name for each in COMMANDS} <= set(cli.commands)


@pytest.mark.parametrize("command", [each for each in COMMANDS if each.name != "list"], ids=lambda each: str(each.name))
def test_each_of_them_takes_a_name_and_the_options_of_kubectl(command: click.Command) -> None:
    options = {option for each in command.params for option in each.opts}
    assert {"--context", "--namespace", "--as", "--cluster", "--user", "--request-timeout"} <= options
    assert [each for each in command.params if isinstance(each, click.Argument)]
