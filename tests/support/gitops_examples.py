"""The files of examples/gitops, as a team would copy them into a repository of its own."""

from collections.abc import Mapping

import yaml

from deploy.local.cache import REPOSITORY
from tests.support.api import Manifest

FOLDER = REPOSITORY / "examples" / "gitops"


def files() -> dict[str, str]:
    """Each file by its path below examples/gitops."""
    return {str(path.relative_to(FOLDER)): path.read_text() for path in sorted(FOLDER.rglob("*.yaml"))}


def objects() -> dict[str, Manifest]:
    """Each object of the cluster in them, by file and kind."""
    found = {}
    for name, text in files().items():
        for document in yaml.safe_load_all(text):
            if not document["apiVersion"].startswith("kustomize.config.k8s.io/"):
                found[f"{name}: {document['kind']} {document['metadata']['name']}"] = document
    return found


def filled_in(text: str, values: Mapping[str, str]) -> str:
    """A file with what a reader would put in; each place must be there."""
    for place, value in values.items():
        assert place in text, f"nothing says {place}"
        text = text.replace(place, value)
    return text
