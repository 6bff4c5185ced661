"""I/O: tasks that run for as long as the process works."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

logger = structlog.get_logger(__name__)


def spawn(name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
    """Begin work that should never end, and begin it again where it fails."""
    return asyncio.create_task(_keep_alive(name, work), name=name)


async def cancel(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_alive(name: str, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except Exception:
            logger.exception("a task ended that never should, starting it again", task=name)
            await asyncio.sleep(1)
