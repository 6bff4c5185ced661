"""The examples are accepted by the API server and say all that is needed to get a credential."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from datasource.api.spec_problems import parse_spec
from deploy.local.cache import REPOSITORY
from deploy.local.cluster import Cluster
from tests.support.recipes import recipes

pytestmark = pytest.mark.cluster

PROVIDERS = sorted((REPOSITORY / "examples" / "providers").glob("*.yaml"))
APPS = sorted((REPOSITORY / "examples" / "apps").glob("*.yaml"))


@pytest.mark.parametrize("example", PROVIDERS + APPS, ids=lambda path: path.stem)
def test_example_is_accepted(example: Path, cluster: Cluster, namespace: str) -> None:
    arguments = ("apply", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", str(example))
    assert "dry run" in cluster.kubectl(*arguments).stdout


def test_every_recipe_is_accepted_as_it_says(cluster: Cluster, namespace: str) -> None:
    for name, recipe in recipes().items():
        manifest = {
            "apiVersion": "datasource.dev/v1alpha1",
            "kind": "Datasource",
            "metadata": {"name": "calendar", "namespace": namespace},
            "spec": {"url": "https://api.example.com", "tokenSecret": recipe.token_secret},
        }
        arguments = ("create", "--dry-run=server", "--validate=strict", "-f", "-")
        done = cluster.kubectl(*arguments, stdin=json.dumps(manifest), check=False)
        if name == "Argo CD":
            # The platform team has to list its label first, as the recipe says.
            assert "argocd.argoproj.io/secret-type, which is not on the list" in done.stderr
        else:
            assert done.returncode == 0, (name, done.stderr)


@pytest.mark.parametrize("example", PROVIDERS, ids=lambda path: path.stem)
def test_example_of_a_provider_lacks_nothing(example: Path) -> None:
    raw: dict[str, Any] = yaml.safe_load(example.read_text())
    spec = parse_spec(raw["spec"], allow_insecure_http=False)
    assert spec.oauth2 is not None
    assert spec.oauth2.provider == example.stem
    assert spec.oauth2.missing() == ()


def test_there_are_five_providers() -> None:
    assert len(PROVIDERS) == 5
