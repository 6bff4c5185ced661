"""I/O: `kubectl datasource version`: what of ours runs where."""

from importlib import metadata

import msgspec

from datasource.api.names import GROUP
from kubectl_datasource.exits import Exit, Problem
from kubectl_datasource.installation import Deployment
from kubectl_datasource.kubectl import Kubectl
from kubectl_datasource.screen import Screen
from kubectl_datasource.survey import api_versions, deployments
from kubectl_datasource.words import printable


class Versions(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What is known. An empty `api` is a cluster without the CRD; None of anything is what nobody told."""

    client: str
    processes: dict[str, str] | None = None
    api: tuple[str, ...] | None = None
    untold: tuple[str, ...] = ()


def plugin_version() -> str:
    """The version of this plugin."""
    return metadata.version("kubectl-datasource")


def version(kubectl: Kubectl | None, system_namespace: str, output: str | None) -> Exit:
    """Print them. A cluster that does not answer takes nothing away from what is known without it."""
    screen = Screen.of_process()
    found = Versions(plugin_version()) if kubectl is None else asked(kubectl, system_namespace)
    if output == "json":
        screen.show_json(msgspec.to_builtins(found))
    else:
        for line in told(found, system_namespace):
            screen.show(printable(line))
    for each in found.untold:
        screen.note(printable(each), "yellow")
    return Exit.FINE


def asked(kubectl: Kubectl, system_namespace: str) -> Versions:
    """What the cluster tells of itself to this user."""
    untold: list[str] = []
    processes: dict[str, str] | None = None
    api: tuple[str, ...] | None = None
    try:
        api = api_versions(kubectl)
        processes = {each.component: version_of(each) for each in deployments(kubectl, system_namespace)}
    except Problem as problem:
        untold.append(problem.what)
    except (KeyError, TypeError, msgspec.MsgspecError) as error:
        untold.append(f"The answer of the cluster cannot be read: {error}.")
    return Versions(plugin_version(), processes, api, tuple(untold))


def version_of(deployment: Deployment) -> str:
    """The tag of its image; where that has none, the image itself."""
    return deployment.version or deployment.container.image


def told(found: Versions, system_namespace: str) -> list[str]:
    """A line for each."""
    lines = [f"kubectl datasource: {found.client}"]
    if found.processes is not None:
        lines += [f"{component}: {tag}" for component, tag in sorted(found.processes.items())]
        if not found.processes:
            lines.append(f"operator: none in namespace {system_namespace}")
    if found.api is not None:
        lines.append(f"API: {', '.join(f'{GROUP}/{each}' for each in found.api) or 'not in this cluster'}")
    return lines
