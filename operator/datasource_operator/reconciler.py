"""I/O: one level-triggered reconciliation, whatever triggered it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import urlsplit

import structlog

from datasource.credential import UnreadableCredential
from datasource.kube import Forbidden, Invalid
from datasource.spec import OAuth2
from datasource_operator.cache import Key
from datasource_operator.policy import Nothing, Observed, Refusal, Settle, next_step, refused
from datasource_operator.status_writer import StatusWriter
from datasource_operator.steps import DatasourceGone, Stale, Steps

logger = structlog.get_logger(__name__)

STEPS_LIMIT = 12
"""More steps than any Datasource needs; beyond it something fights us, and a pause is better than a storm."""

WAITING_LOOK = timedelta(minutes=10)
"""How often the surroundings of a Datasource that waits for a person are looked at again."""

FORBIDDEN_LOOK = timedelta(minutes=1)
"""How soon to try again where the operator's rights did not reach."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """A refresh that is wanted now: at which provider, and whether somebody asked for it."""

    provider: str
    is_urgent: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a reconciliation left: when to come again, which Secret's change may mend a problem, what to refresh."""

    wake_after: timedelta | None = None
    """When time changes what holds."""
    look_after: timedelta | None = None
    """When to look at the surroundings again, roughly."""
    watched_secret: str | None = None
    refresh: Refresh | None = None


@dataclass(slots=True)
class Reconciler:
    """Takes a Datasource from what is to what should be."""

    steps: Steps
    status: StatusWriter
    follow_up: Callable[[Key, Outcome], None]
    """Told what a reconciliation left, before its status is written: one that cannot be written must stop no refresh."""
    monotonic: Callable[[], float] = time.monotonic

    async def reconcile(self, key: Key, *, look_around: bool = False) -> Outcome:
        """Reconcile one Datasource.

        Raises:
            Stale: somebody wrote meanwhile; come again soon.
            ApiError, Unavailable: come again later.
        """
        began = self.monotonic()
        try:
            seen = self.steps.observe(key, look_around=look_around)
            settled, seen = await self._settle(seen)
        except DatasourceGone:
            settled = None
        finally:
            self.steps.let_go(key)
        outcome = Outcome() if settled is None else _outcome(seen, settled)
        self.follow_up(key, outcome)
        if settled is not None:
            await self.status.write(key, seen, settled.finding, began)
        return outcome

    async def _settle(self, seen: Observed) -> tuple[Settle | None, Observed]:
        for _ in range(STEPS_LIMIT):
            step = next_step(seen)
            if isinstance(step, Nothing):
                return None, seen
            if isinstance(step, Settle):
                return step, seen
            try:
                seen = await self.steps.take(step, seen)
            except UnreadableCredential as error:
                seen = replace(seen, credential=error)
            except (Forbidden, Invalid) as error:
                logger.warning(
                    "the API server refused a step",
                    datasource=f"{seen.namespace}/{seen.name}",
                    step=type(step).__name__,
                    error=error.message,
                )
                refusal = Refusal(is_forbidden=isinstance(error, Forbidden), words=error.message)
                seen = refused(step, seen, refusal)
        raise Stale(f"not settled after {STEPS_LIMIT} steps")


def _outcome(seen: Observed, settled: Settle) -> Outcome:
    problem = None if seen.surroundings is None else seen.surroundings.problem
    watched = None if seen.surroundings is None or problem is None else seen.surroundings.look_again_at
    if watched is None and seen.trouble is not None:
        watched = seen.trouble.look_again_at
    look_after = None
    if problem is not None or settled.finding.needs_person:
        look_after = FORBIDDEN_LOOK if problem is not None and watched is None else WAITING_LOOK
    return Outcome(
        wake_after=None if settled.wake_at is None else max(settled.wake_at - seen.now, timedelta(0)),
        look_after=look_after,
        watched_secret=watched,
        refresh=_refresh(seen) if settled.refresh else None,
    )


def _refresh(seen: Observed) -> Refresh:
    whole = OAuth2() if seen.oauth2 is None else seen.oauth2.expanded()
    return Refresh(
        provider=urlsplit(whole.token_url or whole.issuer or "").netloc, is_urgent=seen.pending.refresh is not None
    )
