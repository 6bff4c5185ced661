"""Waiting for the operator or for a person. What a look means is decided without I/O; `wait_for` looks, sleeps and shows."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from datasource.api.states import State
from kubectl_datasource.exits import Exit, NotFound, Problem, Unreachable
from kubectl_datasource.objects import Datasource

POLL_INTERVAL = timedelta(seconds=1)
"""A look is a run of kubectl: a fifth of a second of one core, and one GET."""


@dataclass(frozen=True, slots=True)
class Going:
    """Not there yet; `text` says what is waited for."""

    text: str
    in_the_way: str = ""
    """What the operator says meanwhile, for a wait that ends without success."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The end: how, and what to say."""

    exit: Exit
    text: str
    is_missing: bool = False
    """There is no such Datasource."""


T = TypeVar("T")

Judge = Callable[[Datasource], Going | T]
"""Says what a look means: `Going`, or what the wait was for."""


def wait_for(
    look: Callable[[], Datasource],
    judge: Judge[T],
    *,
    timeout: timedelta,
    monotonic: Callable[[], float],
    sleep: Callable[[float], None],
    show: Callable[[str], None],
    began: float | None = None,
) -> T | Ended:
    """Look again and again until the judge says that it is over. An API server that is away for a while ends nothing.

    The time runs since `began`, a reading of the clock; None is now. There is one look even where no time is left.
    """
    deadline = (monotonic() if began is None else began) + timeout.total_seconds()
    while True:
        judged = _looked(look, judge)
        if not isinstance(judged, Going):
            return judged
        if monotonic() >= deadline:
            gave_up = f"Gave up after {timeout.total_seconds():.0f} s of {judged.text}."
            return Ended(Exit.TIMED_OUT, f"{gave_up} {judged.in_the_way}".strip())
        show(judged.text)
        sleep(min(POLL_INTERVAL.total_seconds(), max(0.0, deadline - monotonic())))


def _looked(look: Callable[[], Datasource], judge: Judge[T]) -> T | Going | Ended:
    try:
        return judge(look())
    except Unreachable:
        return Going("trying to reach the cluster, which does not answer")
    except Problem as error:
        return Ended(error.exit, f"{error.what} {error.remedy}".strip(), is_missing=isinstance(error, NotFound))


def not_looked_at(datasource: Datasource) -> Going | None:
    """The status is about an older spec, or there is none."""
    if datasource.is_looked_at:
        return None
    return Going("waiting for the operator to look at it (kubectl datasource doctor shows whether it runs)")


def state_and_reason(datasource: Datasource) -> str:
    """Such as `NOT AUTHORIZED (CredentialCleared)`."""
    return f"{datasource.status.state} ({datasource.reason})"


def why_not(datasource: Datasource) -> str:
    """State, reason, the operator's message, and where to ask on."""
    return f"{datasource.place} is {state_and_reason(datasource)}. {in_the_way(datasource)}"


def in_the_way(datasource: Datasource) -> str:
    """The operator's message, and where to ask on."""
    name, namespace = datasource.metadata.name, datasource.metadata.namespace
    return f"{datasource.message} What to do: kubectl datasource explain {name} -n {namespace}".strip()


def is_suspended(datasource: Datasource) -> Ended:
    """Nothing is refreshed, and no link offered, while `spec.suspend` is true."""
    name, namespace = datasource.metadata.name, datasource.metadata.namespace
    return Ended(
        Exit.NOT_AS_WANTED,
        f"{datasource.place} is suspended by spec.suspend. To continue: kubectl datasource resume {name} -n {namespace}",
    )


def needs_a_person(datasource: Datasource) -> bool:
    """Whether a link is, or is about to be, what there is to do."""
    return datasource.status.state in {State.NOT_AUTHORIZED, State.AUTHORIZED}
