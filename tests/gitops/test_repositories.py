"""The recipes for repositories, under Flux's source-controller and Argo CD's own packages: a first token, and the next.

The server takes the newest access token of the real provider, and no other. The operator writes the token Secret.
"""

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.cluster import Cluster
from deploy.local.provider import Provider
from tests.support.api import CONFIG_MAPS, SECRETS, Manifest
from tests.support.argocd_repositories import ArgoRepositories
from tests.support.flux import GIT_REPOSITORIES, OCI_REPOSITORIES, Flux, condition
from tests.support.flux_platform import RELEASE, Charts
from tests.support.git_site import GitSite, Takes
from tests.support.go_programs import SOURCE_CONTROLLER
from tests.support.guard import Guard
from tests.support.person import Person
from tests.support.recipes import Recipe, recipes
from tests.support.user import User, eventually

pytestmark = pytest.mark.cluster

RECIPES = recipes()
REFERENCES = "/info/refs?service=git-upload-pack"
LABEL = "argocd.argoproj.io/secret-type"


def basic(token: str) -> str:
    """What the recipes send: any user name will do."""
    return f"Basic {b64encode(f'oauth2:{token}'.encode()).decode()}"


def newest(provider: Provider) -> str:
    """The access token that the provider issued last."""
    return provider.secrets().access_tokens[-1]


@pytest.fixture
def takes(provider: Provider) -> Takes:
    """The newest access token, and nothing else."""
    return lambda authorization: authorization == basic(newest(provider))


@pytest.fixture
def git(folder: Path, takes: Takes, request: pytest.FixtureRequest) -> Iterator[GitSite]:
    """A repository that the newest access token opens."""
    with GitSite(folder / request.node.name, "team/calendar", takes) as site:
        yield site


@pytest.fixture
def charts(folder: Path) -> Iterator[Charts]:
    """A registry, as those see it who push."""
    with Charts(folder / "charts") as started:
        yield started


@pytest.fixture
def guard(charts: Charts, takes: Takes) -> Iterator[Guard]:
    """The same, as those see it who pull."""
    with Guard(charts.origin, takes) as started:
        yield started


@pytest.fixture(scope="module")
def flux(cluster: Cluster, folder: Path) -> Iterator[Flux]:
    """The controller that fetches."""
    with Flux(cluster, folder / "source-controller", (SOURCE_CONTROLLER,)) as started:
        yield started


@pytest.fixture
def label_is_allowed(user: User) -> Iterator[None]:
    """What the platform team has to add for Argo CD."""
    name = "datasource-template-keys"
    shipped = user.api.get(CONFIG_MAPS, name, SYSTEM_NAMESPACE)["data"]["keys"]

    def write(keys: str) -> None:
        user.api.patch(CONFIG_MAPS, name, {"data": {"keys": keys}}, SYSTEM_NAMESPACE)

    probe = user.datasource(name="probe", tokenSecret={"template": {"labels": {LABEL: "repository"}}})
    write(f"{shipped}\n{LABEL}")
    try:
        eventually("the label is allowed", lambda: is_accepted(user, probe))
        yield
    finally:
        write(shipped)


def is_accepted(user: User, manifest: Manifest) -> bool:
    """Whether the API server would take it."""
    done = user.cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest), check=False)
    return done.returncode == 0


def commit(git: GitSite, name: str) -> str:
    """A commit that changes something; returns it."""
    git.write({"namespace.yaml": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}]})
    return git.commit()


def authorize(user: User, recipe: Recipe) -> None:
    """A person goes the whole way for a Datasource with the recipe's token Secret."""
    user.register_application()
    user.create_client_secret()
    user.apply(user.datasource(user.oauth2(), tokenSecret=recipe.token_secret))
    user.wait_for_reason("AuthorizationRequired")
    with Person() as person:
        person.authorize(user.link())
    user.wait_for_reason("Authorized")


def refresh(user: User, provider: Provider, recipe: Recipe, url: str) -> None:
    """The next token is in the Secret, and what is at the URL takes the one before no longer."""
    name, first = recipe.token_secret["name"], newest(provider)
    before = user.secret(name)
    assert before is not None
    assert opens(url, first)
    user.annotate("refresh", "now")
    user.wait_for_handled("refresh", "now")
    user.api.wait(
        "the Secret has another token",
        SECRETS,
        name,
        lambda seen: seen is not None and seen["data"] != before["data"],
        user.namespace,
    )
    assert not opens(url, first)
    assert opens(url, newest(provider))


def opens(url: str, token: str) -> bool:
    """Whether a server takes a token."""
    status = httpx.get(url, headers={"Authorization": basic(token)}, trust_env=False).status_code
    assert status in (200, 401)
    return status == 200


def test_flux_fetches_with_each_token(user: User, git: GitSite, flux: Flux, provider: Provider) -> None:
    recipe = RECIPES["Flux"].at(git.origin)
    namespace = user.namespace
    first = commit(git, "first")
    authorize(user, recipe)

    repository = yaml.safe_load(recipe.text("apiVersion:"))
    repository["metadata"]["namespace"] = namespace
    flux.apply(repository)

    fetched = flux.wait_until_ready(GIT_REPOSITORIES, "calendar", namespace)
    assert fetched["status"]["artifact"]["revision"].endswith(first)
    refresh(user, provider, recipe, f"{git.url}{REFERENCES}")
    second = commit(git, "second")
    fetched = flux.reconcile(GIT_REPOSITORIES, "calendar", namespace)
    assert condition(fetched)["status"] == "True", condition(fetched)
    assert fetched["status"]["artifact"]["revision"].endswith(second)


def test_flux_pulls_with_each_token(user: User, charts: Charts, guard: Guard, flux: Flux, provider: Provider) -> None:
    recipe = RECIPES["Image pull Secret"].at(guard.origin)
    namespace = user.namespace
    charts.push("1.0.0")
    authorize(user, recipe)

    url = f"oci://{guard.origin.removeprefix('http://')}/charts/{RELEASE}"
    spec = {"url": url, "ref": {"tag": "1.0.0"}, "interval": "5m", "insecure": True}
    spec["secretRef"] = {"name": recipe.token_secret["name"]}
    metadata = {"name": "calendar", "namespace": namespace}
    repository = {"apiVersion": OCI_REPOSITORIES.group_version, "kind": OCI_REPOSITORIES.kind, "metadata": metadata}
    flux.apply({**repository, "spec": spec})

    fetched = flux.wait_until_ready(OCI_REPOSITORIES, "calendar", namespace)
    assert fetched["status"]["artifact"]["revision"].startswith("1.0.0@")
    refresh(user, provider, recipe, f"{guard.origin}/v2/")
    charts.push("2.0.0")
    flux.apply({**repository, "spec": spec | {"ref": {"tag": "2.0.0"}}})
    fetched = flux.wait_until_ready(OCI_REPOSITORIES, "calendar", namespace)
    assert fetched["status"]["artifact"]["revision"].startswith("2.0.0@")


@pytest.mark.usefixtures("label_is_allowed")
def test_argocd_connects_with_each_token(
    user: User, git: GitSite, cluster: Cluster, folder: Path, provider: Provider
) -> None:
    recipe = RECIPES["Argo CD"].at(git.origin)
    first = commit(git, "first")
    authorize(user, recipe)

    with ArgoRepositories(cluster.kubeconfig, user.namespace, folder / "argocd.log") as argocd:
        read = argocd.read(git.url)
        assert read.error == ""
        assert (read.known, read.head) == ([git.url], first)
        refresh(user, provider, recipe, f"{git.url}{REFERENCES}")
        second = commit(git, "second")
        # It learns of a Secret's change by a watch.
        eventually("it connects with the next token", lambda: argocd.read(git.url).head == second)
