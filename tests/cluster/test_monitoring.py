"""Alerts and dashboard: promtool on the rules, and a scrape of the real processes that carries every series they use."""

import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from deploy.local import tools
from deploy.local.cache import REPOSITORY
from deploy.local.stack import Process, Stack
from deploy.local.stack import rendered as rendered_by_kustomize
from generators import dashboard
from tests.support.person import Person
from tests.support.recorded_scrape import promtool_tests
from tests.support.user import User, eventually

pytestmark = pytest.mark.cluster

RULES = dashboard.MONITORING / "rules.yaml"
ALERT_TESTS = REPOSITORY / "tests" / "monitoring" / "alerts.yaml"

# What PromQL has beside the names of series.
_STRING = re.compile(r'"[^"]*"|\'[^\']*\'')
_SELECTOR = re.compile(r"\{[^}]*\}|\[[^\]]*\]")
_LABEL_LIST = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_NAME = re.compile(r"\b[a-z_:][a-z0-9_:]*\b(?!\s*\()")
_WORDS = frozenset({"and", "or", "unless", "bool", "offset"})


def series_in(expression: str) -> set[str]:
    """The names of the series that a PromQL expression reads."""
    bare = _LABEL_LIST.sub(" ", _SELECTOR.sub(" ", _STRING.sub(" ", expression)))
    return set(_NAME.findall(bare)) - _WORDS


def promtool(*arguments: str | Path, stdin: str | None = None) -> str:
    """Run promtool; fails with what it said."""
    command = [str(tools.promtool()), *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


_LABEL = re.compile(r"\{\{ \$labels\.(\w+) \}\}")


def with_texts(expected: dict[str, Any], rule: Mapping[str, Any]) -> None:
    """Fill in what stands in the rules: a description names labels alone, a summary is written out in the tests."""
    given: dict[str, str] = expected["exp_annotations"]
    for name, text in rule["annotations"].items():
        given.setdefault(name, _LABEL.sub(lambda found: str(expected["exp_labels"][found[1]]), text))


def alerts() -> list[Mapping[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["spec"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries(namespace: str = ".*", datasource: str = ".*") -> dict[str, str]:
    """Every query of the dashboard, as Grafana sends it, by panel and number."""
    return {
        f"{panel['title']}, {number}": target["expr"]
        .replace("$__rate_interval", "2m")
        .replace("$namespace", namespace)
        .replace("$datasource", datasource)
        for panel in json.loads(dashboard.RESULT.read_text())["panels"]
        for number, target in enumerate(panel.get("targets", ()))
    }


def choices(namespace: str = ".*") -> dict[str, str]:
    """What Grafana asks for the choices above the panels, as PromQL: label_values is a word of Grafana's own."""
    asked = dict[str, str]()
    for variable in json.loads(dashboard.RESULT.read_text())["templating"]["list"][1:]:
        values = re.fullmatch(r"label_values\((.+), *(\w+)\)", variable["query"]["query"])
        assert values is not None, variable
        asked[f"choice of {variable['name']}"] = f"count by ({values[2]}) ({values[1]})".replace(
            "$namespace", namespace
        )
    return asked


@pytest.fixture
def rule_file(tmp_path: Path) -> Path:
    """The rules as Prometheus itself reads them, without the wrapping of the Prometheus Operator."""
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(RULES.read_text())["spec"]))
    return path


def test_rules_are_valid(rule_file: Path) -> None:
    assert f"{len(alerts())} rules found" in promtool("check", "rules", rule_file)


def test_each_panel_asks_and_no_word_of_grafana_is_left_in_what_it_asks() -> None:
    panels = [each for each in json.loads(dashboard.RESULT.read_text())["panels"] if each["type"] != "row"]
    assert [each["title"] for each in panels if not each.get("targets")] == []
    assert len(queries()) == sum(len(each["targets"]) for each in panels), "no two panels of one title"
    assert [each for each in (queries("shop", "calendar") | choices("shop")).values() if "$" in each] == []


def test_queries_of_the_dashboard_are_valid(tmp_path: Path) -> None:
    rules = [{"record": f"dashboard:query{number}", "expr": query} for number, query in enumerate(queries().values())]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    assert f"{len(rules)} rules found" in promtool("check", "rules", path)


def test_each_alert_fires_when_it_should_and_only_then(rule_file: Path) -> None:
    written = yaml.safe_load(ALERT_TESTS.read_text())
    rules = {rule["alert"]: rule for rule in alerts()}
    for case in written["tests"]:
        for each in case["alert_rule_test"]:
            for expected in each["exp_alerts"]:
                with_texts(expected, rules[each["alertname"]])
    path = rule_file.with_name("tests.yaml")
    path.write_text(yaml.safe_dump({**written, "rule_files": [str(rule_file)]}))

    assert "SUCCESS" in promtool("test", "rules", path)

    tried: dict[str, set[bool]] = {}
    for case in written["tests"]:
        for each in case["alert_rule_test"]:
            tried.setdefault(each["alertname"], set()).add(bool(each["exp_alerts"]))
    assert tried == {rule["alert"]: {True, False} for rule in alerts()}


def test_dashboard_is_what_its_source_says() -> None:
    assert dashboard.RESULT.read_text() == dashboard.made()


def test_component_adds_monitoring_to_an_overlay(folder: Path) -> None:
    # Below the repository, since kustomize wants relative paths.
    overlay = folder / "monitoring-overlay"
    overlay.mkdir(parents=True, exist_ok=True)
    up = os.path.relpath(REPOSITORY, overlay)
    named = {"resources": [f"{up}/deploy/overlays/cluster-wide"], "components": [f"{up}/deploy/monitoring"]}
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(named))

    rendered = list(yaml.safe_load_all(rendered_by_kustomize(overlay)))

    kinds = {each["kind"]: each for each in rendered}
    assert {"PodMonitor", "PrometheusRule"} <= set(kinds)
    monitor = kinds["PodMonitor"]["spec"]
    pods = [each["spec"]["template"] for each in rendered if each["kind"] == "Deployment"]
    assert len(pods) == 2
    for pod in pods:
        assert monitor["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        ports = {port["name"] for container in pod["spec"]["containers"] for port in container["ports"]}
        assert {each["port"] for each in monitor["podMetricsEndpoints"]} <= ports
    dashboards = [each for each in rendered if each["metadata"].get("labels", {}).get("grafana_dashboard")]
    assert [json.loads(each["data"]["dashboard.json"])["title"] for each in dashboards] == ["Datasource Operator"]


def scrape(process: Process) -> str:
    """What Prometheus would get."""
    with urllib.request.urlopen(f"http://127.0.0.1:{process.health_port}/metrics", timeout=30) as response:
        return str(response.read().decode())


def samples(text: str) -> dict[str, list[Mapping[str, str]]]:
    """By the name of a series: the labels with which it is there."""
    found: dict[str, list[Mapping[str, str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def value(text: str, series: str, /, **labels: str) -> float:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == series and labels.items() <= sample.labels.items():
                return float(sample.value)
    return 0.0


NOT_IN_EVERY_SCRAPE = {
    "datasource_revocations_total": 'result="revoked"',
    "datasource_grant_expiration_timestamp_seconds": 'datasource_namespace="NAMESPACE", datasource_name="calendar"',
}
"""Families that are told and may have no sample: nothing was revoked, no provider told when its grants end."""


def families(text: str) -> set[str]:
    """The series that a scrape may carry, whether something happened or not."""
    told = list(text_string_to_metric_families(text))
    return {f"{family.name}_total" if family.type == "counter" else family.name for family in told}


def every_choice_is_offered(text: str, namespace: str) -> None:
    """What the choices above the panels ask for: the label is there, on series that match."""
    variables = [each["query"]["query"] for each in json.loads(dashboard.RESULT.read_text())["templating"]["list"][1:]]
    assert len(variables) == 2
    for query in variables:
        asked = re.fullmatch(r"label_values\((.+), *(\w+)\)", query)
        assert asked is not None, query
        named = re.search(r'__name__=~"([^"]+)"', asked[1])
        pattern = re.compile(asked[1].partition("{")[0] if named is None else named[1])
        found = [labels for series, each in samples(text).items() if pattern.fullmatch(series) for labels in each]
        assert namespace in {labels["datasource_namespace"] for labels in found}, query
        assert all(labels[asked[2]] for labels in found), query


def test_scrape_carries_every_series_that_alerts_and_dashboard_use(
    user: User, operator: Process, callback_server: Process, tmp_path: Path
) -> None:
    before = scrape(operator), scrape(callback_server)
    with Person() as person:
        person.authorize(user.ready_to_authorize())
        user.wait_for_reason("Authorized")
        person.get(f"{user.external_url}/nowhere")
    user.apply(user.datasource(user.oauth2(), name="waits"))
    user.wait_for_reason("AuthorizationRequired", "waits")
    user.annotate("refresh", "1")
    user.wait_for_handled("refresh", "1")
    # The label of the provider's host is what the operator counted last.
    eventually(
        "the refresh is counted",
        lambda: (
            value(scrape(operator), "datasource_refreshes_total", result="stored")
            > value(before[0], "datasource_refreshes_total", result="stored")
        ),
    )

    ours, pages = scrape(operator), scrape(callback_server)

    carried = samples(ours).keys() | samples(pages).keys() | (families(ours) & NOT_IN_EVERY_SCRAPE.keys())
    used = set[str]().union(*map(series_in, [*queries().values(), *(rule["expr"] for rule in alerts())]))
    assert len(used) > 20
    assert used - carried == set()
    every_choice_is_offered(ours, user.namespace)
    assert value(ours, "leader_election_master_status", name="datasource-operator") == 1
    place = {"datasource_namespace": user.namespace, "datasource_name": "calendar"}
    expires = value(ours, "datasource_access_token_expiration_timestamp_seconds", **place)
    due = value(ours, "datasource_refresh_due_timestamp_seconds", **place)
    assert 0 < due < expires
    waits = {"datasource_namespace": user.namespace, "datasource_name": "waits"}
    assert waits in samples(ours)["datasource_person_needed_seconds"]
    assert value(ours, "datasource_datasources", state="AUTHORIZED", reason="Authorized") >= 1
    # Every query of the dashboard answers over that very scrape, whatever is chosen for namespace and Datasource.
    asked = {
        **queries(),
        **choices(),
        **{f"{name}, one chosen": each for name, each in choices(user.namespace).items()},
        **{f"{name}, one chosen": each for name, each in queries(user.namespace, "calendar|waits").items()},
    }
    path = tmp_path / "queries.yaml"
    unseen = {name: labels.replace("NAMESPACE", user.namespace) for name, labels in NOT_IN_EVERY_SCRAPE.items()}
    path.write_text(yaml.safe_dump(promtool_tests({"operator": ours, "callback": pages}, asked, unseen)))
    assert "SUCCESS" in promtool("test", "rules", path)
    for outcome in ("begun", "stored"):
        name = "datasource_callback_outcomes_total"
        assert value(pages, name, outcome=outcome) == value(before[1], name, outcome=outcome) + 1
    for route, method, code in (
        ("authorize", "GET", "200"),
        ("authorize", "POST", "200"),
        ("callback", "GET", "303"),
        ("done", "GET", "200"),
        ("other", "GET", "404"),
    ):
        labels = {"route": route, "method": method, "code": code}
        assert value(pages, "datasource_http_requests_total", **labels) >= 1, labels
    for text in (ours, pages):
        assert (
            value(text, "datasource_provider_request_duration_seconds_count", host="127.0.0.1", outcome="answered") >= 1
        )


def logged(process: Process, datasource: str) -> dict[str, dict[str, Any]]:
    """What a process logged about a Datasource: by the event, the last line of each."""
    lines = [json.loads(line) for line in process.child.log.read_text().splitlines() if line.startswith("{")]
    return {line["event"]: line for line in lines if line.get("datasource") == datasource}


def test_logs_name_datasource_reason_and_duration(user: User, operator: Process, callback_server: Process) -> None:
    with Person() as person:
        person.authorize(user.ready_to_authorize())
    user.wait_for_reason("Authorized")
    user.annotate("refresh", "1")
    user.wait_for_handled("refresh", "1")
    user.provider.fault(client_id=user.client_id, status=503, times=1000)
    user.annotate("refresh", "2")
    name = f"{user.namespace}/calendar"
    eventually("the failure is logged", lambda: "a refresh failed" in logged(operator, name))

    ours, pages = logged(operator, name), logged(callback_server, name)

    assert ours["state changed"]["state"] == "AUTHORIZED"
    assert ours["state changed"]["reason"] == "Authorized"
    assert ours["state changed"]["seconds"] >= 0
    assert ours["refreshed"]["seconds_from_request_to_store"] > 0
    assert ours["a refresh failed"]["seconds"] > 0
    assert pages["authorization ended"]["outcome"] == "stored"
    assert pages["authorization ended"]["seconds"] >= 0
    for line in (*ours.values(), *pages.values()):
        assert {"timestamp", "level", "logger"} <= line.keys()


def test_scrape_is_as_prometheus_wants_it_and_tells_no_secret(
    user: User, operator: Process, callback_server: Process
) -> None:
    link = user.ready_to_authorize()
    with Person() as person:
        person.authorize(link)
    user.wait_for_reason("Authorized")

    for process in (operator, callback_server):
        text = scrape(process)
        promtool("check", "metrics", stdin=text)
        assert link.partition("ticket=")[2] not in text
        secrets = user.provider.secrets().all()
        assert secrets
        assert [secret[:6] for secret in secrets if secret in text] == []


def test_replica_that_stands_by_tells_of_no_datasource(user: User, stack: Stack) -> None:
    user.apply(user.datasource())
    user.wait_for_reason("OAuth2Missing")
    second = stack.operator("operator-standing-by", DATASOURCE_POD_UID="second")
    second.start()
    try:
        text = scrape(second)
    finally:
        second.stop()

    assert value(text, "leader_election_master_status", name="datasource-operator") == 0
    assert "leader_election_master_status" in samples(text)
    assert {name for name in samples(text) if name.startswith("datasource_")} <= {
        "datasource_build_info",
        "datasource_event_loop_stall_seconds",
        "datasource_watch_silence_seconds",
        "datasource_callback_rights_refused_namespaces",
        "datasource_namespace_unreadable",
        "datasource_replies_waiting_for_store",
        "datasource_last_event_age_seconds",
        "datasource_refreshes_running",
        "datasource_refreshes_waiting",
        "datasource_refreshes_total",
        "datasource_refreshes_created",
        "datasource_left_out_total",
        "datasource_statuses_left_to_another_installation",
        "datasource_left_out_created",
        "datasource_journal_kept",
        "datasource_journal_wanted",
        "datasource_journal_entries",
        "datasource_journal_oldest_seconds",
        "datasource_journal_replies_total",
        "datasource_journal_replies_created",
        "datasource_notifications_total",
        "datasource_notifications_created",
        "datasource_notifications_waiting",
    }
