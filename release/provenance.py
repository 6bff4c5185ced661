"""How a release came to be: an in-toto statement with SLSA's provenance predicate, version 1."""

from collections.abc import Mapping
from typing import Any

from release.settings import Settings

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:datasource-operator:make-release:v1"
"""docs/release.md says what it means. A URN, since no domain is ours to name."""

BUILDER = "urn:datasource-operator:builder:not-told"

_TOLD = ("base", "repository", "source", "download", "maintainer")


def statement(subjects: Mapping[str, str], settings: Settings, commit: str, locks: Mapping[str, str]) -> dict[str, Any]:
    """The statement about files.

    Args:
        subjects: the sha256 of each file, by its name.
        settings: what the release was told; neither the key nor a path of the machine is repeated.
        commit: what it was made of.
        locks: the sha256 of each file that pins what was installed for it.
    """
    repository = f"git+{settings.source}" if settings.source else "git:datasource-operator"
    dependencies = [{"uri": f"{repository}@{commit}", "digest": {"gitCommit": commit}}]
    dependencies += [
        {"uri": f"{repository}@{commit}#{name}", "digest": {"sha256": each}} for name, each in sorted(locks.items())
    ]
    for base in settings.bases:
        name, _, digest = base.partition("@sha256:")
        dependencies.append({"uri": f"pkg:docker/{name}", "digest": {"sha256": digest}})
    told = {f"RELEASE_{name.upper()}": getattr(settings, name) for name in _TOLD}
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": each}} for name, each in sorted(subjects.items())],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {name: value for name, value in told.items() if value},
                "resolvedDependencies": dependencies,
            },
            "runDetails": {"builder": {"id": settings.builder or BUILDER}},
        },
    }
