"""Objects as an API server stores them: taken from one, and put into another with their uids, times and managed fields.

Through the API a restored object gets a new uid, and a Secret that names the old one as its owner is garbage. An upgrade keeps
uids, so the objects go where the API server keeps them: into etcd, through its gRPC gateway.
"""

import base64
import json
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from deploy.local.cache import REPOSITORY
from deploy.local.cluster import Cluster
from deploy.local.controlplane import ControlPlane

FIXTURES = REPOSITORY / "tests" / "fixtures"
NAMESPACE = "upgrade"

# What is kept, by where the API server keeps it.
KINDS = {
    "Datasource": "datasource.dev/datasources",
    "Secret": "secrets",
    "Lease": "leases",
}

Object = dict[str, Any]


def version_of_this_checkout() -> str:
    """Such as 0.1.0."""
    project: dict[str, str] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return project["version"]


def taken(cluster: Cluster, kind: str, namespace: str) -> list[Object]:
    """Every object of a kind in a namespace, without its resourceVersion: that is its place in one etcd."""
    printed = cluster.kubectl("get", kind.lower(), "-n", namespace, "-o", "json", "--show-managed-fields").stdout
    objects: list[Object] = json.loads(printed)["items"]
    for each in objects:
        del each["metadata"]["resourceVersion"]
    return objects


def keep(folder: Path, objects: list[Object]) -> None:
    """Write them, a file for each kind."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        chosen = [each for each in objects if each["kind"] == kind]
        (folder / f"{kind.lower()}s.yaml").write_text(yaml.safe_dump_all(chosen, sort_keys=False, width=1000))


def kept(folder: Path) -> list[Object]:
    """Read them."""
    return [
        each for kind in KINDS for each in yaml.safe_load_all((folder / f"{kind.lower()}s.yaml").read_text()) if each
    ]


def put(control_plane: ControlPlane, objects: list[Object]) -> None:
    """Store them in the etcd of a control plane."""
    for each in objects:
        metadata = each["metadata"]
        key = f"/registry/{KINDS[each['kind']]}/{metadata['namespace']}/{metadata['name']}"
        body = {"key": _encoded(key), "value": _encoded(json.dumps(each, separators=(",", ":")))}
        request = urllib.request.Request(  # noqa: S310 - our own etcd
            f"{control_plane.etcd_client_url}/v3/kv/put", data=json.dumps(body).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=30):  # noqa: S310
            pass


def with_sentinels(objects: list[Object], secrets: list[str]) -> list[Object]:
    """The same with every secret in the data of Secrets replaced by a made-up one."""
    made_up = {secret: f"sentinel-{number:03d}" for number, secret in enumerate(secrets, start=1)}
    return [_with_sentinels(each, made_up) if each["kind"] == "Secret" else each for each in objects]


def _with_sentinels(secret: Object, made_up: dict[str, str]) -> Object:
    replaced = {}
    for key, value in secret.get("data", {}).items():
        text = base64.b64decode(value).decode()
        for real, sentinel in made_up.items():
            text = text.replace(real, sentinel)
        replaced[key] = _encoded(text)
    return {**secret, "data": replaced} if replaced else secret


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
