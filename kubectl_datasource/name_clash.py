"""Whether kubectl may take another resource for ours. Pure."""

from collections.abc import Iterator

from kubectl_datasource.checks import Check, Verdict
from kubectl_datasource.findings import Survey, Untold


def names_are_clear(survey: Survey) -> Iterator[Check]:
    """KubeVirt's Containerized Data Importer has a `datasource`, too: kubectl may take the one for the other."""
    if not isinstance(survey.groups, Untold) and "cdi.kubevirt.io" in survey.groups:
        yield Check(
            "Name",
            Verdict.OK,
            "KubeVirt serves DataSources here, too: write dsrc or datasources.datasource.dev, never datasource",
        )
