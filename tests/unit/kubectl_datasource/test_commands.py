"""Commands from the options to the exit code, on a cluster that says what it is told to."""

import json
import stat
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from datasource.api.link_ticket import kept
from datasource.api.names import Annotation, ticket_in
from kubectl_datasource import commands
from tests.unit.kubectl_datasource.builders import LINK
from tests.unit.kubectl_datasource.fake_cluster import Cluster, datasource, listing, plugin

GET = "get datasources.datasource.dev"
GONE = 'Error from server (NotFound): datasources.datasource.dev "calendar" not found'


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


# list


def test_list_is_a_table_for_people_and_json_for_programs(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.says(GET, listing(datasource(name="mail"), datasource("ERROR", "ClientRejected", name="calendar")))
    assert plugin("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "calendar", "mail"]
    assert plugin("list", "-o", "json") == 0
    assert [each["name"] for each in printed(capsys)["items"]] == ["calendar", "mail"]


def test_empty_list_says_so_beside_the_result(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.says(GET, listing())
    assert plugin("list") == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", "There are no Datasources in this namespace.\n")
    assert plugin("list", "-l", "team=x") == 0
    assert capsys.readouterr().err == "There are no Datasources with these labels in this namespace.\n"
    assert plugin("list", "-o", "json") == 0
    assert printed(capsys) == {"items": []}


# authorize


def waiting(**status: Any) -> dict[str, Any]:
    return datasource("NOT AUTHORIZED", "AuthorizationRequired", **({"authorizationLink": LINK} | status))


def test_link_is_handed_over_without_waiting(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.says(GET, waiting())
    assert plugin("authorize", "calendar", "--no-wait") == 0
    assert capsys.readouterr().out == f"{LINK}\n"
    assert plugin("authorize", "calendar", "--no-wait", "-o", "json") == 0
    assert printed(capsys) == {"authorizationLink": LINK}


PAGE = "https://connect.example.com/datasources/shop/calendar"


def test_link_with_a_ticket_is_made_where_people_sign_in_and_the_datasource_asks_for_it(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    asks = waiting(authorizationLink=PAGE)
    asks["metadata"] |= {"annotations": {"datasource.dev/link": "Ticket"}, "generation": 1}
    cluster.says(GET, asks)
    cluster.says("annotate", "")
    assert plugin("authorize", "calendar", "--no-wait") == 0
    link = capsys.readouterr().out.strip()
    assert link.startswith("https://connect.example.com/authorize/shop/calendar?ticket=")
    (annotated,) = [line for line in cluster.asked if line.startswith("annotate")]
    ticket = ticket_in(link)
    assert ticket is not None
    assert f"datasource.dev/link-ticket={kept(ticket, 1)}" in annotated
    assert ticket not in annotated


def test_link_of_the_page_is_handed_over_where_nobody_asks_for_a_ticket(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.says(GET, waiting(authorizationLink=PAGE))
    assert plugin("authorize", "calendar", "--no-wait") == 0
    assert capsys.readouterr().out == f"{PAGE}\n"
    assert not [line for line in cluster.asked if line.startswith("annotate")]


def test_authorize_ends_when_the_credential_is_stored(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        cluster.says(GET, waiting(), once=True)
    cluster.says(GET, datasource(authorizedAs="ada@example.com", tokenSecretName="calendar-token"))
    assert plugin("authorize", "calendar", "--no-browser") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == LINK
    assert "AUTHORIZED as ada@example.com" in out
    assert "It works once" in err


def test_another_credential_is_asked_for_only_when_told_to(cluster: Cluster) -> None:
    cluster.says(GET, datasource())
    assert plugin("authorize", "calendar") == 0
    assert not [line for line in cluster.asked if "annotate" in line]
    cluster.says("annotate")
    assert plugin("authorize", "calendar", "--new", "--timeout", "0") != 0
    assert [line for line in cluster.asked if f"{Annotation.NEW_CREDENTIAL}=" in line]


def test_wait_for_a_person_ends_in_time_with_its_own_exit_code(cluster: Cluster) -> None:
    cluster.says(GET, waiting())
    assert plugin("authorize", "calendar", "--no-browser", "--timeout", "0") == 4


def test_datasource_that_is_not_there_is_not_waited_for(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.refuses(GET, GONE)
    assert plugin("authorize", "calendar") == 1
    assert "There is no Datasource calendar" in capsys.readouterr().err
    assert len(cluster.asked) == 1


# clear and refresh


def test_clear_asks_nobody_where_nobody_sits(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert plugin("clear", "calendar") == 2
    assert "--yes" in capsys.readouterr().err
    assert cluster.asked == []


def test_clear_asks_for_each_once_and_says_what_came_of_it(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.says(GET, datasource())
    cluster.says("annotate")
    assert plugin("clear", "calendar", "calendar", "--yes", "--no-wait", "-o", "json") == 0
    assert [each["name"] for each in printed(capsys)["items"]] == ["calendar"]
    (written,) = [line for line in cluster.asked if line.startswith("annotate")]
    assert f"{Annotation.CLEAR_CREDENTIAL}=" in written


def test_what_one_runs_into_does_not_keep_the_others_from_it(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.refuses(f"{GET} gone", GONE)
    cluster.says(GET, datasource())
    cluster.says("annotate")
    assert plugin("clear", "gone", "calendar", "--yes", "--no-wait", "-o", "json") == 1
    assert [(each["name"], each["exitCode"]) for each in printed(capsys)["items"]] == [("gone", 1), ("calendar", 0)]


def test_no_two_requests_have_the_same_value(cluster: Cluster) -> None:
    """A value acts once."""
    cluster.says(GET, datasource())
    cluster.says("annotate")
    for _ in range(3):
        assert plugin("refresh", "calendar", "--no-wait") == 0
    assert len({line for line in cluster.asked if f"{Annotation.REFRESH}=" in line}) == 3


@pytest.mark.parametrize(
    ("state", "reason"), [("NOT AUTHORIZED", "CredentialCleared"), ("NOT CONFIGURED", "OAuth2Missing")]
)
def test_refresh_of_nothing_asks_for_nothing(state: str, reason: str, cluster: Cluster) -> None:
    cluster.says(GET, datasource(state, reason))
    assert plugin("refresh", "calendar") == 1
    assert not [line for line in cluster.asked if "annotate" in line]


# explain


@pytest.mark.parametrize(("reason", "code"), [("Authorized", 0), ("ClientRejected", 1), ("MoonPhase", 1)])
def test_explain_says_by_its_exit_code_whether_all_is_well(reason: str, code: int, cluster: Cluster) -> None:
    cluster.says(GET, datasource("AUTHORIZED" if code == 0 else "ERROR", reason))
    cluster.says("get events", listing())
    assert plugin("explain", "calendar") == code


def test_explain_does_without_events_that_may_not_be_read(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.says(GET, datasource("ERROR", "ClientRejected"))
    cluster.refuses("get events", "Error from server (Forbidden): events is forbidden")
    assert plugin("explain", "calendar", "-o", "json") == 1
    assert printed(capsys)["events"] is None


# export


def raw(name: str, suspend: bool = False) -> dict[str, Any]:
    return datasource(name=name) | {"spec": {"url": "https://api.example.com", "suspend": suspend}}


def credential(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "datasource.dev/oauth2-credential",
        "metadata": {
            "name": f"{name}-oauth2-credential",
            "namespace": "shop",
            "uid": "u",
            "annotations": {Annotation.DATASOURCE: name, Annotation.ROLE: "credential"},
        },
        "data": {"refresh_token": "cnQtMQ=="},
    }


def test_export_is_a_file_for_its_owner_alone(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.says(GET, listing(raw("calendar")))
    cluster.says("get secrets", listing(credential("calendar")))
    path = tmp_path / "backup.yaml"
    assert plugin("export", "-o", str(path)) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    kinds = [each["kind"] for each in yaml.safe_load(path.read_text())["items"]]
    assert sorted(kinds) == ["Datasource", "Secret"]
    out, err = capsys.readouterr()
    assert out == ""
    assert "cnQtMQ==" not in err


def test_export_of_nothing_writes_nothing(cluster: Cluster, tmp_path: Path) -> None:
    cluster.says(GET, listing())
    path = tmp_path / "backup.yaml"
    assert plugin("export", "-o", str(path)) == 1
    assert not path.exists()


def test_export_by_name_needs_no_right_to_list_secrets(cluster: Cluster, tmp_path: Path) -> None:
    cluster.says(GET, raw("calendar"))
    cluster.says("get secrets", credential("calendar"))
    assert plugin("export", "calendar", "-o", str(tmp_path / "backup.json")) == 0
    (asked,) = [line for line in cluster.asked if line.startswith("get secrets")]
    assert "calendar-oauth2-credential" in asked
    assert "field-selector" not in asked


def test_cluster_that_knows_no_suspend_is_not_exported_suspended(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its API server drops the field without a word, and both sides would refresh."""
    cluster.says(GET, listing(raw("calendar")))
    cluster.says("patch datasources.datasource.dev", raw("calendar"))
    path = tmp_path / "backup.yaml"
    assert plugin("export", "--suspend", "-o", str(path)) == 1
    assert not path.exists()
    assert "scale" in capsys.readouterr().err


def test_export_waits_until_no_refresh_is_under_way(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    # Its own alone: waiting for kubectl's end sleeps as well.
    monkeypatch.setattr(commands, "time", SimpleNamespace(sleep=waited.append, monotonic=time.monotonic))
    under_way = credential("calendar")
    under_way["metadata"]["annotations"] |= {Annotation.INTENT: "{}"}
    cluster.says("patch datasources.datasource.dev", raw("calendar", suspend=True))
    cluster.says(f"{GET} calendar", raw("calendar", suspend=True))
    cluster.says(GET, listing(raw("calendar")))
    cluster.says("get secrets", under_way, once=True)
    cluster.says("get secrets", credential("calendar"))
    assert plugin("export", "--suspend", "-o", str(tmp_path / "backup.json")) == 0
    assert len(waited) == 2, "for the refresh, and for one that had looked at the spec just before"


# In general.


def test_cluster_out_of_reach_has_an_exit_code_of_its_own(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.refuses("--request-timeout=20s", "dial tcp 127.0.0.1:6443: connect: connection refused")
    for arguments in (["list"], ["explain", "calendar"], ["refresh", "calendar"], ["authorize", "calendar"]):
        assert plugin(*arguments) == 3
    assert "connection refused" in capsys.readouterr().err


def test_terminal_obeys_nothing_that_others_wrote(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    evil = datasource("ERROR", "ClientRejected", authorizedAs="\x1b]0;owned\x07")
    evil["status"]["conditions"][0]["message"] = "\x1b[2Jgone"
    cluster.says(GET, evil)
    cluster.says("get events", listing())
    plugin("explain", "calendar")
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
