"""The commands that look, from the options to the exit code, on a cluster that says what it is told to."""

import json
from base64 import b64encode
from typing import Any

import pytest
import yaml

from kubectl_datasource.looks import CONDITIONS, PROCESSES
from tests.unit.kubectl_datasource.fake_cluster import Cluster, datasource, listing, plugin

GET = "get datasources.datasource.dev"
GONE = 'Error from server (NotFound): datasources.datasource.dev "calendar" not found'
FORBIDDEN = "Error from server (Forbidden): it is forbidden"


def out(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


# list


def test_list_says_the_same_in_every_form(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.says(GET, listing(datasource(name="mail"), datasource(name="calendar")))
    assert plugin("list", "-o", "yaml") == 0
    assert [each["name"] for each in yaml.safe_load(out(capsys))["items"]] == ["calendar", "mail"]
    assert plugin("list", "-o", "name") == 0
    assert out(capsys).splitlines() == ["datasource.datasource.dev/calendar", "datasource.datasource.dev/mail"]


def test_kubectl_chooses_and_sorts(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.says(GET, listing(datasource(name="mail"), datasource(name="calendar")))
    assert plugin("list", "-l", "team=a", "--sort-by", ".status.expiresAt", "-o", "name") == 0
    assert "--selector=team=a --sort-by=.status.expiresAt" in cluster.asked[0]
    assert out(capsys).splitlines()[0].endswith("/mail"), "in the order in which kubectl has them"


def test_names_choose_datasources(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.says(f"{GET} calendar mail", listing(datasource(name="mail"), datasource(name="calendar")))
    cluster.says(f"{GET} calendar", datasource())
    assert plugin("list", "calendar", "-o", "name") == 0
    assert plugin("list", "calendar", "mail", "-o", "name") == 0
    assert len(out(capsys).splitlines()) == 3
    assert plugin("list", "calendar", "calendar", "-o", "name") == 0
    assert len(out(capsys).splitlines()) == 1, "once each"
    assert plugin("list", "calendar", "-A") == 2
    assert plugin("list", "calendar", "-l", "a=b") == 2


def test_a_watch_has_a_line_for_each_change(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    changes = [("ADDED", "NOT AUTHORIZED"), ("BOOKMARK", "x"), ("MODIFIED", "AUTHORIZED"), ("DELETED", "AUTHORIZED")]
    told = [{"type": kind, "object": datasource(state)} for kind, state in changes]
    cluster.says("--watch", "".join(f"{json.dumps(each, indent=4)}\n" for each in told))
    assert plugin("list", "-w") == 0
    lines = out(capsys).splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "calendar", "calendar", "calendar"]
    assert "NOT AUTHORIZED" in lines[1]
    assert lines[3].endswith("deleted")
    assert plugin("list", "-w", "-o", "name") == 0
    assert plugin("list", "-w", "-o", "yaml") == 2
    assert plugin("list", "-w", "calendar", "calendar") == 0


def test_a_watch_of_several_names_is_wrong_usage(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """kubectl cannot do it, and says so only once it has looked them up."""
    assert plugin("list", "-w", "calendar", "mail") == 2
    assert cluster.asked == []
    assert capsys.readouterr().err.splitlines() == [
        "-w watches one Datasource, or all of them.",
        "Leave the names out, or choose by labels with -l.",
    ]


# status, explain, events


def test_status_is_a_screen_or_an_object(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.says(GET, datasource(authorizedAs="ada"))
    assert plugin("status", "calendar") == 0
    assert "What to do next" in out(capsys)
    for output, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        assert plugin("status", "calendar", "-o", output) == 0
        assert read(out(capsys))["authorizedAs"] == "ada"
    assert plugin("status", "calendar", "-o", "name") == 0
    assert out(capsys) == "datasource.datasource.dev/calendar\n"


def test_status_of_what_needs_somebody_is_not_fine(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.says(GET, datasource("NOT AUTHORIZED", "AuthorizationRequired"))
    assert plugin("status", "calendar") == 1
    assert "kubectl datasource authorize calendar" in out(capsys)


def test_explain_is_yaml_too(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.says(GET, datasource())
    cluster.refuses("get events", FORBIDDEN)
    assert plugin("explain", "calendar", "-o", "yaml") == 0
    assert yaml.safe_load(out(capsys))["events"] is None


def test_events_come_latest_last_and_none_are_said_to_be_none(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.says(GET, datasource())
    late, early = (
        {"reason": f"R{hour}", "type": "Warning", "message": "m", "eventTime": f"2026-07-01T{hour}:00:00Z"}
        for hour in (11, 10)
    )
    cluster.says("get events", listing(late, early), once=True)
    assert plugin("events", "calendar") == 0
    shown = out(capsys)
    assert shown.index("R10") < shown.index("R11")
    cluster.says("get events", listing())
    assert plugin("events", "calendar") == 0
    assert "There are no Events" in capsys.readouterr().err
    assert plugin("events", "calendar", "-o", "json") == 0
    assert json.loads(out(capsys)) == {"items": []}


def test_history_is_a_table_or_a_list(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    entry = {"id": "1", "time": "2026-07-01T11:00:00Z", "what": "Refresh", "by": "ada", "result": "Succeeded"}
    cluster.says(GET, datasource(history=[entry]))
    assert plugin("history", "calendar") == 0
    assert "refresh   ada   Succeeded" in out(capsys)
    for output, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        assert plugin("history", "calendar", "-o", output) == 0
        assert read(out(capsys)) == {"items": [entry]}
    assert plugin("status", "calendar") == 0
    assert "History" in out(capsys)


def test_history_of_what_nobody_touched_says_so(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.says(GET, datasource())
    assert plugin("history", "calendar") == 0
    assert "Nothing was done yet" in capsys.readouterr().err
    assert plugin("history", "calendar", "-o", "json") == 0
    assert json.loads(out(capsys)) == {"items": []}


# tree, inspect


def test_tree_shows_what_is_there_and_what_is_not(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    seen = datasource()
    seen["spec"]["oauth2"]["clientSecretRef"] = {"name": "my-app"}
    cluster.says(GET, seen)
    cluster.says("get secret calendar-token", "secret/calendar-token\n")
    cluster.says("get secret my-app", "")
    cluster.refuses("get secret calendar-oauth2-credential", FORBIDDEN)
    mounts = {"metadata": {"name": "app-1"}, "spec": {"volumes": [{"secret": {"secretName": "calendar-token"}}]}}
    cluster.says("get pods", listing(mounts))
    assert plugin("tree", "calendar") == 0
    shown = out(capsys)
    for part in ("calendar-token (the token, for apps): there", "Pod app-1 uses it", "the client secret): missing"):
        assert part in shown
    assert "the credential): you may not see it" in shown
    assert plugin("tree", "calendar", "-o", "json") == 0
    assert json.loads(out(capsys))["pods"] == ["app-1"]


def test_tree_of_somebody_who_may_not_list_pods_says_so(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.says(GET, datasource())
    cluster.refuses("get pods", FORBIDDEN)
    assert plugin("tree", "calendar") == 0
    assert "you may not list pods" in out(capsys)


@pytest.mark.parametrize("output", [[], ["-o", "json"], ["-o", "yaml"]])
def test_inspect_never_prints_a_value(output: list[str], cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    value = b64encode(b"at-very-secret").decode()
    secret = {
        "metadata": {"name": "calendar-token"},
        "type": "datasource.dev/oauth2-token",
        "data": {"access_token": value},
    }
    cluster.says(GET, datasource())
    cluster.says("get secrets", listing(secret))
    assert plugin("inspect", "calendar", *output) == 0
    told = "".join(capsys.readouterr())
    assert "access_token" in told
    assert "14" in told
    assert "at-very-secret" not in told
    assert value not in told


# logs


def test_logs_are_those_of_one_datasource_from_both_processes(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = {"datasource": "shop/calendar", "event": "stored", "level": "info"}
    lines = [f"[pod/{pod}-1/x] {json.dumps(ours)}\n" for pod in ("datasource-operator", "datasource-callback-server")]
    other = f"[pod/datasource-operator-1/x] {json.dumps(ours | {'datasource': 'shop/mail'})}\n"
    cluster.says(GET, datasource())
    cluster.says("logs", "".join([*lines, other]))
    assert plugin("logs", "calendar", "--since", "10m", "-f") == 0
    shown = out(capsys).splitlines()
    assert [line.split()[0] for line in shown] == ["datasource-operator-1", "datasource-callback-server-1"]
    asked = cluster.asked[-1]
    for part in ("--since=600s", "--follow", f"--selector={PROCESSES}", "--namespace=datasource-system"):
        assert part in asked


def test_nothing_logged_and_no_right_are_told_apart(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.says(GET, datasource())
    cluster.says("logs", "", once=True)
    assert plugin("logs", "calendar") == 0
    assert "Nothing was logged of shop/calendar" in capsys.readouterr().err
    cluster.refuses("logs", FORBIDDEN)
    assert plugin("logs", "calendar") == 1
    assert "for administrators" in capsys.readouterr().err


# suspend, resume, wait


@pytest.mark.parametrize(
    ("command", "value", "says"), [("suspend", "true", "is suspended"), ("resume", "false", "is no longer suspended")]
)
def test_switches_patch_the_spec_and_wait_until_it_is_seen(
    command: str, value: str, says: str, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.says("patch", datasource())
    cluster.says(GET, datasource())
    assert plugin(command, "calendar", "calendar") == 0
    assert f"calendar {says}. It is AUTHORIZED (Authorized)." in out(capsys)
    (patched,) = [line for line in cluster.asked if line.startswith("patch")]
    assert f'{{"spec": {{"suspend": {value}}}}}' in patched
    assert plugin(command, "mail", "--no-wait") == 0


def test_what_one_runs_into_does_not_keep_the_others_from_it(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.refuses("patch datasources.datasource.dev calendar", GONE)
    cluster.says("patch", datasource(name="mail"))
    assert plugin("suspend", "calendar", "mail", "--no-wait", "-o", "json") == 1
    assert [each["exitCode"] for each in json.loads(out(capsys))["items"]] == [1, 0]


def test_wait_ends_when_it_is_as_wanted(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.says(GET, datasource("NOT AUTHORIZED", "AuthorizationRequired"), once=True)
    cluster.says(GET, datasource())
    assert plugin("wait", "calendar", "--for", "authorized", "--timeout", "10s") == 0
    assert "shop/calendar is AUTHORIZED" in out(capsys)


def test_wait_gives_up_with_a_code_of_its_own(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.says(GET, datasource("NOT AUTHORIZED", "AuthorizationRequired", generation=1))
    assert plugin("wait", "calendar", "--timeout", "0") == 4
    assert "waiting until shop/calendar is ready" in capsys.readouterr().err


def test_what_is_gone_is_what_was_waited_for(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.refuses(GET, GONE)
    assert plugin("wait", "calendar", "--for", "deleted") == 0
    assert plugin("wait", "calendar") == 1
    assert "ready" in CONDITIONS


def test_what_one_may_not_see_is_not_called_gone(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.refuses(GET, 'Error from server (Forbidden): datasources "calendar" is forbidden: User "ada" cannot get it')
    assert plugin("wait", "calendar", "--for", "deleted") == 1
    seen = capsys.readouterr()
    assert "gone" not in seen.out + seen.err
    assert "forbidden" in seen.err.lower()


def test_what_is_not_looked_at_yet_is_waited_for(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    stale: dict[str, Any] = datasource()
    stale["metadata"]["generation"] = 2
    cluster.says(GET, stale)
    assert plugin("wait", "calendar", "--timeout", "0s") == 4
