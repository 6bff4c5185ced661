"""An installation in order, as a survey finds it, and its parts."""

from datetime import timedelta

import msgspec

from datasource.api.objects import Lease
from kubectl_datasource.doctor import OUR_HEADERS
from kubectl_datasource.findings import (
    Answer,
    Survey,
)
from kubectl_datasource.installation import POLICIES, ConfigMap, Deployment
from kubectl_datasource.pods import Pod
from kubectl_datasource.rights import ACCOUNTS, ResourceAttributes, Review, ReviewSpec, ReviewStatus
from tests.unit.kubectl_datasource.builders import NOW, datasource

URL = "https://connect.example.com"


REDIRECT_URI = f"{URL}/callback/shop"


def deployment(
    component: str,
    *,
    ready: int = 2,
    replicas: int = 2,
    image: str = "registry/x:0.1.0",
    journal: str = "/var/lib/datasource",
    mounts: tuple[str, ...] = (),
) -> Deployment:
    container = {
        "image": image,
        "env": [{"name": "DATASOURCE_JOURNAL", "value": journal}],
        "envFrom": [{"configMapRef": {"name": "datasource-config-1"}}],
        "volumeMounts": [{"name": name} for name in mounts],
    }
    raw = {
        "metadata": {"name": f"datasource-{component}", "labels": {"app.kubernetes.io/component": component}},
        "spec": {
            "replicas": replicas,
            "template": {
                "spec": {
                    "serviceAccountName": f"datasource-{component}",
                    "containers": [container],
                }
            },
        },
        "status": {"readyReplicas": ready, "updatedReplicas": replicas},
    }
    return msgspec.convert(raw, Deployment)


def pod(component: str, *, image: str = "registry/x:0.1.0", **status: object) -> Pod:
    raw = {
        "metadata": {"name": f"{component}-1", "labels": {"app.kubernetes.io/component": component}},
        "status": {"phase": "Running", "containerStatuses": [{"image": image, **status}]},
    }
    return msgspec.convert(raw, Pod)


def config(**data: str) -> tuple[ConfigMap, ...]:
    raw = {
        "metadata": {"name": "datasource-config-1"},
        "data": {f"DATASOURCE_{key}": value for key, value in data.items()},
    }
    return (msgspec.convert(raw, ConfigMap),)


def lease(age: timedelta = timedelta(seconds=1), holder: str = "operator-1", namespace: str = "") -> Lease:
    renewed = (NOW - age).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15}
    return msgspec.convert({"metadata": {"name": "datasource-operator", "namespace": namespace}, "spec": spec}, Lease)


def reviewed(*, denied: str = "") -> tuple[Review, ...]:
    return tuple(
        Review(
            ReviewSpec(
                f"system:serviceaccount:datasource-system:{account.default_name}",
                ResourceAttributes(verb, "", "secrets"),
            ),
            ReviewStatus(allowed=f"{account.component} {verb}" != denied),
        )
        for account in ACCOUNTS
        for verb in ("get", "create")
    )


SOUND = Survey(
    now=NOW,
    system_namespace="datasource-system",
    plugin_version="0.1.0",
    kubernetes="v1.36.3",
    api_versions=("v1alpha1",),
    api_skew=timedelta(0),
    deployments=(deployment("operator"), deployment("callback-server")),
    config_maps=config(EXTERNAL_URL=URL),
    lease=lease(),
    others=(),
    reviews=reviewed(),
    policies=frozenset(POLICIES),
    bindings=frozenset(POLICIES),
    datasources=(datasource(redirectURI=REDIRECT_URI),),
    callback=Answer(404, OUR_HEADERS, timedelta(seconds=1)),
    pods=(),
    groups=frozenset({"apps"}),
)
