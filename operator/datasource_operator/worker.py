"""I/O: one way to work on a key, for reconciling, refreshing and revoking: run the job, come again with backoff, log, count."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from datasource.cluster.api_errors import ApiError, Unavailable
from datasource.cluster.credential_secrets import Stale
from datasource_operator.cache import Key
from datasource_operator.metrics import ReconcileResult
from datasource_operator.queue import WorkQueue

logger = structlog.get_logger(__name__)

BUG_PAUSE = timedelta(seconds=5)
"""How soon, at the earliest, to try again after an error that nobody expected."""


@dataclass(frozen=True, slots=True)
class Done:
    """All is as it should be; `comes_again`: time will change that, and the key is queued for then."""

    comes_again: bool = False


@dataclass(frozen=True, slots=True)
class LookAgain:
    """The job changed what others decide on: the key is due now."""


@dataclass(frozen=True, slots=True)
class TryAgain:
    """It did not come about, and the job has told why: come again after a growing pause, `at_least` so long."""

    at_least: timedelta = timedelta(0)


Ending = Done | LookAgain | TryAgain
"""How a job ended that raised nothing."""

Job = Callable[[Key], Awaitable[Ending]]


def _forget_count(_: ReconcileResult, __: float) -> None:
    """Where no metric counts."""


@dataclass(slots=True)
class Worker:
    """Does one job for one key after another; as many keys at a time as there are callers of `run`.

    A job raises Stale where somebody wrote meanwhile, ApiError and Unavailable where the API server refused or did not answer.
    """

    name: str
    """What is done, for the log."""
    queue: WorkQueue[Key]
    """Where a key comes again."""
    job: Job
    given_back: Callable[[Key], None] = lambda _: None
    """Told when a key that was taken is out of our hands, however that came about."""
    count: Callable[[ReconcileResult, float], None] = _forget_count
    """Told how each job ended, and how many seconds it took."""
    monotonic: Callable[[], float] = time.monotonic

    async def run(self) -> None:
        """Take a key that is due and work on it, for ever."""
        while True:
            key = await self.queue.take()
            try:
                await self.work_on(key)
            finally:
                self.queue.done(key)
                self.given_back(key)
            # A look that finds nothing to do waits for nobody. Without a pause, 100,000 of them would hold up all else.
            await asyncio.sleep(0)

    async def work_on(self, key: Key) -> None:
        """Do the job once, for a key that is in our hands. Whatever it raises, the key comes again."""
        began = self.monotonic()
        result = await self._do_job(key)
        self.count(result, self.monotonic() - began)

    async def _do_job(self, key: Key) -> ReconcileResult:
        try:
            ending = await self.job(key)
        except Stale as error:
            self.queue.retry(key)
            logger.debug("somebody wrote meanwhile", job=self.name, datasource=str(key), what=str(error))
            return ReconcileResult.REQUEUE
        except (ApiError, Unavailable) as error:
            delay = self.queue.retry(key, at_least=error.retry_after or timedelta(0))
            logger.warning(
                "will try again", job=self.name, datasource=str(key), seconds=_rounded(delay), error=str(error)
            )
            return ReconcileResult.ERROR
        except Exception:
            # A bug must neither take the loop down nor give a key up: a credential, or a namespace that is being deleted.
            delay = self.queue.retry(key, at_least=BUG_PAUSE)
            logger.exception(
                "unexpected error, will try again", job=self.name, datasource=str(key), seconds=_rounded(delay)
            )
            return ReconcileResult.ERROR
        return self._follow(key, ending)

    def _follow(self, key: Key, ending: Ending) -> ReconcileResult:
        match ending:
            case Done(comes_again=comes_again):
                self.queue.succeeded(key)
                return ReconcileResult.REQUEUE_AFTER if comes_again else ReconcileResult.SUCCESS
            case LookAgain():
                self.queue.add(key)
            case TryAgain(at_least=at_least):
                self.queue.retry(key, at_least=at_least)
        return ReconcileResult.REQUEUE


def _rounded(delay: timedelta) -> float:
    return round(delay.total_seconds(), 1)
