"""Names, labels and URLs at the edge: what the chart makes of them, or how it refuses them."""

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from generators.manifests import CHART
from tests.support.external_urls import UNUSABLE, USABLE
from tests.support.helm import EXTERNAL_URL, Manifest, Values, helm, in_order, of_kind, only, refusal, rendered

DEPLOYMENTS = ("datasource-operator", "datasource-callback-server")

# Every part that has a switch.
EVERYTHING: dict[str, Any] = {
    "ingress": {"enabled": True, "className": "1e3", "tlsSecretName": "2026", "labels": {"a": "1"}},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}], "annotations": {"a": "true"}},
    "monitoring": {
        "serviceMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True, "runbookURL": "https://git.example.com/"},
        "dashboards": {"enabled": True},
    },
    "networkPolicy": {"enabled": True},
    "commonLabels": {"team": "7"},
    "commonAnnotations": {"owner": "null"},
    "signIn": {"issuer": "https://id.example.com", "clientID": "1", "secretName": "2026"},
    "settings": {"notifications": {"url": "https://a.example/hook", "secretName": "1e3", "secretKey": "10"}},
    "imagePullSecrets": [{"name": "77"}],
    "image": {"repository": "1", "tag": "2"},
    **{
        process: {
            "serviceAccount": {"name": account, "annotations": {"a": "on"}},
            "priorityClassName": "1000",
            "podLabels": {"level": "1"},
            "podAnnotations": {"level": "off"},
        }
        for process, account in (("operator", "77"), ("callbackServer", "1e3"))
    },
}

# What Kubernetes says is text, wherever it stands.
TEXTS = {
    "name",
    "namespace",
    "namespaces",
    "matchNames",
    "resourceNames",
    "host",
    "hosts",
    "hostnames",
    "path",
    "key",
    "image",
    "value",
    "labels",
    "annotations",
    "matchLabels",
    "secretName",
    "serviceAccountName",
    "priorityClassName",
    "ingressClassName",
    "command",
    "data",
}


def texts_of(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each leaf below a field that is text."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from texts_of(below, f"{path}/{key}")
    elif isinstance(value, list):
        for below in value:
            yield from texts_of(below, path)
    elif TEXTS & set(path.split("/")) and "openAPIV3Schema" not in path:
        yield path, value


class Strict(yaml.SafeLoader):
    """Refuses keys that are there twice, and reads what Helm's YAML reads: 1e3 is a number there, and y is true."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = Counter(key.value for key, _ in node.value)
        twice = [key for key, count in keys.items() if count > 1]
        assert twice == [], f"{twice} in line {node.start_mark.line + 1}"
        return super().construct_mapping(node, deep)


Strict.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), [*"0123456789"]
)
Strict.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"[yn]$"), ["y", "n"])


def whole(values: Values, release: str = "datasource", namespace: str = "datasource-system") -> list[Manifest]:
    """All objects, with the pod of `helm test`."""
    given = {"externalURL": EXTERNAL_URL, **values}
    text = in_order(helm("template", release, str(CHART), "--namespace", namespace, values=given))
    return [each for each in yaml.load_all(text, Loader=Strict) if each]


def test_the_loader_of_this_file_sees_what_is_no_text() -> None:
    read = yaml.load("[1e3, 2026, on, null, y, 'y', 0x1]", Loader=Strict)  # noqa: S506 - a safe loader
    assert [isinstance(each, str) for each in read] == [False, False, False, False, False, True, False]


@pytest.mark.parametrize("name", ["2026", "1e3", "on", "null", "0x1", "y", "1-1-1"])
def test_names_that_yaml_reads_as_something_else_are_text_everywhere(name: str) -> None:
    for manifest in whole({**EVERYTHING, "namespaces": [name, "team-a"]}, name, name):
        of = f"{manifest['kind']} {manifest['metadata']['name']}"
        wrong = [each for each in texts_of(manifest) if not isinstance(each[1], str)]
        assert wrong == [], of
        assert manifest["metadata"].get("namespace", name) in {name, "team-a"}, of


def test_all_objects_in_all_namespaces_are_text_too() -> None:
    manifests = whole(EVERYTHING, "2026", "2026")
    assert [each for manifest in manifests for each in texts_of(manifest) if not isinstance(each[1], str)] == []
    subjects = [each for binding in of_kind(manifests, "ClusterRoleBinding") for each in binding["subjects"]]
    assert {(each["name"], each["namespace"]) for each in subjects} == {("77", "2026"), ("1e3", "2026")}
    rules = only(manifests, "PrometheusRule")
    assert "kubectl -n 2026 get pods" in str(rules)
    assert "https://git.example.com/docs/alerts.md" in str(rules)
    assert "datasource-system" not in str(manifests)


def test_names_end_where_kubernetes_ends_them() -> None:
    """Of a Service: RFC 1035, 63 characters. Whatever the release is called, nothing is called after it."""
    manifests = whole({**EVERYTHING, "fullnameOverride": "a" * 39}, "r" * 53, "s" * 63)
    assert max(len(each["metadata"]["name"]) for each in of_kind(manifests, "Service")) == 63
    assert max(len(each["metadata"]["name"]) for each in of_kind(manifests, "Pod")) <= 63
    for manifest in manifests:
        labels = manifest["metadata"]["labels"]
        assert [key for key, value in labels.items() if len(value) > 63] == []


@pytest.mark.parametrize("name", ["a" * 40, "1st", "Acme", "-a", "a-", "a.b", "7"])
def test_a_name_of_which_no_service_can_be_made_is_refused(name: str) -> None:
    assert "at '/fullnameOverride'" in refusal({"fullnameOverride": name})


LABELS = (
    "app.kubernetes.io/name",
    "app.kubernetes.io/component",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "helm.sh/chart",
)


def below(path: str, value: object) -> dict[str, Any]:
    for key in reversed(path.split(".")):
        value = {key: value}
    assert isinstance(value, dict)
    return value


OURS = [(path, key) for path in ("commonLabels", "operator.podLabels", "callbackServer.podLabels") for key in LABELS]
OURS += [
    (path, "checksum/config")
    for path in ("commonAnnotations", "operator.podAnnotations", "callbackServer.podAnnotations")
]


def test_the_labels_of_this_file_are_all_that_the_chart_sets() -> None:
    of_pods = [each["spec"]["template"]["metadata"]["labels"] for each in of_kind(rendered(), "Deployment")]
    assert [set(each) for each in of_pods] == [set(LABELS)] * 2


@pytest.mark.parametrize(("path", "key"), OURS)
def test_what_the_chart_sets_itself_is_refused_by_name(path: str, key: str) -> None:
    assert f"{path} must not have {key}: the chart sets it itself" in refusal(below(path, {key: "x"}))


def test_the_more_special_label_and_annotation_win_and_each_is_there_once() -> None:
    special = {"team": "special", "app.kubernetes.io/part-of": "platform"}
    manifests = whole(
        {
            "commonLabels": {"team": "common", "cost": "7"},
            "commonAnnotations": {"team": "common", "cost": "7"},
            "operator": {"podLabels": {"team": "special"}, "podAnnotations": {"team": "special"}},
            "ingress": {"enabled": True, "labels": special, "annotations": special},
            "monitoring": {
                "serviceMonitor": {"enabled": True, "labels": special},
                "dashboards": {"enabled": True, "labels": special},
            },
        }
    )
    pod = only(manifests, "Deployment", "datasource-operator")["spec"]["template"]["metadata"]
    dashboards = [each for each in of_kind(manifests, "ConfigMap") if "dashboard" in each["metadata"]["name"]]
    for metadata in (
        pod,
        *(each["metadata"] for each in (only(manifests, "Ingress"), *of_kind(manifests, "ServiceMonitor"))),
    ):
        assert metadata["labels"]["team"] == "special"
        assert metadata["labels"]["cost"] == "7"
    assert pod["annotations"]["team"] == only(manifests, "Ingress")["metadata"]["annotations"]["team"] == "special"
    assert [each["metadata"]["labels"]["app.kubernetes.io/part-of"] for each in dashboards] == ["platform"] * len(
        dashboards
    )
    assert dashboards != []


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_variable_is_there_once_and_the_more_special_one_wins(name: str) -> None:
    own = {"extraEnv": [{"name": "B", "value": "own"}, {"name": "D", "value": "1"}, {"name": "D", "value": "2"}]}
    both = [{"name": each, "value": "both"} for each in "ABC"]
    manifests = rendered({"extraEnv": both, "operator": own, "callbackServer": own})
    (container,) = only(manifests, "Deployment", name)["spec"]["template"]["spec"]["containers"]
    pairs = [(each["name"], each.get("value")) for each in container["env"]]
    assert pairs[-4:] == [("A", "both"), ("C", "both"), ("B", "own"), ("D", "2")]
    assert [name for name, count in Counter(name for name, _ in pairs).items() if count > 1] == []


def test_variable_that_the_operator_has_already_is_refused() -> None:
    assert "at '/operator/extraEnv/0/name'" in refusal({"operator": {"extraEnv": [{"name": "POD_ID", "value": "a"}]}})


@pytest.mark.parametrize(
    ("replicas", "stay"),
    [(2, 2), (2, 3), (2, "51%"), (2, "100%"), (3, "67%"), (10, "91%"), (2, "150%")],
)
@pytest.mark.parametrize("process", ["operator", "callbackServer"])
def test_budget_that_would_keep_nodes_from_being_drained_is_refused(
    process: str, replicas: int, stay: int | str
) -> None:
    values = {process: {"replicas": replicas, "podDisruptionBudget": {"minAvailable": stay}}}
    said = refusal(values)
    assert f"{process}.podDisruptionBudget.minAvailable is {stay} of {replicas} replicas" in said
    values[process]["podDisruptionBudget"] = {"minAvailable": stay, "enabled": False}
    assert of_kind(rendered(values), "Deployment") != []


@pytest.mark.parametrize(("replicas", "stay"), [(2, 1), (2, 0), (2, "50%"), (3, "66%"), (10, "90%"), (1, 1), (0, 1)])
def test_budget_that_lets_a_pod_go_is_taken(replicas: int, stay: int | str) -> None:
    manifests = rendered({"operator": {"replicas": replicas, "podDisruptionBudget": {"minAvailable": stay}}})
    budgets = [each for each in of_kind(manifests, "PodDisruptionBudget") if "operator" in each["metadata"]["name"]]
    assert [each["spec"]["minAvailable"] for each in budgets] == ([stay] if replicas > 1 else [])


SIGN_IN = {"issuer": "https://id.example.com", "clientID": "a", "secretName": "a"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"usernamePrefix": "system:"}, "signIn.usernamePrefix must not begin with system:"),
        ({"groupsPrefix": "system:masters"}, "signIn.groupsPrefix must not begin with system:"),
        ({"scopes": ["email"]}, "signIn.scopes must have openid"),
        ({"scopes": ["openid", "offline_access"]}, "signIn.scopes must not have offline_access"),
    ],
)
def test_sign_in_that_the_processes_refuse_is_refused(wrong: dict[str, Any], message: str) -> None:
    assert message in refusal({"signIn": {**SIGN_IN, **wrong}})


def test_sign_in_with_an_account_of_another_name_has_its_rights() -> None:
    account = {"callbackServer": {"serviceAccount": {"name": "web"}}}
    for role in ("ClusterRole", "Role"):
        namespaces = [] if role == "ClusterRole" else ["team-a"]
        usual = rendered({"signIn": SIGN_IN, "namespaces": namespaces})
        renamed = rendered({"signIn": SIGN_IN, "namespaces": namespaces, **account})
        name = "datasource-callback-server"
        assert [each["rules"] for each in of_kind(renamed, role) if each["metadata"]["name"] == name] == [
            each["rules"] for each in of_kind(usual, role) if each["metadata"]["name"] == name
        ]


@pytest.fixture
def checked(tmp_path: Path) -> Callable[[str], str | None]:
    """What the chart makes of an external URL; None where it refuses it. Nothing else is rendered."""
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    for part in ("Chart.yaml", "values.yaml", "values.schema.json", "templates/_helpers.tpl", "templates/_checks.tpl"):
        shutil.copy(CHART / part, chart / part)
    (chart / "templates" / "url.yaml").write_text('url: {{ include "datasource.checkedExternalURL" . | toJson }}\n')

    def taken(url: str) -> str | None:
        done = helm("template", "a", str(chart), values={"externalURL": url})
        if done.returncode != 0:
            assert "externalURL" in done.stderr, done.stderr
            assert "error calling" not in done.stderr.replace("error calling fail", "").replace(
                "error calling include", ""
            )
            return None
        return str(yaml.safe_load(done.stdout)["url"])

    return taken


def test_external_url_that_the_processes_take_is_taken(checked: Callable[[str], str | None]) -> None:
    assert [url for url in USABLE if checked(url) != url] == []
    assert checked(f"{EXTERNAL_URL}///") == EXTERNAL_URL
    assert checked("http://[::1]:8080/a/") == "http://[::1]:8080/a"


def test_external_url_that_the_processes_refuse_is_refused(checked: Callable[[str], str | None]) -> None:
    plain = [url.replace("https", "http") for url in USABLE if url.startswith("https://") and "[::1]" not in url]
    assert [url for url in (*UNUSABLE, *plain) if checked(url) is not None] == []


@pytest.mark.parametrize("path", ["", "/!$&()*+,;=:@", "/a//b", "/~team"])
def test_external_url_arrives_whole_wherever_it_is_used(path: str) -> None:
    url = f"https://Connect.Example.com:8443{path}"
    routed = {"ingress": {"enabled": True, "tlsSecretName": "a"}, "httpRoute": EVERYTHING["httpRoute"]}
    manifests = whole({"externalURL": f"{url}//", **routed})

    assert only(manifests, "ConfigMap", "datasource-config")["data"]["DATASOURCE_EXTERNAL_URL"] == url
    policy = only(manifests, "ValidatingAdmissionPolicy", "status-writes.datasource.dev")
    assert [each["expression"] for each in policy["spec"]["variables"] if each["name"] == "externalURL"] == [
        f"'{url}'.trim()"
    ]
    ingress, route = only(manifests, "Ingress")["spec"], only(manifests, "HTTPRoute")["spec"]
    assert [rule["host"] for rule in ingress["rules"]] == ["connect.example.com"]
    assert ingress["tls"][0]["hosts"] == route["hostnames"] == ["connect.example.com"]
    assert [each["path"] for each in ingress["rules"][0]["http"]["paths"]] == [
        f"{path}/authorize",
        f"{path}/callback",
        f"{path}/done",
    ]
    (container,) = only(manifests, "Pod")["spec"]["containers"]
    assert (
        container["command"][-1]
        == f"http://datasource-callback-server.datasource-system.svc:80{path}/authorize/helm/test"
    )


@pytest.mark.parametrize("host", ["10.0.0.1", "[2001:db8::1]", "my_host.example"])
@pytest.mark.parametrize("route", ["ingress", "httpRoute"])
def test_host_that_is_no_dns_name_is_refused_where_it_is_routed(host: str, route: str) -> None:
    url = f"https://{host}:8443"
    assert of_kind(rendered({"externalURL": url}), "Ingress") == []
    said = refusal({"externalURL": url, route: {**EVERYTHING[route], "enabled": True}})
    assert "need a DNS name in externalURL" in said
