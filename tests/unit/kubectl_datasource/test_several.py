"""Several names in one command: all are begun before one is waited for, they share the time, and each is told."""

import json
from pathlib import Path
from typing import Any

import pytest

from kubectl_datasource import commands
from tests.unit.kubectl_datasource.builders import Clock
from tests.unit.kubectl_datasource.fake_cluster import Cluster, datasource, listing, plugin

GET = "get datasources.datasource.dev"
DEAD = "Unable to connect to the server: dial tcp: i/o timeout"


def unseen() -> dict[str, Any]:
    """The operator has not looked at it yet."""
    found = datasource()
    found["metadata"]["generation"] = 9
    return found


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """How long the plugin waited."""
    time = Clock()
    monkeypatch.setattr(commands, "time", time)
    return time


@pytest.mark.parametrize(
    "command", [("wait",), ("suspend",), ("resume",), ("refresh",), ("clear", "--yes")], ids=lambda words: words[0]
)
def test_names_share_the_time(
    command: tuple[str, ...], cluster: Cluster, passed: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in (GET, "patch", "annotate"):
        cluster.says(verb, unseen())
    cluster.says("config", "")
    assert plugin(*command, "a", "b", "c", "--timeout", "5s") in {1, 4}
    assert passed.now <= 5
    if command[0] in {"wait", "suspend", "resume"}:
        assert passed.now == 5
        assert capsys.readouterr().err.count("Gave up after 5 s of waiting") == 3


@pytest.mark.parametrize("command", ["suspend", "resume"])
def test_all_are_switched_before_one_is_waited_for(command: str, cluster: Cluster, passed: Clock) -> None:
    cluster.says("patch", unseen())
    cluster.says(GET, unseen())
    assert plugin(command, "a", "b", "--timeout", "2s") == 4
    first, second, *later = [line.split()[0:3:2] for line in cluster.asked]
    assert [first, second] == [["patch", "a"], ["patch", "b"]]
    assert {verb for verb, _ in later} == {"get"}


@pytest.mark.parametrize(
    ("command", "verb"), [(("suspend",), "patch"), (("resume",), "patch"), (("refresh",), "annotate")]
)
@pytest.mark.parametrize("wait", [(), ("--no-wait",)])
def test_what_was_done_is_told_where_the_cluster_is_out_of_reach_later(
    command: tuple[str, ...],
    verb: str,
    wait: tuple[str, ...],
    cluster: Cluster,
    passed: Clock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cluster.refuses(f"{verb} datasources.datasource.dev b", DEAD)
    cluster.says(verb, datasource())
    cluster.says(GET, datasource())
    assert plugin(*command, "a", "b", "c", *wait, "--timeout", "0", "-o", "json") == 3
    items = json.loads(capsys.readouterr().out)["items"]
    assert [each["name"] for each in items] == ["a", "b", "c"]
    assert items[1]["exitCode"] == 3
    assert items[1]["message"].startswith("b: The cluster cannot be asked.")
    assert [line.split()[2] for line in cluster.asked if line.startswith(verb)] == ["a", "b", "c"]
    assert plugin(*command, "a", "b", *wait, "--timeout", "0") == 3
    said = "".join(capsys.readouterr())
    assert "b: The cluster cannot be asked." in said
    if command != ("refresh",) and not wait:
        assert "a is suspended. It is AUTHORIZED" in said or "a is no longer suspended. It is AUTHORIZED" in said


def test_answer_that_cannot_be_read_does_not_hide_the_others(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.says(f"{GET} b", {"metadata": 1})
    cluster.says(GET, datasource())
    assert plugin("wait", "a", "b") == 1
    seen = capsys.readouterr()
    assert "is AUTHORIZED" in seen.out
    assert "cannot be read" in seen.err


def test_question_names_each_once(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("click.confirm", lambda text, **_: asked.append(text))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    cluster.says("config", "")
    cluster.says(GET, datasource("NOT AUTHORIZED", "CredentialCleared"))
    cluster.says("annotate", "")
    plugin("clear", "calendar", "calendar", "--no-wait")
    assert asked[0].count("shop/calendar") == 1


def test_export_has_each_once(cluster: Cluster, tmp_path: Path) -> None:
    cluster.says(f"{GET} a a", listing(datasource(name="a"), datasource(name="a")))
    cluster.says(f"{GET} a", datasource(name="a"))
    cluster.says("get secrets", "")
    path = tmp_path / "backup.json"
    assert plugin("export", "a", "a", "-o", str(path)) == 0
    assert [each["metadata"]["name"] for each in json.loads(path.read_text())["items"]] == ["a"]


def test_export_that_loses_the_cluster_tells_what_is_suspended(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [datasource(name=name) for name in ("a", "b")]
    cluster.says(GET, listing(*found))
    cluster.refuses("patch datasources.datasource.dev b", DEAD)
    cluster.says("patch", found[0] | {"spec": {"suspend": True}})
    path = tmp_path / "backup.json"
    assert plugin("export", "--suspend", "-o", str(path)) == 3
    assert not path.exists()
    said = capsys.readouterr().err
    assert "Nothing was written." in said
    assert "Suspended already: shop/a. To go on here: kubectl datasource resume" in said
