"""I/O: one level-triggered reconciliation, whatever triggered it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from datasource.cluster.api_errors import Forbidden, Invalid
from datasource.cluster.credential_secrets import Stale
from datasource.records.credential import UnreadableCredential
from datasource_operator.cache import Key
from datasource_operator.decisions.observed import Observed, Refusal
from datasource_operator.decisions.obstacles import refused
from datasource_operator.decisions.policy import next_step
from datasource_operator.decisions.steps import Nothing, Settle
from datasource_operator.decisions.timing import Comeback, comeback
from datasource_operator.observer import DatasourceGone
from datasource_operator.status_writer import StatusWriter
from datasource_operator.steps import Steps

logger = structlog.get_logger(__name__)

STEPS_LIMIT = 12
"""More steps than any Datasource needs; beyond it something fights us, and a pause is better than a storm."""


@dataclass(slots=True)
class Reconciler:
    """Takes a Datasource from what is to what should be."""

    steps: Steps
    status: StatusWriter
    follow_up: Callable[[Key, Comeback], None]
    """Told what a reconciliation left, before its status is written: one that cannot be written must stop no refresh."""
    monotonic: Callable[[], float] = time.monotonic

    async def reconcile(self, key: Key, *, look_around: bool = False) -> Comeback:
        """Reconcile one Datasource.

        Raises:
            Stale: somebody wrote meanwhile; come again soon.
            ApiError, Unavailable: come again later.
        """
        began = self.monotonic()
        try:
            seen = self.steps.observer.observe(key, look_around=look_around)
            settled, seen = await self._settle(seen)
        except DatasourceGone:
            settled = None
        finally:
            self.steps.token_secrets.let_go(key)
        outcome = Comeback() if settled is None else comeback(seen, settled)
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
                seen = seen.with_unreadable(error.unreadable)
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
