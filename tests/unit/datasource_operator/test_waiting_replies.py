"""When a reply that cannot be stored is told."""

import asyncio
from datetime import timedelta

from datasource_operator.cache import Key
from datasource_operator.waiting_replies import TOLD_AFTER, WaitingReplies
from tests.unit.datasource_operator.stand_ins import Clock

KEY = Key("shop", "sales")


async def test_reply_that_waits_for_long_is_told_once() -> None:
    clock = Clock()
    warned: list[tuple[Key, str]] = []
    changed: list[Key] = []

    async def warn(key: Key, words: str) -> None:
        warned.append((key, words))

    waiting = WaitingReplies(warn, changed.append, clock)
    waiting.wait(KEY, "quota")
    await asyncio.sleep(0)
    assert (len(waiting), warned, changed) == (1, [], [])
    for _ in range(3):
        clock.advance(TOLD_AFTER)
        waiting.wait(KEY, "quota")
        await asyncio.sleep(0)
    assert (warned, changed) == ([(KEY, "quota")], [KEY])
    waiting.end(KEY)
    assert len(waiting) == 0


async def test_next_reply_that_waits_is_told_again() -> None:
    clock = Clock()
    changed: list[Key] = []
    waiting = WaitingReplies(changed=changed.append, monotonic=clock)
    for _ in range(2):
        waiting.wait(KEY, "quota")
        clock.advance(TOLD_AFTER + timedelta(seconds=1))
        waiting.wait(KEY, "quota")
        waiting.end(KEY)
    await asyncio.sleep(0)
    assert changed == [KEY, KEY]
