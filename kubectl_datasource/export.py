"""`export`: what is written of Datasources and their Secrets, so that a restore makes them anew. Pure.

Objects stay decoded JSON here, not typed structs: an export keeps also those fields that this version does not know.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasource.api.names import HISTORY_KEY, LAST_APPLIED, Annotation, Role, SecretType, credential_secret_name
from kubectl_datasource.exits import Misused

Manifest = dict[str, Any]

_KEPT_METADATA = ("name", "namespace", "labels", "annotations")
"""Everything else belongs to this one object in this one cluster: uid, resourceVersion, owners, managers, finalizers."""


@dataclass(frozen=True, slots=True)
class Export:
    """What is to be written, and what whoever writes it must know."""

    items: tuple[Manifest, ...]
    warnings: tuple[str, ...]

    @property
    def manifest(self) -> Manifest:
        """A List for `kubectl create -f`. Secrets stand first: a credential is there before its Datasource asks for it."""
        return {"apiVersion": "v1", "kind": "List", "items": list(self.items)}


def export(
    datasources: Sequence[Manifest],
    credentials: Iterable[Manifest],
    client_secrets: Iterable[Manifest],
    *,
    suspended: frozenset[str] = frozenset(),
) -> Export:
    """Put an export together.

    Args:
        datasources: as the API server returns them, before they were suspended for the export.
        credentials: Secrets; those that are no credential of one of the Datasources are left out.
        client_secrets: Secrets to take along.
        suspended: places (`namespace/name`) of Datasources that no longer refresh here.
    """
    wanted = {place_of(each): each for each in datasources}
    ours = [each for each in credentials if _datasource_of(each) in wanted]
    secrets = [*ours, *client_secrets]
    items = tuple(portable(each) for each in [*_sorted(secrets), *_sorted(datasources)])
    return Export(items, tuple(_warnings(wanted, ours, suspended)))


def portable(manifest: Manifest) -> Manifest:
    """An object without what belongs to this one cluster, as Velero drops it; nor with what kubectl apply noted down."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key in _KEPT_METADATA}
    annotations = {key: value for key, value in metadata.get("annotations", {}).items() if key != LAST_APPLIED}
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    rest = {key: value for key, value in manifest.items() if key not in {"metadata", "status", "apiVersion", "kind"}}
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": metadata, **rest}


def place_of(manifest: Manifest) -> str:
    """`namespace/name`."""
    return f"{manifest['metadata']['namespace']}/{manifest['metadata']['name']}"


def names_by_namespace(datasources: Iterable[Manifest]) -> dict[str, list[str]]:
    """The names of the Datasources in each namespace."""
    found: dict[str, list[str]] = {}
    for each in datasources:
        found.setdefault(each["metadata"]["namespace"], []).append(each["metadata"]["name"])
    return found


def client_secrets_by_namespace(datasources: Iterable[Manifest]) -> dict[str, list[str]]:
    """The Secrets with client secrets and private keys that the Datasources of each namespace name, each once."""
    found: dict[str, dict[str, None]] = {}
    for each in datasources:
        oauth2 = each.get("spec", {}).get("oauth2") or {}
        refs = [oauth2.get(field) for field in ("clientSecretRef", "privateKeyRef")]
        refs += [header.get("secretRef") for header in oauth2.get("tokenHeaders") or ()]
        for ref in refs:
            if ref:
                found.setdefault(each["metadata"]["namespace"], {})[ref["name"]] = None
    return {namespace: list(names) for namespace, names in found.items()}


def refresh_is_under_way(credential: Manifest) -> bool:
    """Whether a refresh token of it may be on its way to the service just now."""
    return Annotation.INTENT in _annotations(credential)


def format_of(path: str) -> str:
    """`yaml` or `json`, by the name of the file; `-` is stdout, in JSON, which is YAML as well.

    Raises:
        Misused: it ends in something else.
    """
    if path == "-" or path.endswith(".json"):
        return "json"
    if path.endswith((".yaml", ".yml")):
        return "yaml"
    raise Misused(f"{path} is neither .yaml nor .json.", "Name the file so, or use - for stdout.")


def rendered(manifest: Manifest, format_: str) -> str:
    """The text of the file."""
    return _yaml(manifest) if format_ == "yaml" else json.dumps(manifest, indent=2) + "\n"


def _yaml(manifest: Manifest) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes every text: a hexadecimal ID such as 12e34 is a number to kubectl's YAML, though none to PyYAML's."""

    Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))
    Dumper.ignore_aliases = lambda *_: True  # type: ignore[method-assign]
    return str(yaml.dump(manifest, Dumper=Dumper, sort_keys=False, width=float("inf")))


def _sorted(manifests: Iterable[Manifest]) -> list[Manifest]:
    return sorted(manifests, key=lambda each: (each["metadata"]["namespace"], each["metadata"]["name"]))


def _annotations(manifest: Manifest) -> Mapping[str, str]:
    return manifest["metadata"].get("annotations") or {}


def _datasource_of(secret: Manifest) -> str | None:
    """The Datasource whose credential a Secret is; None where it is none."""
    annotations, metadata = _annotations(secret), secret["metadata"]
    name = annotations.get(Annotation.DATASOURCE)
    is_credential = (
        secret.get("type") == SecretType.CREDENTIAL
        and annotations.get(Annotation.ROLE) == Role.CREDENTIAL
        and name is not None
        and metadata["name"] == credential_secret_name(name)
    )
    return f"{metadata['namespace']}/{name}" if is_credential else None


def _warnings(
    datasources: Mapping[str, Manifest], credentials: Sequence[Manifest], suspended: frozenset[str]
) -> Iterable[str]:
    # What people did outlives a clear, and is no token.
    with_tokens = [each for each in credentials if set(each.get("data") or ()) - {HISTORY_KEY}]
    if with_tokens:
        yield (
            "It holds refresh tokens: encrypt it, and delete it once it is restored. Restore it with `kubectl create -f` "
            "(or `kubectl apply --server-side`); a plain `kubectl apply` would copy the tokens into an annotation."
        )
        yield (
            "A restore MOVES a grant, it never clones it. If the service rotates refresh tokens, the first refresh on one side "
            "ends the grant of the other. Stop this side before you start the other."
        )
    if suspended:
        yield (
            f"Suspended here: {', '.join(sorted(suspended))}. To go on here after all: "
            'kubectl patch dsrc NAME -n NAMESPACE --type=merge -p \'{"spec":{"suspend":false}}\''
        )
    running = sorted(place for place in map(str, map(_datasource_of, with_tokens)) if place not in suspended)
    if running and suspended:
        yield f"Not suspended here: {', '.join(running)}."
    elif running:
        yield (
            "This side goes on refreshing, and each refresh may make the export worthless: export with --suspend, or stop the "
            "operator first."
        )
    busy = sorted(str(_datasource_of(each)) for each in credentials if refresh_is_under_way(each))
    if busy:
        yield f"A refresh is under way, so the exported refresh token may be spent: {', '.join(busy)}. Export again."
    revoking = sorted(
        place for place, each in datasources.items() if each.get("spec", {}).get("deletionPolicy") == "Revoke"
    )
    if revoking:
        yield (
            f"spec.deletionPolicy is Revoke: {', '.join(revoking)}. Deleting it, or clearing its credential, on this side "
            "revokes the grant that was moved: take the policy back first."
        )
