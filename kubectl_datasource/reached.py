"""Whether providers can be reached from the operator's pod, as the statuses of Datasources tell. Pure."""

from collections.abc import Iterator, Sequence

from datasource.api.states import PROVIDER_REACHABLE
from kubectl_datasource.checks import Check, Verdict
from kubectl_datasource.findings import Survey, Untold
from kubectl_datasource.objects import Datasource
from kubectl_datasource.words import counted

_MOST = 10
"""Lines about providers; what more of them would say is counted."""


def providers_are_reachable(survey: Survey) -> Iterator[Check]:
    """One line for each thing that is in the way, with how many Datasources it is in the way of."""
    name = "Providers"
    if isinstance(survey.datasources, Untold):
        yield Check(name, Verdict.UNKNOWN, survey.datasources.why)
        return
    unreached: dict[str, list[Datasource]] = {}
    reached = 0
    for datasource in survey.datasources:
        condition = datasource.status.condition(PROVIDER_REACHABLE)
        if condition is not None and condition.status == "True":
            reached += 1
        elif condition is not None:
            unreached.setdefault(condition.message, []).append(datasource)
    lines = list(unreached.items())
    for message, those in lines[:_MOST]:
        yield Check(name, Verdict.WARNING, f"{_places(those)}: {message}")
    if len(lines) > _MOST:
        yield Check(name, Verdict.WARNING, f"{len(lines) - _MOST} more are in the way of others")
    if not lines:
        untold = len(survey.datasources) - reached
        told = f"reached from the operator's pod for {counted(reached, 'Datasource')}"
        yield Check(name, Verdict.OK, told + (f"; nothing is known against it for {untold} more" if untold else ""))


def _places(datasources: Sequence[Datasource]) -> str:
    first = datasources[0].place
    return first if len(datasources) == 1 else f"{first} and {len(datasources) - 1} more"
