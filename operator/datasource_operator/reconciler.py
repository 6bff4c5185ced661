"""I/O: one level-triggered reconciliation, whatever triggered it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from datasource.cluster.api_errors import ApiError, Forbidden, Invalid
from datasource.cluster.credential_secrets import Stale
from datasource.records.credential import UnreadableCredential
from datasource_operator.cache import Key
from datasource_operator.decisions.observed import Observed, Refusal
from datasource_operator.decisions.obstacles import refused
from datasource_operator.decisions.policy import next_step
from datasource_operator.decisions.steps import (
    DeleteTokenSecret,
    LookForTokenSecret,
    Nothing,
    Settle,
    Step,
    WriteTokenSecret,
)
from datasource_operator.decisions.timing import Comeback, comeback, refresh_meanwhile
from datasource_operator.executor import Executor
from datasource_operator.observer import DatasourceGone
from datasource_operator.status_writer import StatusWriter

logger = structlog.get_logger(__name__)

STEPS_LIMIT = 12
"""More steps than any Datasource needs. Beyond that something undoes our writes, and a pause is better than a storm."""

_ABOUT_TOKEN_SECRETS = (WriteTokenSecret, DeleteTokenSecret, LookForTokenSecret)
"""Steps that come after all that may end a grant: a refresh between two tries of them is safe."""


@dataclass(slots=True)
class Reconciler:
    """Brings the Secrets and the status of a Datasource to what its spec asks for."""

    steps: Executor
    status: StatusWriter
    follow_up: Callable[[Key, Comeback], None]
    """Called with what follows a reconciliation. That is before the status is written: a refused write must stop no refresh."""
    monotonic: Callable[[], float] = time.monotonic

    async def reconcile(self, key: Key, *, look_around: bool = False) -> Comeback:
        """Reconcile one Datasource.

        Args:
            key: of the Datasource.
            look_around: whether to read the surroundings even where the status says that they are in order.

        Raises:
            Stale: another process wrote meanwhile; reconcile again soon.
            ApiError, Unavailable: the API server refused or did not answer; reconcile again later.
        """
        began = self.monotonic()
        try:
            seen = self.steps.observer.observe(key, look_around=look_around)
            settled, seen = await self._settle(seen)
        except DatasourceGone:
            settled = None
        finally:
            self.steps.token_secrets.let_go(key)
        follows = Comeback() if settled is None else comeback(seen, settled)
        self.follow_up(key, follows)
        if settled is not None:
            await self.status.write(key, seen, settled.finding, began)
        return follows

    async def _settle(self, seen: Observed) -> tuple[Settle | None, Observed]:
        """Take steps until none is left. Returns None for a Datasource that is being deleted, and what was observed last."""
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
            except (ApiError, Stale):
                self._refresh_meanwhile(step, seen)
                raise
        self._refresh_meanwhile(step, seen)
        raise Stale(f"not settled after {STEPS_LIMIT} steps")

    def _refresh_meanwhile(self, step: Step, seen: Observed) -> None:
        """See to it that a token Secret that cannot be written, or that others undo, stops no refresh."""
        follows = refresh_meanwhile(seen) if isinstance(step, _ABOUT_TOKEN_SECRETS) else None
        if follows is not None:
            self.follow_up(Key(seen.namespace, seen.name), follows)
