"""The watch of our Secrets: what it tells of a refusal, and that a long list is no stall."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from datasource.api.names import SecretType
from datasource.api.objects import PartialObject
from datasource.cluster.api_errors import ApiError, Forbidden, NotFound
from datasource.cluster.kube import Kube
from datasource_operator.cache import Cache
from datasource_operator.secret_watch import SecretWatch
from datasource_operator.served_scopes import ServedScopes
from tests.support.kube_in_memory import KubeInMemory
from tests.unit.datasource_operator.stand_ins import Clock


class OnePage(KubeInMemory):
    """Answers a list with one page, and never with the next one."""

    async def metadata_pages(self, *arguments: Any, **keywords: Any) -> AsyncIterator[tuple[list[PartialObject], str]]:
        async for page in super().metadata_pages(*arguments, **keywords):
            yield page
            await asyncio.Event().wait()


def watch_on(kube: Kube, clock: Clock, served: ServedScopes) -> SecretWatch:
    return SecretWatch(kube, Cache(), "shop", SecretType.TOKEN, lambda _: None, served, clock)


async def begun(watch: SecretWatch) -> None:
    """Let it run until it waits for something."""
    task = asyncio.create_task(watch.run())
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("error", [Forbidden(403, "Forbidden", "no"), NotFound(404, "NotFound", "gone")])
async def test_a_refusal_is_told_for_the_namespace_and_is_no_silence(error: ApiError) -> None:
    clock, served = Clock(), ServedScopes(("shop",))
    watch = watch_on(KubeInMemory(failure=error), clock, served)
    clock.now += 100
    await begun(watch)
    assert served.unreadable() == {"shop": f"token Secrets: {error}"}
    assert watch.heard_at == clock()


async def test_what_passes_by_itself_is_no_refusal() -> None:
    served = ServedScopes(("shop",))
    await begun(watch_on(KubeInMemory(failure=ApiError(500, "InternalError", "broken")), Clock(), served))
    assert served.unreadable() == {}


async def test_each_page_of_a_long_list_is_a_sign_of_life() -> None:
    """A list may take longer than liveness waits for a watch; a restart would only begin it anew."""
    clock = Clock()
    watch = watch_on(OnePage(), clock, ServedScopes(("shop",)))
    pages = watch._list()
    clock.now += 1000
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await pages
    assert watch.alive_at == watch.heard_at == clock()
