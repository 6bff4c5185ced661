"""Whether a crash can lose a grant: `doctor`'s look at what the Deployments say of a journal. Pure."""

from collections.abc import Iterator

from kubectl_datasource.checks import Check, Verdict
from kubectl_datasource.findings import Survey, Untold
from kubectl_datasource.installation import Deployment

_VARIABLE = "DATASOURCE_JOURNAL"


def journals_are_kept(survey: Survey) -> Iterator[Check]:
    """Nothing where there is no Deployment to look at."""
    deployments = () if isinstance(survey.deployments, Untold) else survey.deployments
    without = [each.metadata.name for each in deployments if not _keeps_one(each)]
    if without:
        yield Check(
            "Journal",
            Verdict.WARNING,
            f"{' and '.join(without)} without {_VARIABLE}: a crash between a provider's reply and its store loses the grant",
            "Apply the overlay, or the chart with journal.enabled, again: docs/reliability.md.",
        )
    elif deployments:
        yield Check("Journal", Verdict.OK, "replies of providers outlive a crash of their container")


def _keeps_one(deployment: Deployment) -> bool:
    return any(each.name == _VARIABLE and each.value for each in deployment.container.env)
