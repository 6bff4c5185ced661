"""What the values of the chart do, and what is said of values that are wrong."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from deploy.local.cache import REPOSITORY
from generators.manifests import CHART
from generators.version import version
from kubectl_datasource.doctor import OUR_HEADERS
from tests.support.helm import Manifest, helm, in_order, of_kind, only, refusal, rendered
from tests.support.loopback import Loopback, QuietHandler

URL = "https://connect.example.com"
OPERATOR, CALLBACK_SERVER = "datasource-operator", "datasource-callback-server"
DEPLOYMENTS = (OPERATOR, CALLBACK_SERVER)


def pod(manifests: list[Manifest], deployment: str) -> dict[str, Any]:
    spec: dict[str, Any] = only(manifests, "Deployment", deployment)["spec"]["template"]["spec"]
    return spec


def container(manifests: list[Manifest], deployment: str) -> dict[str, Any]:
    (found,) = pod(manifests, deployment)["containers"]
    assert isinstance(found, dict)
    return found


def paths_of(route: Manifest) -> list[str]:
    if route["kind"] == "Ingress":
        (rule,) = route["spec"]["rules"]
        return [each["path"] for each in rule["http"]["paths"]]
    (rule,) = route["spec"]["rules"]
    return [each["path"]["value"] for each in rule["matches"]]


def test_helm_lint_finds_nothing_to_warn_about() -> None:
    printed = in_order(helm("lint", "--strict", str(CHART), values={"externalURL": "https://connect.example.com"}))
    assert "[WARNING]" not in printed
    assert "[ERROR]" not in printed


@pytest.fixture
def notes(tmp_path: Path) -> Callable[[dict[str, Any]], str]:
    """What helm prints after an installation. It shows that to nobody without a cluster, so a manifest has it here."""
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    (chart / "templates" / "NOTES.txt").rename(chart / "notes")
    (chart / "templates" / "notes.yaml").write_text('kind: Notes\ntext: {{ tpl (.Files.Get "notes") . | toJson }}\n')

    def rendered_notes(values: dict[str, Any]) -> str:
        options = ("--show-only", "templates/notes.yaml")
        done = helm("template", "datasource", str(chart), *options, values={"externalURL": URL, **values})
        return str(yaml.safe_load(in_order(done))["text"])

    return rendered_notes


def test_notes_say_that_an_image_without_a_registry_cannot_be_pulled(notes: Callable[[dict[str, Any]], str]) -> None:
    assert "names no registry" in notes({})
    assert "names no registry" not in notes({"image": {"registry": "registry.example.com"}})
    assert "names no registry" not in notes({"image": {"repository": "registry.example.com/datasource-operator"}})


def test_notes_go_from_a_proof_of_life_to_a_datasource_its_link_and_the_documentation(
    notes: Callable[[dict[str, Any]], str],
) -> None:
    said = notes({})
    steps = (
        "rollout status",
        "datasource doctor",
        "kind: Datasource",
        "redirectURI",
        "authorizationLink",
        "docs/index.md",
    )
    places = [said.index(step) for step in steps]
    assert places == sorted(places)
    pasted = re.search(r"^kubectl .* <<END\n(.*?)\nEND\n", said, re.DOTALL | re.MULTILINE)
    assert pasted is not None
    assert yaml.safe_load(pasted[1])["spec"] == {"url": "https://api.example.com/calendar/v3"}


def test_notes_name_the_paths_that_browsers_need(notes: Callable[[dict[str, Any]], str]) -> None:
    assert "Only /authorize, /callback and /done" in notes({})
    sign_in = {"issuer": "https://id.example.com", "clientID": "datasource", "secretName": "datasource-sign-in"}
    assert "all paths below it need" in notes({"signIn": sign_in})


def test_notes_say_how_a_url_of_this_machine_is_reached(notes: Callable[[dict[str, Any]], str]) -> None:
    assert "port-forward service/datasource-callback-server 8080:80" in notes({"externalURL": "http://localhost:8080"})
    assert "port-forward" not in notes({})


def helm_test(values: dict[str, Any]) -> Manifest:
    """The pod that `helm test` runs."""
    done = helm("template", "datasource", str(CHART), "--namespace", "apps", values={"externalURL": URL, **values})
    return only([each for each in yaml.safe_load_all(in_order(done)) if each], "Pod")


def test_helm_test_asks_through_the_service_below_the_prefix() -> None:
    (container,) = helm_test({"externalURL": f"{URL}/connect"})["spec"]["containers"]
    assert container["command"][-1] == "http://datasource-callback-server.apps.svc:80/connect/authorize/helm/test"
    assert container["image"] == f"datasource-operator:{version()}"


class Answering(QuietHandler):
    """Answers with what a subclass has."""

    answer: ClassVar[tuple[int, dict[str, str]]]

    def do_GET(self) -> None:
        status, headers = self.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((404, OUR_HEADERS), 0),
        ((404, {}), 1),
        ((200, OUR_HEADERS), 1),
        ((502, {}), 1),
    ],
    ids=["the callback server", "another server", "a page that there is not", "a proxy"],
)
def test_helm_test_knows_the_callback_server_by_its_answer(answer: tuple[int, dict[str, str]], code: int) -> None:
    (container,) = helm_test({})["spec"]["containers"]
    with Loopback(type("Ours", (Answering,), {"answer": answer})) as server:
        command = [sys.executable, *container["command"][1:-1], f"{server.origin}/authorize/helm/test"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)  # noqa: S603
    assert done.returncode == code, done.stderr


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a typo at the top": ({"externalUrl": "https://a.example"}, "additional properties 'externalUrl' not allowed"),
    "a typo below": ({"operator": {"replica": 1}}, "at '/operator': additional properties 'replica' not allowed"),
    "no external URL": ({"externalURL": ""}, "externalURL is required: the public URL of the callback server, such as"),
    "plain http": ({"externalURL": "http://connect.example.com"}, "externalURL must be https:// (http:// is for loop"),
    "no URL": ({"externalURL": "connect.example.com"}, "at '/externalURL': 'connect.example.com' does not match"),
    "a query": ({"externalURL": "https://a.example?b=c"}, "at '/externalURL'"),
    "namespaces as text": ({"namespaces": "team-a"}, "at '/namespaces': got string, want array"),
    "no namespace name": ({"namespaces": ["Team A"]}, "at '/namespaces/0': 'Team A' does not match pattern"),
    "a quote in a namespace": ({"namespaces": ["a'b"]}, "at '/namespaces/0'"),
    "a namespace twice": ({"namespaces": ["a", "a"]}, "at '/namespaces': items at 0 and 1 are equal"),
    "half a replica": ({"operator": {"replicas": 1.5}}, "at '/operator/replicas': got number, want integer"),
    "a log format there is not": ({"settings": {"logFormat": "xml"}}, "at '/settings/logFormat': value must be one of"),
    "a switch as text": ({"crds": {"install": "yes"}}, "at '/crds/install': got string, want boolean"),
    "a list as one text": ({"settings": {"egress": {"allow": ["a, b"]}}}, "at '/settings/egress/allow/0'"),
    "a setting as a variable": (
        {"extraEnv": [{"name": "DATASOURCE_NAMESPACES", "value": "a"}]},
        "at '/extraEnv/0/name': 'not' failed",
    ),
    "a digest that is a tag": ({"image": {"digest": "v1"}}, "at '/image/digest': 'v1' does not match pattern"),
    "no Gateway": ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs is required with httpRoute.enabled"),
    "nobody's ServiceAccount": (
        {"callbackServer": {"serviceAccount": {"create": False}}},
        "callbackServer.serviceAccount.name is required with callbackServer.serviceAccount.create=false",
    ),
    "a port there is not": ({"callbackServer": {"service": {"port": 70000}}}, "at '/callbackServer/service/port'"),
    "a label that is a number": ({"commonLabels": {"team": 7}}, "at '/commonLabels/team': got number, want string"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_value_is_refused_by_name(case: str) -> None:
    values, message = REFUSED[case]
    assert message in refusal(values)


def differing(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> set[str]:
    """Where values.yaml and the schema know different keys; a schema without `properties` leaves them open."""
    known = schema.get("properties", {})
    if not known:
        return set()
    found = {f"{path}/{name}" for name in set(values) ^ set(known)}
    return found.union(*(differing(values[name], known[name], f"{path}/{name}") for name in set(values) & set(known)))


def test_values_and_schema_know_the_same_keys() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())

    # `global` is what Helm gives every chart; limits may have claims beside them, but have none by default.
    assert differing(values, schema) == {"/global", "/operator/resources/claims", "/callbackServer/resources/claims"}


def test_every_value_has_a_comment() -> None:
    """Above it, or above the first of a few that belong together."""
    bare, commented = [], False
    for line in (CHART / "values.yaml").read_text().splitlines():
        if not line.strip():
            commented = False
        elif line.lstrip().startswith("#"):
            commented = True
        elif line.endswith(":"):
            # A section: what is in it speaks for itself, or is free-form below a comment.
            commented = commented or line.startswith(" ")
        elif not commented:
            bare.append(line)
    assert bare == []


def test_older_cluster_is_refused_by_helm() -> None:
    done = helm("template", "a", str(CHART), "--kube-version", "1.30.9", values={"externalURL": "https://a.example"})
    assert done.returncode != 0
    assert "chart requires kubeVersion: >=1.31.0-0 which is incompatible with Kubernetes v1.30.9" in done.stderr


@pytest.mark.parametrize("version", ["1.31.0", "v1.31.4-gke.1372000", "1.36.3+k3s1"])
def test_the_oldest_and_vendors_versions_are_taken(version: str) -> None:
    in_order(helm("template", "a", str(CHART), "--kube-version", version, values={"externalURL": "https://a.example"}))


def test_crd_is_kept_at_uninstall_unless_told_otherwise() -> None:
    policy = "helm.sh/resource-policy"
    crd = "CustomResourceDefinition"
    assert only(rendered(), crd)["metadata"]["annotations"][policy] == "keep"
    assert policy not in only(rendered({"crds": {"keep": False}}), crd)["metadata"].get("annotations", {})
    assert of_kind(rendered({"crds": {"install": False}}), crd) == []


def test_policy_follows_a_service_account_of_another_name() -> None:
    manifests = rendered({"callbackServer": {"serviceAccount": {"create": False, "name": "web"}}}, namespace="platform")
    policy = only(manifests, "ValidatingAdmissionPolicy", "callback-server-writes.datasource.dev")
    (condition,) = policy["spec"]["matchConditions"]
    subjects = only(manifests, "ClusterRoleBinding", CALLBACK_SERVER)["subjects"]

    assert condition["expression"] == "request.userInfo.username == 'system:serviceaccount:platform:web'"
    assert subjects == [{"kind": "ServiceAccount", "name": "web", "namespace": "platform"}]
    assert pod(manifests, CALLBACK_SERVER)["serviceAccountName"] == "web"
    assert [each["metadata"]["name"] for each in of_kind(manifests, "ServiceAccount")] == [OPERATOR]


def test_keys_of_templates_are_those_of_the_values_and_each_release_has_its_own() -> None:
    shipped = yaml.safe_load((REPOSITORY / "deploy/base/cluster/template-keys.yaml").read_text().split("\n---\n")[0])
    of_chart = only(rendered(), "ConfigMap", "datasource-template-keys")["data"]
    assert of_chart["keys"].split() == shipped["data"]["keys"].split()

    changed = {"admissionPolicies": {"templateKeys": ["example.com/", "app"]}, "fullnameOverride": "acme"}
    manifests = rendered(changed, namespace="platform")
    (binding,) = (
        each
        for each in of_kind(manifests, "ValidatingAdmissionPolicyBinding")
        if each["metadata"]["name"] == "acme-template-keys.datasource.dev"
    )
    keys = only(manifests, "ConfigMap", binding["spec"]["paramRef"]["name"])
    assert keys["data"] == {"keys": "example.com/\napp"}
    assert keys["metadata"]["namespace"] == binding["spec"]["paramRef"]["namespace"] == "platform"


def test_second_release_shares_no_name_with_the_first() -> None:
    def names(manifests: list[Manifest]) -> set[tuple[str, str]]:
        return {(each["kind"], each["metadata"]["name"]) for each in manifests}

    first = rendered({"namespaces": ["team-a"]})
    second = rendered({"namespaces": ["team-b"], "fullnameOverride": "acme", "crds": {"install": False}})

    assert names(first) & names(second) == set()
    bindings = {each["spec"]["policyName"] for each in of_kind(second, "ValidatingAdmissionPolicyBinding")}
    assert bindings == {each["metadata"]["name"] for each in of_kind(second, "ValidatingAdmissionPolicy")}


def test_rights_that_are_given_by_name_reach_the_account_and_keep_their_names_in_a_second_release() -> None:
    account = {"callbackServer": {"serviceAccount": {"create": False, "name": "connect"}}}
    manifests = rendered({"namespaces": ["team-b"], "fullnameOverride": "acme", **account}, namespace="platform")

    settings = only(manifests, "ConfigMap", "acme-config")["data"]
    assert settings["DATASOURCE_CALLBACK_SERVER_ACCOUNT"] == "connect"
    policy = only(manifests, "ValidatingAdmissionPolicy", "acme-callback-role-bindings.datasource.dev")
    text = json.dumps(policy["spec"])
    assert "subject.name == 'connect'" in text
    assert "'system:serviceaccount:platform:acme-operator'" in text
    for role, name in (("acme-operator", "datasource-callback-rights"), ("acme-operator-lease", "datasource-operator")):
        named = [rule["resourceNames"] for rule in only(manifests, "Role", role)["rules"] if "resourceNames" in rule]
        assert [names[0] for names in named] == [name], role
    lease = only(manifests, "ValidatingAdmissionPolicy", "acme-lease-writes.datasource.dev")
    assert "object.metadata.name == 'datasource-' + 'operator'" in json.dumps(lease["spec"])


def test_policy_on_statuses_is_told_the_external_url() -> None:
    policy = only(rendered({}), "ValidatingAdmissionPolicy", "status-writes.datasource.dev")
    (url,) = (each["expression"] for each in policy["spec"]["variables"] if each["name"] == "externalURL")
    assert url == "'https://connect.example.com'.trim()"


def test_viewer_is_aggregated_to_nothing() -> None:
    aggregating = {
        each["metadata"]["name"]: {
            key.rpartition("-")[2] for key in each["metadata"]["labels"] if key.startswith("rbac.authorization.k8s.io/")
        }
        for each in of_kind(rendered({"namespaces": ["team-a"]}), "ClusterRole")
    }
    assert aggregating == {
        "datasource-authorizer": set(),
        "datasource-editor": {"edit", "admin"},
        "datasource-viewer": set(),
    }


SIGN_IN = {
    "signIn": {"issuer": "https://id.example.com", "clientID": "datasource", "secretName": "sign-in", "caKey": "ca.crt"}
}


def test_client_secret_of_sign_in_is_known_to_the_callback_server_alone() -> None:
    pods = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in of_kind(rendered(SIGN_IN), "Deployment")
    }
    server = pods["datasource-callback-server"]
    assert {"name": "sign-in", "secret": {"secretName": "sign-in"}} in server["volumes"]
    (mount,) = [each for each in server["containers"][0]["volumeMounts"] if each["name"] == "sign-in"]
    (settings,) = [
        each["data"]
        for each in of_kind(rendered(SIGN_IN), "ConfigMap")
        if each["metadata"]["name"] == "datasource-config"
    ]
    assert settings["DATASOURCE_SIGN_IN_SECRET_FILE"] == f"{mount['mountPath']}/client-secret"
    assert settings["DATASOURCE_SIGN_IN_CA_FILE"] == f"{mount['mountPath']}/ca.crt"
    assert "sign-in" not in str(pods["datasource-operator"])


@pytest.mark.parametrize("missing", ["clientID", "secretName"])
def test_sign_in_names_what_it_lacks(missing: str) -> None:
    values = {"signIn": SIGN_IN["signIn"] | {missing: ""}}
    assert f"signIn.{missing} is required" in refusal(values)


def test_first_page_is_routed_where_people_sign_in() -> None:
    on = {"externalURL": "https://connect.example.com/tokens", "ingress": {"enabled": True}}
    (ingress,) = of_kind(rendered(SIGN_IN | on), "Ingress")
    assert [each["path"] for each in ingress["spec"]["rules"][0]["http"]["paths"]] == ["/tokens/"]


def test_without_sign_in_nothing_is_said_of_it() -> None:
    told = [each for each in rendered({}) if each["kind"] in {"Deployment", "ConfigMap"}]
    assert "sign-in" not in str(told)
    assert "SIGN_IN" not in str(told)
    assert "localsubjectaccessreviews" not in str(rendered({}))


def test_viewers_look_by_the_role_view_where_people_sign_in_unless_nothing_is_aggregated() -> None:
    label = "rbac.authorization.k8s.io/aggregate-to-view"
    assert only(rendered(SIGN_IN), "ClusterRole", "datasource-viewer")["metadata"]["labels"][label] == "true"
    apart = only(rendered(SIGN_IN | {"rbac": {"aggregate": False}}), "ClusterRole", "datasource-viewer")
    assert label not in apart["metadata"]["labels"]


def test_roles_for_people_can_be_left_out_or_unaggregated() -> None:
    one = {"namespaces": ["team-a"]}
    assert of_kind(rendered({**one, "rbac": {"userRoles": False}}), "ClusterRole") == []
    apart = only(rendered({**one, "rbac": {"aggregate": False}}), "ClusterRole", "datasource-editor")
    assert not any(key.startswith("rbac.authorization.k8s.io/") for key in apart["metadata"]["labels"])


def test_admin_without_cluster_rights_can_install_what_is_namespaced() -> None:
    manifests = rendered(
        {
            "namespaces": ["team-a"],
            "crds": {"install": False},
            "rbac": {"userRoles": False},
            "admissionPolicies": {"create": False},
        }
    )
    assert all("namespace" in each["metadata"] for each in manifests)


@pytest.mark.parametrize("kind", ["Ingress", "HTTPRoute"])
def test_only_the_pages_are_routed(kind: str) -> None:
    manifests = rendered(
        {
            "externalURL": "https://connect.example.com/oauth/",
            "ingress": {"enabled": True, "className": "nginx", "tlsSecretName": "connect-tls"},
            "httpRoute": {"enabled": True, "parentRefs": [{"name": "public", "namespace": "gateways"}]},
        }
    )
    route = only(manifests, kind)
    assert paths_of(route) == ["/oauth/authorize", "/oauth/callback", "/oauth/done"]
    assert route["apiVersion"] in {"networking.k8s.io/v1", "gateway.networking.k8s.io/v1"}
    assert "connect.example.com" in json.dumps(route["spec"])
    assert CALLBACK_SERVER in json.dumps(route["spec"])


def test_route_without_a_prefix_is_at_the_root() -> None:
    assert paths_of(only(rendered({"ingress": {"enabled": True}}), "Ingress")) == ["/authorize", "/callback", "/done"]


def test_network_policies_let_in_and_out_what_is_needed() -> None:
    network = {"10": {"ipBlock": {"cidr": "10.0.0.0/8"}}}
    manifests = rendered(
        {
            "networkPolicy": {
                "enabled": True,
                "ingress": {"pages": [network["10"]]},
                "egress": {"extra": [{"ports": [{"port": 3128}]}]},
            }
        }
    )
    allowed = {
        each["metadata"]["name"]: (
            sorted(str(port["port"]) for rule in each["spec"]["ingress"] for port in rule["ports"]),
            sorted({int(port["port"]) for rule in each["spec"]["egress"] for port in rule["ports"]}),
        )
        for each in of_kind(manifests, "NetworkPolicy")
    }
    assert allowed == {
        OPERATOR: (["health"], [53, 443, 3128, 6443]),
        CALLBACK_SERVER: (["health", "http"], [53, 443, 3128, 6443]),
    }
    pages = only(manifests, "NetworkPolicy", CALLBACK_SERVER)["spec"]["ingress"][1]
    assert pages["from"] == [network["10"]]


SCRAPERS = [{"namespaceSelector": {"matchLabels": {"datasource.dev/scrapes-metrics": "true"}}}]


def test_metrics_are_for_labelled_namespaces_unless_told_otherwise() -> None:
    def who_may_scrape(**network_policy: Any) -> dict[str, Any]:
        return {
            each["metadata"]["name"]: rule.get("from", "everybody")
            for each in of_kind(rendered({"networkPolicy": network_policy}), "NetworkPolicy")
            for rule in each["spec"]["ingress"]
            if rule["ports"][0]["port"] == "health"
        }

    assert who_may_scrape() == {"datasource-metrics": SCRAPERS}
    assert who_may_scrape(enabled=True) == {OPERATOR: SCRAPERS, CALLBACK_SERVER: SCRAPERS}
    assert who_may_scrape(ingress={"metrics": []}) == {"datasource-metrics": "everybody"}
    assert who_may_scrape(metrics=False) == {}


def test_service_monitors_select_the_services_for_metrics_and_no_other() -> None:
    manifests = rendered({"monitoring": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}}})
    for monitor in of_kind(manifests, "ServiceMonitor"):
        labels, (endpoint,) = monitor["spec"]["selector"]["matchLabels"], monitor["spec"]["endpoints"]
        selected = [
            service["metadata"]["name"]
            for service in of_kind(manifests, "Service")
            if labels.items() <= service["metadata"]["labels"].items()
            and endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
        ]
        assert selected == [f"{monitor['metadata']['name']}-metrics"]
        assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_alerts_and_dashboards_come_with_the_chart_and_name_its_namespace() -> None:
    switches = {
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboards": {"enabled": True},
    }
    manifests = rendered({"monitoring": switches}, namespace="platform")
    alerts = only(manifests, "PrometheusRule")
    (dashboard,) = (
        each for each in of_kind(manifests, "ConfigMap") if "grafana_dashboard" in each["metadata"]["labels"]
    )

    assert alerts["metadata"]["labels"]["release"] == "prometheus"
    assert "kubectl -n platform" in json.dumps(alerts)
    assert "datasource-system" not in json.dumps(alerts)
    assert all(json.loads(each)["title"] for each in dashboard["data"].values())


def runbooks(rule: Manifest) -> set[str]:
    return {each["annotations"]["runbook_url"] for group in rule["spec"]["groups"] for each in group["rules"]}


@pytest.mark.parametrize("address", ["", "https://git.example.com/x/blob/main/"])
def test_runbooks_of_alerts_are_below_the_address_that_is_given(address: str) -> None:
    manifests = rendered({"monitoring": {"prometheusRule": {"enabled": True, "runbookURL": address}}})
    found = runbooks(only(manifests, "PrometheusRule"))
    assert f"{address}docs/alerts.md#datasourcenoleader" in found
    assert all(each.startswith(f"{address}docs/alerts.md#") for each in found)


@pytest.mark.parametrize("process", ["operator", "callbackServer"])
def test_single_replica_has_no_disruption_budget(process: str) -> None:
    budgets = of_kind(rendered({process: {"replicas": 1}}), "PodDisruptionBudget")
    assert len(budgets) == 1


def test_settings_reach_the_environment() -> None:
    config = only(
        rendered(
            {
                "namespaces": ["a", "b"],
                "settings": {
                    "allowInsecureHTTP": True,
                    "logFormat": "text",
                    "metricsPerObject": False,
                    "revocationSeconds": 999999,
                    "requireAllowedHosts": True,
                    "branding": {
                        "name": "Example Corp",
                        "clusterName": "prod-eu",
                        "supportAddress": "help@example.com",
                        "color": "#7a1fa2",
                        "texts": {"de": {"dialog.button": 'Los "jetzt"'}},
                    },
                    "egress": {"allow": ["login.corp.example", "10.0.0.0/8"], "deny": [".evil.example"]},
                },
            },
            namespace="platform",
        ),
        "ConfigMap",
        "datasource-config",
    )
    assert config["data"] == {
        "DATASOURCE_EXTERNAL_URL": "https://connect.example.com",
        "DATASOURCE_SYSTEM_NAMESPACE": "platform",
        "DATASOURCE_NAMESPACES": "a,b",
        "DATASOURCE_CALLBACK_SERVER_ACCOUNT": "datasource-callback-server",
        "DATASOURCE_ALLOW_INSECURE_HTTP": "true",
        "DATASOURCE_EGRESS_ALLOW": "login.corp.example,10.0.0.0/8",
        "DATASOURCE_EGRESS_DENY": ".evil.example",
        "DATASOURCE_REQUIRE_ALLOWED_HOSTS": "true",
        "DATASOURCE_LOG_FORMAT": "text",
        "DATASOURCE_METRICS_PER_OBJECT": "false",
        "DATASOURCE_INSTALLATION_NAME": "Example Corp",
        "DATASOURCE_CLUSTER_NAME": "prod-eu",
        "DATASOURCE_SUPPORT_ADDRESS": "help@example.com",
        "DATASOURCE_LOGO": "",
        "DATASOURCE_COLOR": "#7a1fa2",
        "DATASOURCE_COLOR_DARK": "",
        "DATASOURCE_TEXTS": '{"de":{"dialog.button":"Los \\"jetzt\\""}}',
        "DATASOURCE_REVOCATION_SECONDS": "999999",
    }


def test_changed_setting_rolls_the_pods() -> None:
    def checksums(values: dict[str, Any]) -> list[str]:
        found = of_kind(rendered(values), "Deployment")
        return [each["spec"]["template"]["metadata"]["annotations"]["checksum/config"] for each in found]

    assert checksums({}) == checksums({})
    assert set(checksums({})) & set(checksums({"settings": {"logFormat": "text"}})) == set()


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_replicas_keep_apart_on_nodes_that_have_no_zone(deployment: str) -> None:
    def placed(**process: Any) -> dict[str, Any]:
        return pod(rendered({"operator": process, "callbackServer": process}), deployment)

    # A spread constraint leaves nodes that lack one of the labels out of account.
    assert "topologySpreadConstraints" not in placed()
    preferred = placed()["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    keys = {each["podAffinityTerm"]["topologyKey"]: each["weight"] for each in preferred}
    assert keys == {"kubernetes.io/hostname": 100, "topology.kubernetes.io/zone": 50}
    own = only(rendered({}), "Deployment", deployment)["spec"]["selector"]["matchLabels"]
    assert all(each["podAffinityTerm"]["labelSelector"]["matchLabels"] == own for each in preferred)

    constraint = {"topologyKey": "rack", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
    assert "affinity" not in placed(topologySpreadConstraints=[constraint])
    assert placed(affinity={"nodeAffinity": {}})["affinity"] == {"nodeAffinity": {}}


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_journal_is_kept_in_memory_and_in_the_pods_own_limit(deployment: str) -> None:
    """tmpfs counts as memory of whoever writes it: without room for that, a full journal would end the process."""
    manifests = rendered({})
    whole, inside = pod(manifests, deployment), container(manifests, deployment)
    assert whole["volumes"] == [{"name": "journal", "emptyDir": {"medium": "Memory", "sizeLimit": "32Mi"}}]
    (mount,) = inside["volumeMounts"]
    assert mount == {"name": "journal", "mountPath": "/var/lib/datasource"}
    assert {"name": "DATASOURCE_JOURNAL", "value": mount["mountPath"]} in inside["env"]
    assert inside["resources"]["limits"]["memory"] in {"544Mi", "288Mi"}
    assert inside["securityContext"]["readOnlyRootFilesystem"] is True
    assert "fsGroup" not in whole["securityContext"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_journal_may_be_left_out(deployment: str) -> None:
    manifests = rendered({"journal": {"enabled": False}})
    whole, inside = pod(manifests, deployment), container(manifests, deployment)
    assert "volumes" not in whole
    assert "volumeMounts" not in inside
    assert "DATASOURCE_JOURNAL" not in [each["name"] for each in inside["env"]]


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_what_pods_may_be_given_arrives(deployment: str) -> None:
    process = {
        "priorityClassName": "high",
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [{"topologyKey": "rack", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}],
        "podLabels": {"team": "platform"},
        "podAnnotations": {"note": "yes"},
        "extraEnv": [{"name": "NO_PROXY", "value": "10.0.0.0/8"}],
        "resources": {"requests": {"memory": "1Gi"}},
    }
    manifests = rendered(
        {
            "operator": process,
            "callbackServer": process,
            "image": {"registry": "registry.example.com", "digest": "sha256:" + "0" * 64, "pullPolicy": "Always"},
            "imagePullSecrets": [{"name": "registry"}],
            "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
            "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
            "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ca"}],
            "commonLabels": {"cost": "7"},
            "commonAnnotations": {"owner": "platform"},
        }
    )
    whole, inside = pod(manifests, deployment), container(manifests, deployment)
    template = only(manifests, "Deployment", deployment)["spec"]["template"]["metadata"]

    for key in ("priorityClassName", "nodeSelector", "tolerations", "affinity", "topologySpreadConstraints"):
        assert whole[key] == process[key], key
    assert whole["imagePullSecrets"] == [{"name": "registry"}]
    assert whole["volumes"][1:] == [{"name": "ca", "configMap": {"name": "ca"}}]
    assert inside["volumeMounts"][1:] == [{"name": "ca", "mountPath": "/etc/ca"}]
    assert inside["image"] == "registry.example.com/datasource-operator@sha256:" + "0" * 64
    assert inside["imagePullPolicy"] == "Always"
    assert inside["resources"]["requests"]["memory"] == "1Gi"
    assert [each["name"] for each in inside["env"]][-2:] == ["HTTPS_PROXY", "NO_PROXY"]
    assert template["labels"]["team"] == "platform"
    assert template["annotations"]["note"] == "yes"
    for each in manifests:
        assert each["metadata"]["labels"]["cost"] == "7", each["metadata"]["name"]
        assert each["metadata"]["annotations"]["owner"] == "platform", each["metadata"]["name"]


def test_extra_objects_are_maps_or_templates() -> None:
    manifests = rendered(
        {
            "extraObjects": [
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}},
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-two\n",
            ]
        }
    )
    names = {each["metadata"]["name"] for each in of_kind(manifests, "ConfigMap")}
    assert {"one", "datasource-two"} <= names


def test_receiver_of_notifications_is_known_to_the_operator_alone() -> None:
    values = {"settings": {"notifications": {"url": "https://alerts.example.com/hook", "secretName": "notify"}}}
    pods = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in of_kind(rendered(values), "Deployment")
    }
    operator, callback_server = pods["datasource-operator"], pods["datasource-callback-server"]
    variables = {each["name"]: each.get("value") for each in operator["containers"][0]["env"]}
    assert variables["DATASOURCE_NOTIFY_URL"] == "https://alerts.example.com/hook"
    mounts = {each["name"]: each["mountPath"] for each in operator["containers"][0]["volumeMounts"]}
    assert variables["DATASOURCE_NOTIFY_SECRET_FILE"] == f"{mounts['notify-key']}/key"
    assert [each["secret"] for each in operator["volumes"] if each["name"] == "notify-key"] == [
        {"secretName": "notify", "items": [{"key": "key", "path": "key"}]}
    ]
    assert "notify" not in str(callback_server).lower()


def test_without_a_receiver_nothing_is_mounted_for_it() -> None:
    assert "notify" not in str(of_kind(rendered({}), "Deployment")).lower()
