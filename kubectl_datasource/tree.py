"""`tree NAME`: what belongs to a Datasource, what it names, and which pods use its token. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from datasource.api.names import credential_secret_name
from kubectl_datasource.objects import Datasource
from kubectl_datasource.words import Cell, Line, printable


@dataclass(frozen=True, slots=True)
class Related:
    """An object beside a Datasource."""

    kind: str
    name: str
    what_for: str
    is_there: bool | None = None
    """None: whoever asks may not know."""


def related(datasource: Datasource) -> list[Related]:
    """What belongs to it and what it names, without having looked."""
    oauth2 = datasource.spec.get("oauth2") or {}
    found = [
        Related("secret", datasource.token_secret_name, "the token, for apps"),
        Related("secret", credential_secret_name(datasource.metadata.name), "the credential"),
    ]
    for field, what in (("clientSecretRef", "the client secret"), ("privateKeyRef", "the private key")):
        found += [Related("secret", name, what) for name in _names(oauth2.get(field))]
    for header in oauth2.get("tokenHeaders") or ():
        what = f"the value of header {header.get('name', '')}"
        found += [Related("secret", name, what) for name in _names(header.get("secretRef"))]
    return found + [Related("configmap", name, "the CA bundle") for name in _names(oauth2.get("caBundleRef"))]


def users_of(secret: str, pods: Sequence[Any]) -> list[str]:
    """The pods that mount a Secret, or take variables from it, by name."""
    return sorted(pod["metadata"]["name"] for pod in pods if secret in _secrets_of(pod.get("spec", {})))


def lines(datasource: Datasource, found: Sequence[Related], pods: Sequence[str] | None) -> Iterator[Line]:
    """The tree; no `pods`: whoever asks may not list them."""
    yield (Cell(f"Datasource {datasource.place}", "bold"),)
    for number, each in enumerate(found):
        is_last = number == len(found) - 1
        yield (Cell(f"{'└─' if is_last else '├─'} "), *_told(each))
        if number == 0:
            yield from _pods(pods, "   " if is_last else "│  ")


def _told(each: Related) -> Line:
    kind = {"secret": "Secret", "configmap": "ConfigMap"}[each.kind]
    state = {True: Cell("there", "green"), False: Cell("missing", "yellow"), None: Cell("you may not see it", "dim")}
    return (Cell(f"{kind} {printable(each.name)} ({printable(each.what_for)}): "), state[each.is_there])


def _pods(pods: Sequence[str] | None, indent: str) -> Iterator[Line]:
    if pods is None:
        yield (Cell(f"{indent}└─ you may not list pods", "dim"),)
    for pod in pods or ():
        yield (Cell(f"{indent}└─ Pod {printable(pod)} uses it"),)


def _names(ref: Any) -> list[str]:
    return [str(ref["name"])] if isinstance(ref, dict) and ref.get("name") else []


def _secrets_of(spec: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    for volume in spec.get("volumes") or ():
        found.add((volume.get("secret") or {}).get("secretName", ""))
        sources = (volume.get("projected") or {}).get("sources") or ()
        found |= {(source.get("secret") or {}).get("name", "") for source in sources}
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        found |= {(each.get("secretRef") or {}).get("name", "") for each in container.get("envFrom") or ()}
        variables = [(each.get("valueFrom") or {}).get("secretKeyRef") or {} for each in container.get("env") or ()]
        found |= {each.get("name", "") for each in variables}
    return found - {""}
