"""`SIGN_IN=1 make demo`: the local provider is the company's issuer, too, and two people sign in; one of them may only look."""

import os
from collections.abc import Mapping
from pathlib import Path

import yaml

from deploy.local.cache import REPOSITORY
from deploy.local.cluster import Cluster
from deploy.local.provider import Provider

CLIENT_ID, CLIENT_SECRET = "datasource", "only-for-the-demo-too"
DOMAIN = "example.com"

ROLES: Mapping[str, str] = {"demo": "datasource-editor", "ada": "datasource-viewer"}
"""By login, which is the password, too."""


def kustomization(folder: Path) -> Path:
    """A kustomization of the demo's own: everything, and the component sign-in."""
    folder.mkdir(parents=True, exist_ok=True)
    deploy = Path(os.path.relpath(REPOSITORY / "deploy", folder))
    written = {
        "resources": [str(deploy / "overlays" / "cluster-wide")],
        "components": [str(deploy / "components" / "sign-in")],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(written))
    return folder


def settings(provider: Provider, folder: Path) -> dict[str, str]:
    """The variables of both processes; people are called by their verified addresses."""
    secret_file = folder / "client-secret"
    secret_file.write_text(CLIENT_SECRET)
    return {
        "DATASOURCE_SIGN_IN_ISSUER": provider.issuer,
        "DATASOURCE_SIGN_IN_CLIENT_ID": CLIENT_ID,
        "DATASOURCE_SIGN_IN_SECRET_FILE": str(secret_file),
        "DATASOURCE_SIGN_IN_SCOPES": "openid email",
        "DATASOURCE_SIGN_IN_USERNAME_CLAIM": "email",
    }


def register(provider: Provider, external_url: str) -> None:
    """The application of the callback server at the issuer."""
    provider.register_client(CLIENT_ID, CLIENT_SECRET, [f"{external_url}/signed-in"])


def bind(cluster: Cluster, namespace: str) -> None:
    """What the two may do: as a platform team would give it to them."""
    for login, role in ROLES.items():
        cluster.kubectl(
            *("create", "rolebinding", f"{login}-{role}", "-n", namespace),
            *(f"--clusterrole={role}", f"--user={login}@{DOMAIN}"),
        )


def told(external_url: str) -> str:
    """What a person can do now."""
    return f"""
  People sign in. demo (password demo) may edit Datasources here, ada (password ada) may only look:

      {external_url}/

  Give the link below to both: it opens the page for either, and the button for one.
"""
