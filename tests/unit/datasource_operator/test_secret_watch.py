"""The watch of our Secrets: what it tells of a refusal, and that a long list is no stall."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from datasource.api.names import SecretType
from datasource.api.objects import PartialObject
from datasource.cluster.api_errors import ApiError, Forbidden, NotFound
from datasource.cluster.kube import Kube
from datasource.cluster.resources import Resource
from datasource_operator.cache import Cache
from datasource_operator.secret_watch import SecretWatch
from datasource_operator.served_scopes import ServedScopes
from tests.unit.datasource_operator.stand_ins import Clock


class Pages(Kube):
    """Answers a list with empty pages, or with a refusal, and is asked no more after it."""

    def __init__(self, answers: list[ApiError | None]) -> None:
        self.answers = answers

    async def metadata_pages(
        self, resource: Resource, namespace: str | None, *, field_selector: str = "", page_size: int = 500
    ) -> AsyncIterator[tuple[list[PartialObject], str]]:
        for answer in self.answers:
            if answer is not None:
                raise answer
            yield [], "1"
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
    watch = watch_on(Pages([error]), clock, served)
    clock.now += 100
    await begun(watch)
    assert served.unreadable() == {"shop": f"token Secrets: {error}"}
    assert watch.heard_at == clock()


async def test_what_passes_by_itself_is_no_refusal() -> None:
    served = ServedScopes(("shop",))
    await begun(watch_on(Pages([ApiError(500, "InternalError", "broken")]), Clock(), served))
    assert served.unreadable() == {}


async def test_each_page_of_a_long_list_is_a_sign_of_life() -> None:
    """A list may take longer than liveness waits for a watch; a restart would only begin it anew."""
    clock = Clock()
    watch = watch_on(Pages([None]), clock, ServedScopes(("shop",)))
    pages = watch._list()
    clock.now += 1000
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await pages
    assert watch.alive_at == watch.heard_at == clock()
