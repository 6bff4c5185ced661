"""An installation whose processes keep no journal works, and `doctor` says what that may cost."""

from dataclasses import replace

from kubectl_datasource.checks import Verdict
from kubectl_datasource.findings import Untold
from kubectl_datasource.journal_check import journals_are_kept
from tests.unit.kubectl_datasource.installed import SOUND, deployment


def test_journal_of_both_processes_is_in_order() -> None:
    (check,) = journals_are_kept(SOUND)
    assert check.verdict is Verdict.OK


def test_process_without_one_is_named_with_the_remedy() -> None:
    some = replace(SOUND, deployments=(deployment("operator"), deployment("callback-server", journal="")))
    (check,) = journals_are_kept(some)
    assert check.verdict is Verdict.WARNING
    assert check.detail.startswith("datasource-callback-server without DATASOURCE_JOURNAL")
    assert "journal.enabled" in check.remedy
    neither = replace(
        SOUND, deployments=(deployment("operator", journal=""), deployment("callback-server", journal=""))
    )
    (check,) = journals_are_kept(neither)
    assert check.detail.startswith("datasource-operator and datasource-callback-server without")


def test_nothing_is_said_of_what_cannot_be_seen() -> None:
    assert list(journals_are_kept(replace(SOUND, deployments=()))) == []
    assert list(journals_are_kept(replace(SOUND, deployments=Untold("forbidden")))) == []
