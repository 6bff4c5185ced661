"""The paths of the Kubernetes API."""

import pytest

from datasource.cluster.resources import DATASOURCES, EVENTS, SECRETS, Resource


@pytest.mark.parametrize(
    ("resource", "namespace", "name", "subresource", "path"),
    [
        (SECRETS, "shop", "a", None, "/api/v1/namespaces/shop/secrets/a"),
        (SECRETS, "shop", None, None, "/api/v1/namespaces/shop/secrets"),
        (SECRETS, None, None, None, "/api/v1/secrets"),
        (EVENTS, "shop", None, None, "/apis/events.k8s.io/v1/namespaces/shop/events"),
        (
            DATASOURCES,
            "shop",
            "sales",
            "status",
            "/apis/datasource.dev/v1alpha1/namespaces/shop/datasources/sales/status",
        ),
    ],
)
def test_path_is_the_one_of_the_api(
    resource: Resource, namespace: str | None, name: str | None, subresource: str | None, path: str
) -> None:
    assert resource.path(namespace, name, subresource) == path
