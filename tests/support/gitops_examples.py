"""The files of examples/gitops, as a team would copy them into a repository of its own."""

import yaml

from deploy.local.cache import REPOSITORY
from tests.support.api import Manifest

FOLDER = REPOSITORY / "examples" / "gitops"


def objects() -> dict[str, Manifest]:
    """Each object of the cluster in them, by file and kind."""
    found = {}
    for path in sorted(FOLDER.rglob("*.yaml")):
        name = path.relative_to(FOLDER)
        for document in yaml.safe_load_all(path.read_text()):
            if not document["apiVersion"].startswith("kustomize.config.k8s.io/"):
                found[f"{name}: {document['kind']} {document['metadata']['name']}"] = document
    return found
