"""I/O: `doctor`, and `check` before an installation: survey, judge, print one line a check."""

from dataclasses import replace

from kubectl_datasource.checks import Check, Verdict, line, summary, worst
from kubectl_datasource.doctor import examine
from kubectl_datasource.exits import Exit, Misused
from kubectl_datasource.kubectl import Kubectl
from kubectl_datasource.preflight import examine_before
from kubectl_datasource.screen import Screen
from kubectl_datasource.survey import sent_test, survey, survey_before
from kubectl_datasource.versions import plugin_version
from kubectl_datasource.words import Cell, printable

_STYLES = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAILED: "red", Verdict.UNKNOWN: "dim"}


def doctor(
    kubectl: Kubectl,
    system_namespace: str,
    external_url: str | None,
    output: str | None,
    *,
    pre: bool,
    test_notification: bool = False,
) -> Exit:
    """Check the installation, or with `pre` the cluster that it is meant for.

    Raises:
        Misused: both were asked for, a look before the installation and a message of its operator.
    """
    if pre and test_notification:
        raise Misused(
            "--pre looks at a cluster without an operator, which could send no test.", "Leave one of the two out."
        )
    screen = Screen.of_process()
    with screen.progress() as show:
        if pre:
            checks = examine_before(survey_before(kubectl, system_namespace, plugin_version(), show))
        else:
            found = survey(kubectl, system_namespace, plugin_version(), external_url, show)
            if test_notification:
                show("sending a test message to the receiver of notifications")
                found = replace(found, test_message=sent_test(kubectl, found))
            checks = examine(found)
    if output == "json":
        listed = [
            {"name": each.name, "verdict": each.verdict, "detail": each.detail, "remedy": each.remedy}
            for each in checks
        ]
        screen.show_json({"verdict": worst(checks), "checks": listed})
    else:
        _print(screen, checks)
    return Exit.NOT_AS_WANTED if worst(checks) is Verdict.FAILED else Exit.FINE


def _print(screen: Screen, checks: list[Check]) -> None:
    for each in checks:
        mark = Cell(f"{each.verdict.upper():<8}", _STYLES[each.verdict])
        screen.show((mark, Cell(printable(line(f"{each.name}: {each.detail}")))))
        if each.remedy:
            screen.show(f"        {printable(each.remedy)}")
    screen.show("", summary(checks))
