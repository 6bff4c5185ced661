"""I/O: work on keys, for reconciling, refreshing and revoking: run the job, try again with backoff, log and count."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from datasource.cluster.api_errors import ApiError, Unavailable
from datasource.cluster.credential_secrets import Stale
from datasource.cluster.kube import took_too_long
from datasource_operator.cache import Key
from datasource_operator.metrics import ReconcileResult
from datasource_operator.queue import WorkQueue

logger = structlog.get_logger(__name__)

BUG_PAUSE = timedelta(seconds=5)
"""The shortest pause after an unexpected error."""


@dataclass(frozen=True, slots=True)
class Done:
    """The job is done. `comes_again`: the key is queued already for a later time, at which there is work again."""

    comes_again: bool = False


@dataclass(frozen=True, slots=True)
class LookAgain:
    """The job changed something that a reconciliation depends on, so the key is due now."""


@dataclass(frozen=True, slots=True)
class TryAgain:
    """The job failed, and has reported why. Try again after a growing pause that is not shorter than `at_least`."""

    at_least: timedelta = timedelta(0)


Ending = Done | LookAgain | TryAgain
"""How a job ended that raised no exception."""

Job = Callable[[Key], Awaitable[Ending]]


def _forget_count(_: ReconcileResult, __: float) -> None:
    """For a worker whose jobs no metric counts."""


@dataclass(slots=True)
class Worker:
    """Does one job for one key after another. Each caller of `run` works on one key at a time.

    A job raises Stale where another process wrote meanwhile, and ApiError or Unavailable where the API server refused or did
    not answer.
    """

    name: str
    """The name of the job in the log."""
    queue: WorkQueue[Key]
    """The queue that `run` takes keys from. A key that is to be worked on again is added to it."""
    job: Job
    given_back: Callable[[Key], None] = lambda _: None
    """Called with each key that `run` took, after the work on it has ended, in whatever way."""
    count: Callable[[ReconcileResult, float], None] = _forget_count
    """Called with the result of each job, and the seconds it took."""
    monotonic: Callable[[], float] = time.monotonic

    async def run(self) -> None:
        """Take keys that are due, and work on them, for ever."""
        while True:
            key = await self.queue.take()
            try:
                await self.work_on(key)
            finally:
                self.queue.done(key)
                self.given_back(key)
            # A job that finds nothing to do never awaits I/O. Without this pause, 100,000 of them would block the event loop.
            await asyncio.sleep(0)

    async def work_on(self, key: Key) -> None:
        """Do the job once, for a key that was taken. If the job raises an exception, the key is queued again."""
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
            at_least = error.retry_after or timedelta(0)
            delay = self.queue.retry(key, at_least=at_least, took_too_long=took_too_long(error))
            logger.warning(
                "will try again", job=self.name, datasource=str(key), seconds=_rounded(delay), error=str(error)
            )
            return ReconcileResult.ERROR
        except Exception:
            # A bug must not end the loop. Nor may the key be dropped: a credential or a deletion may depend on it.
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
