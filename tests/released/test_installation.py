"""Installed from dist/ alone: image, chart and plugin of a release, on a real node, up to an app that reads its token."""

import fnmatch
import json
import re
import shlex
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local import build
from deploy.local.browser import authorize, chromium
from deploy.local.cluster import Cluster
from deploy.local.node.layout import PLANE
from deploy.local.node.nodes import Nodes
from deploy.local.node.product import DEPLOYMENTS, Manifest, address_of_pages, wait_until_available
from deploy.local.processes import free_ports
from deploy.local.provider import DEMO_LOGIN, DEMO_PASSWORD, Provider
from release.program import archive_name, this_platform
from tests.node.ability import require_nodes
from tests.node.conftest import reached_from_pods
from tests.node.installed import container_of, inside, keep_logs, pods, prepare, uninstall
from tests.released.conftest import Release
from tests.support.download import Download
from tests.support.plugin import editor
from tests.support.released import REGISTRY_PATH, VERSION, documented, tried
from tests.support.user import CLIENT_SECRET, User, eventually

pytestmark = pytest.mark.released

IMAGE = f"{REGISTRY_PATH}:{VERSION}"
ARCHIVE = f"datasource-operator-{VERSION}.oci.tar"
CHART = f"datasource-operator-{VERSION}.tgz"
PROGRAM = archive_name(VERSION, this_platform())
URL = "https://connect.example.com"


@pytest.fixture(scope="module")
def nodes(folder: Path) -> Iterator[Nodes]:
    """A node that has no image of ours."""
    require_nodes()
    with Nodes(folder / "nodes", archives=[]) as started:
        yield started


@pytest.fixture(scope="module")
def cluster(nodes: Nodes) -> Cluster:
    """What kubectl works with."""
    return nodes.cluster


@pytest.fixture(scope="module")
def download(release: Release, nodes: Nodes, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Download:
    """The folder, found to be what was signed; the node has its image."""
    made = Download(release.dist, tmp_path_factory.mktemp("home"), cluster)
    assert "Verified OK" in made.types(documented("openssl dgst"))
    made.types(documented("sha256sum"))
    type_on_the_node(nodes, f"cd {shlex.quote(str(made.dist))} && {made.line('ctr ')}")
    return made


def type_on_the_node(nodes: Nodes, line: str) -> None:
    """Run a line where containerd of the one node runs."""
    programs = build.container_runtime().folder
    there = f'exec nsenter --mount --target="$(pgrep -xo {build.CONTAINERD.name})" -- env "PATH=$PATH:{programs}" sh -c "$1"'
    nodes.run("sh", "-c", there, "sh", line)


@pytest.fixture(scope="module")
def product(download: Download, nodes: Nodes, provider: Provider, folder: Path) -> Iterator[str]:
    """The chart's package, with no value for the image; its external URL."""
    (port,) = free_ports(1)
    url = f"http://localhost:{port}"
    prepare(nodes.cluster)
    # The provider is on the nodes' own network, without TLS.
    here = f"--set settings.allowInsecureHTTP=true --set 'settings.egress.allow={{{PLANE}}}'"
    line = download.line("helm install")
    assert line.endswith(f"externalURL={URL}")
    try:
        download.types(f"{line.replace(URL, url)} {here} --timeout 5m")
        wait_until_available(nodes.cluster)
        nodes.carried_in(port, address_of_pages(nodes.cluster), 80)
        nodes.carried_out(int(provider.issuer.rpartition(":")[2]))
        yield url
    finally:
        keep_logs(nodes.cluster, folder / "logs")


@pytest.fixture
def user(cluster: Cluster, namespace: str, provider: Provider, product: str) -> User:
    """Somebody with a namespace of their own."""
    return User(cluster, namespace, provider, product)


@pytest.fixture(scope="module")
def plugin(download: Download) -> Download:
    """With the plugin out of its archive."""
    download.types(download.line("tar -xzf"))
    return download


def test_two_releases_of_one_commit_are_the_same_whoever_makes_them_where(release: Release) -> None:
    assert release.first == release.second
    # Each kind of file is among those that were compared.
    kinds = {
        "image": ARCHIVE,
        "chart": CHART,
        "wheels": "*-py3-none-any.whl",
        "sdists": f"*_*-{VERSION}.tar.gz",
        "plugin": PROGRAM,
        "bills": "*.cdx.json",
        "provenance": "provenance.intoto.jsonl",
        "checksums": "checksums.txt",
        "signatures": "*.sig",
        "bundles": "*.sigstore.json",
    }
    found = {kind: len(fnmatch.filter(release.first, pattern)) for kind, pattern in kinds.items()}
    several = {"wheels": 2, "sdists": 2, "bills": 3, "signatures": 17, "bundles": 18}
    assert found == dict.fromkeys(kinds, 1) | several


def test_pods_run_the_released_image_which_was_pulled_from_nowhere(product: str, cluster: Cluster) -> None:
    assert {container_of(pod)["image"] for each in DEPLOYMENTS for pod in pods(cluster, each)} == {IMAGE}
    reasons = [each["reason"] for each in cluster.get("events", "-n", SYSTEM_NAMESPACE)["items"]]
    assert "Pulled" in reasons
    assert "Pulling" not in reasons


def test_chart_out_of_its_package_passes_its_own_test(product: str, download: Download) -> None:
    assert "Succeeded" in download.types(download.line("helm test"))


def test_person_who_has_the_released_plugin_authorizes_in_chromium_and_an_app_reads_the_token(
    user: User, cluster: Cluster, plugin: Download, provider: Provider
) -> None:
    user.register_application()
    user.apply(client_secret())
    user.apply(user.datasource(user.oauth2(**reached_from_pods(provider))))
    # With the rights of the released ClusterRole, in one namespace.
    rights = editor(cluster, user.namespace).kubeconfig
    command = f"kubectl datasource {{}} -n {user.namespace}"

    link = plugin.types(command.format("authorize calendar --no-wait"), rights).strip()
    with chromium() as browser:
        authorize(browser.new_page(), link, DEMO_LOGIN, DEMO_PASSWORD)

    plugin.types(command.format("wait calendar --for authorized"), rights)
    assert user.state() == "AUTHORIZED"
    user.apply(app(str(user.status()["tokenSecretName"])))
    user.kubectl("wait", "pod/app", "--for=condition=Ready", "--timeout=180s")

    def said() -> str:
        return user.kubectl("logs", "app").strip()

    eventually("the app has read its token", lambda: said() in provider.secrets().access_tokens)


def client_secret() -> Manifest:
    """The client Secret, as kubectl applies it."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "app"},
        "stringData": {"client-secret": CLIENT_SECRET},
    }


def app(secret: str) -> Manifest:
    """An app that mounts a token Secret; the node has no image but the released one."""
    container = {
        "name": "app",
        "image": IMAGE,
        "command": ["sh", "-c", "cat /token/access_token && echo && sleep 3600"],
        "volumeMounts": [{"name": "token", "mountPath": "/token", "readOnly": True}],
    }
    volume = {"name": "token", "secret": {"secretName": secret}}
    spec = {"containers": [container], "volumes": [volume], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app"}, "spec": spec}


def test_everything_is_of_one_version(product: str, release: Release, cluster: Cluster, plugin: Download) -> None:
    told = json.loads(plugin.types("kubectl datasource version -o json"))
    assert told == {
        "client": VERSION,
        "processes": {"callback-server": VERSION, "operator": VERSION},
        "api": ["v1alpha1"],
    }
    # The tag of an image is a name; this is what is in it.
    look = "import importlib.metadata; print(importlib.metadata.version('datasource-operator'))"
    for each in DEPLOYMENTS:
        assert inside(cluster, pods(cluster, each)[0]["metadata"]["name"], "python", "-c", look).strip() == VERSION
    with tarfile.open(release.dist / CHART) as opened:
        member = opened.extractfile("datasource-operator/Chart.yaml")
        assert member is not None
        chart = yaml.safe_load(member)
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)
    assert yaml.safe_load((release.dist / "datasource.yaml").read_text())["spec"]["version"] == f"v{VERSION}"
    for wheel in release.dist.glob("*.whl"):
        with zipfile.ZipFile(wheel) as packed:
            (metadata,) = (name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
            assert f"\nVersion: {VERSION}\n" in packed.read(metadata).decode()
    bills = [json.loads(each.read_text()) for each in release.dist.glob("*.cdx.json")]
    assert [each["metadata"]["component"]["version"] for each in bills] == [VERSION] * 3


def test_bill_of_the_image_names_what_runs_in_it(product: str, release: Release, cluster: Cluster) -> None:
    (bill,) = (json.loads(each.read_text()) for each in release.dist.glob("*.image.cdx.json"))
    named = {(each["name"], each["version"]) for each in bill["components"] if each["purl"].startswith("pkg:pypi/")}
    look = """
import importlib.metadata, json
print(json.dumps([(each.name, each.version) for each in importlib.metadata.distributions()]))
"""
    (name, *_) = (pod["metadata"]["name"] for pod in pods(cluster, DEPLOYMENTS[0]))
    runs = json.loads(inside(cluster, name, "python", "-c", look))
    assert len(runs) > 30
    assert {(re.sub(r"[-_.]+", "-", each).lower(), version) for each, version in runs} <= named


def test_krew_installs_the_plugin_from_its_archive_and_refuses_another_one(download: Download, tmp_path: Path) -> None:
    line = download.line("kubectl krew install")
    (download.programs / "kubectl-krew").unlink(missing_ok=True)
    download.programs.mkdir(parents=True, exist_ok=True)
    (download.programs / "kubectl-krew").symlink_to(build.krew())
    spoilt = tmp_path / "spoilt.tar.gz"
    spoilt.write_bytes((download.dist / PROGRAM).read_bytes() + b"\0")
    refused = download.tries(line.replace(PROGRAM, str(spoilt)))
    assert refused.returncode != 0
    assert "checksum does not match" in refused.stderr
    download.types(line)
    installed = download.home / ".krew" / "bin" / "kubectl-datasource"
    assert download.types(f"{installed} version --client").strip().endswith(VERSION)


@pytest.mark.parametrize("name", [CHART, ARCHIVE, "install.yaml", PROGRAM])
def test_one_byte_more_or_another_in_a_file_is_noticed(name: str, release: Release, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    for each in release.dist.iterdir():
        (copy / each.name).hardlink_to(each)
    line = documented("sha256sum")
    assert tried("sh", "-c", line, cwd=copy).returncode == 0, "the folder may be anywhere"
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    for spoilt in (bytes(content), (copy / name).read_bytes() + b"\0"):
        (copy / name).unlink()
        (copy / name).write_bytes(spoilt)
        done = tried("sh", "-c", line, cwd=copy, LC_ALL="C")
        assert done.returncode != 0
        assert [each for each in done.stdout.splitlines() if not each.endswith(": OK")] == [f"{name}: FAILED"]


def test_install_yaml_alone_brings_up_the_same(product: str, download: Download, cluster: Cluster) -> None:
    """Last of all: the chart goes for it."""
    download.types(f"helm uninstall datasource --namespace {SYSTEM_NAMESPACE} --wait")
    uninstall(cluster)
    prepare(cluster)
    line = download.line("kubectl apply --server-side")
    assert URL in line
    download.types(line.replace(URL, product))
    wait_until_available(cluster)
    before = generations(cluster)
    download.types(line.replace(URL, product))
    assert generations(cluster) == before, "what is applied again rolls nothing out"
    assert {container_of(pod)["image"] for each in DEPLOYMENTS for pod in pods(cluster, each)} == {IMAGE}


def generations(cluster: Cluster) -> dict[str, int]:
    """How often what each Deployment is to be was changed."""
    found = cluster.get("deployments", "-n", SYSTEM_NAMESPACE)["items"]
    assert len(found) == len(DEPLOYMENTS)
    return {each["metadata"]["name"]: each["metadata"]["generation"] for each in found}
