"""What the demo adds where people sign in: the shipped component, settings that both processes take, and two roles."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import yaml

from datasource.process.settings import settings_in
from deploy.local.cache import REPOSITORY
from deploy.local.demo_sign_in import DOMAIN, ROLES, bind, kustomization, settings, told
from deploy.local.provider import Provider

ISSUER = cast(Provider, SimpleNamespace(issuer="http://127.0.0.1:18090"))


def test_component_that_is_installed_is_the_shipped_one(tmp_path: Path) -> None:
    folder = kustomization(tmp_path / "sign-in")
    written = yaml.safe_load((folder / "kustomization.yaml").read_text())
    (component,) = written["components"]
    assert (folder / component).resolve() == REPOSITORY / "deploy" / "components" / "sign-in"


def test_processes_take_the_settings(tmp_path: Path) -> None:
    read = settings_in({"DATASOURCE_EXTERNAL_URL": "http://localhost:18080"} | settings(ISSUER, tmp_path))
    assert read.sign_in is not None
    read.sign_in.check_files()


def test_one_may_edit_and_the_other_only_look() -> None:
    asked: list[tuple[Any, ...]] = []
    bind(cast(Any, SimpleNamespace(kubectl=lambda *words: asked.append(words))), "default")
    assert [words[-2:] for words in asked] == [
        ("--clusterrole=datasource-editor", f"--user=demo@{DOMAIN}"),
        ("--clusterrole=datasource-viewer", f"--user=ada@{DOMAIN}"),
    ]
    roles = (REPOSITORY / "deploy" / "base" / "cluster" / f"{part}.yaml" for part in ("editor", "viewer"))
    shipped = {yaml.safe_load(path.read_text())["metadata"]["name"] for path in roles}
    assert set(ROLES.values()) <= shipped
    assert "http://localhost:18080/" in told("http://localhost:18080")
