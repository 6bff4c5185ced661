"""Other people's operators are given what their CRDs know: chart, manifests and examples; unknown fields are refused."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import pytest
import yaml

from deploy.local.cache import REPOSITORY
from deploy.local.cluster import Cluster
from tests.support import gitops_examples
from tests.support.api import Manifest
from tests.support.go_programs import EXTERNAL_SECRETS_CRDS, FLUX_CRDS, SEALED_SECRETS_CRDS, Crds, crds
from tests.support.helm import rendered
from tests.support.objects import install_crds, refusal

pytestmark = pytest.mark.cluster

SYSTEM, TEAM, ARGOCD, FLUX = "datasource-system", "team-a", "argocd", "flux-system"

MONITORING = "example/prometheus-operator-crd/monitoring.coreos.com_"
MODULES: tuple[Crds, ...] = (
    (
        "crds",
        "github.com/prometheus-operator/prometheus-operator",
        *(f"{MONITORING}{kind}.yaml" for kind in ("podmonitors", "prometheusrules", "servicemonitors")),
    ),
    ("crds", "sigs.k8s.io/gateway-api", "config/crd/standard/*_httproutes.yaml"),
    EXTERNAL_SECRETS_CRDS,
    ("argocd", "github.com/argoproj/argo-cd/v3", "manifests/crds/application-crd.yaml"),
    *FLUX_CRDS,
    SEALED_SECRETS_CRDS,
)

RELABELINGS = [{"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"}]

CHART_VALUES: Mapping[str, Any] = {
    "httpRoute": {
        "enabled": True,
        "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https"}],
        "annotations": {"example.com/owner": "platform"},
        "labels": {"example.com/tier": "edge"},
    },
    "monitoring": {
        "serviceMonitor": {
            "enabled": True,
            "labels": {"release": "prometheus"},
            "relabelings": RELABELINGS,
            "metricRelabelings": [{"action": "labeldrop", "regex": "pod"}],
        },
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    },
}
"""With everything on that takes a CRD of others."""

EXPECTED = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "HTTPRoute"}


def of_others(manifests: list[Manifest]) -> Iterator[Manifest]:
    yield from (each for each in manifests if each["kind"] in EXPECTED)


def manifests_of_deploy() -> list[Manifest]:
    folder = REPOSITORY / "deploy" / "monitoring"
    return [each for path in sorted(folder.glob("*.yaml")) for each in yaml.safe_load_all(path.read_text()) if each]


@pytest.fixture(scope="module")
def given() -> dict[str, Manifest]:
    """Every object for other people's operators, by where it comes from."""
    found = {f"chart: {each['kind']} {each['metadata']['name']}": each for each in of_others(rendered(CHART_VALUES))}
    at = "https://login.example.com/oauth/connect"
    for each in of_others(rendered({**CHART_VALUES, "externalURL": at})):
        if each["kind"] == "HTTPRoute":
            found["chart: HTTPRoute below a path"] = each
    for each in of_others(manifests_of_deploy()):
        found[f"deploy/monitoring: {each['kind']} {each['metadata']['name']}"] = each
    examples = gitops_examples.objects()
    # Those two are of Kubernetes and of ours.
    return found | {name: each for name, each in examples.items() if each["kind"] not in {"Namespace", "Datasource"}}


@pytest.fixture(scope="module")
def knowing(bare: Cluster) -> Cluster:
    """A cluster with the CRDs of all of them, and nothing else of theirs."""
    install_crds(bare, [path for module in MODULES for path in crds(*module)])
    for namespace in (SYSTEM, TEAM, ARGOCD, FLUX):
        bare.kubectl("create", "namespace", namespace)
    return bare


def test_every_object_is_accepted_to_the_letter(knowing: Cluster, given: dict[str, Manifest]) -> None:
    refused = {name: said for name, each in given.items() if (said := refusal(knowing, each, SYSTEM))}

    assert refused == {}


def test_a_field_that_they_do_not_know_would_be_refused(knowing: Cluster, given: dict[str, Manifest]) -> None:
    for name, each in given.items():
        wrong = deepcopy(each)
        wrong["spec"]["nonsense"] = True
        assert 'unknown field "spec.nonsense"' in refusal(knowing, wrong, SYSTEM), name


def test_all_kinds_are_there(given: dict[str, Manifest]) -> None:
    kinds = {each["kind"] for each in given.values()}
    flux = {"GitRepository", "OCIRepository", "Kustomization", "HelmRelease"}
    assert kinds == EXPECTED | flux | {"Application", "ExternalSecret", "SealedSecret"}
