"""The real helm on deploy/chart."""

import json
import os
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from deploy.local import build
from deploy.local.cache import BUILD
from deploy.local.processes import StackError
from generators.manifests import CHART

EXTERNAL_URL = "https://connect.example.com"

Values = Mapping[str, Any]
Manifest = dict[str, Any]


@cache
def _helm() -> Path:
    return build.helm()


def helm(
    *arguments: str, values: Values | None = None, kubeconfig: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run helm; `values` are given as a file. Nothing of the user's own settings and plugins is used."""
    homes = {name: str(BUILD / "helm") for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")}
    given = () if values is None else ("--values", "-")
    cluster = () if kubeconfig is None else ("--kubeconfig", str(kubeconfig))
    return subprocess.run(  # noqa: S603 - the helm that we built
        [_helm(), *arguments, *given, *cluster],
        input=None if values is None else json.dumps(values),
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **homes},
    )


def in_order(done: subprocess.CompletedProcess[str]) -> str:
    """What helm printed.

    Raises:
        StackError: it failed, with what it said.
    """
    if done.returncode != 0:
        raise StackError(f"helm: {done.stderr.strip()}")
    return done.stdout


def rendered(
    values: Values | None = None, *, release: str = "datasource", namespace: str = "datasource-system"
) -> list[Manifest]:
    """The objects of the chart; externalURL is set unless `values` sets it."""
    whole = {"externalURL": EXTERNAL_URL, **(values or {})}
    text = in_order(helm("template", release, str(CHART), "--namespace", namespace, "--skip-tests", values=whole))
    return [each for each in yaml.safe_load_all(text) if each]


def refusal(values: Values) -> str:
    """What helm says about values that it refuses."""
    done = helm("template", "datasource", str(CHART), values={"externalURL": EXTERNAL_URL, **values})
    assert done.returncode != 0, done.stdout
    return done.stderr


def only(manifests: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The one object of a kind (and name)."""
    (found,) = [each for each in manifests if each["kind"] == kind and name in {None, each["metadata"]["name"]}]
    return found


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    """Every object of a kind."""
    return [each for each in manifests if each["kind"] == kind]
