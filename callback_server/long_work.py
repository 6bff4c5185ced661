"""Work that is seen through whoever still looks: a page answers after a few seconds, and a reload joins the work."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog

logger = structlog.get_logger(__name__)

PATIENCE = 5.0
"""Seconds for which a person waits before a white page."""


@dataclass(slots=True)
class LongWork:
    """What is under way in this process, by what it is about."""

    patience: float = PATIENCE
    _under_way: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)

    async def has_ended(self, about: str, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Begin the work, or join it where it is under way; returns whether it ended while whoever asks could wait for it.

        Raises:
            Exception: what the work raised in that time. What it raises later is logged, and a reload begins it again.
        """
        task = self._under_way.get(about)
        if task is None:
            task = self._under_way[about] = asyncio.create_task(work())
            task.add_done_callback(lambda ended: self._ended(about, ended))
        # Not wait_for: that would end the work together with the waiting.
        done, _ = await asyncio.wait([task], timeout=self.patience)
        if not done:
            return False
        task.result()
        return True

    async def drain(self) -> None:
        """Wait until nothing is under way."""
        while self._under_way:
            await asyncio.wait(self._under_way.values())

    def _ended(self, about: str, task: "asyncio.Task[None]") -> None:
        del self._under_way[about]
        # Taken also where whoever waited is gone: the page that waits raises it, too.
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.info("work behind a page ended without success", error=type(error).__name__)
