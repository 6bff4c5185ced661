"""Tenants: what stands in one namespace cannot be reached from another."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.user import User

pytestmark = pytest.mark.cluster


@pytest.fixture
def elsewhere(user: User) -> Iterator[str]:
    """A namespace of somebody else, with a Secret and a ConfigMap of the names that the user has not."""
    name = f"{user.namespace}-x"
    user.cluster.kubectl("create", "namespace", name)
    user.cluster.kubectl("-n", name, "create", "secret", "generic", "app", "--from-literal=client-secret=theirs")
    user.cluster.kubectl("-n", name, "create", "configmap", "company-ca", "--from-literal=ca.crt=theirs")
    yield name
    user.cluster.kubectl("delete", "namespace", name, "--wait=false")


def apply_anyway(user: User, manifest: dict[str, Any]) -> None:
    """As a program without validation would: the API server drops what the schema does not know."""
    user.kubectl("apply", "--validate=false", "-f", "-", stdin=json.dumps(manifest))


def test_secret_of_another_namespace_cannot_be_named(user: User, elsewhere: str) -> None:
    manifest = user.datasource(user.oauth2(clientSecretRef={"name": "app", "namespace": elsewhere}))

    refused = user.cluster.kubectl("-n", user.namespace, "apply", "-f", "-", stdin=json.dumps(manifest), check=False)
    assert "unknown field" in refused.stderr
    apply_anyway(user, manifest)

    user.wait_for_reason("ClientSecretNotFound")
    assert f"kubectl create secret generic app -n {user.namespace}" in user.ready()["message"]


@pytest.mark.parametrize("name", ["x/app", "../x/secrets/app", "x%2Fapp", "x.namespace/app"])
def test_name_of_a_secret_leads_nowhere_else(user: User, name: str) -> None:
    manifest = user.datasource(user.oauth2(clientSecretRef={"name": name}))
    refused = user.cluster.kubectl("-n", user.namespace, "apply", "-f", "-", stdin=json.dumps(manifest), check=False)
    assert refused.returncode != 0
    assert "spec.oauth2.clientSecretRef.name" in refused.stderr


def test_config_map_of_another_namespace_cannot_be_named(user: User, elsewhere: str) -> None:
    user.create_client_secret()
    apply_anyway(user, user.datasource(user.oauth2(caBundleRef={"name": "company-ca", "namespace": elsewhere})))

    user.wait_for_reason("InvalidConfiguration")
    assert f"kubectl create configmap company-ca -n {user.namespace}" in user.ready()["message"]
