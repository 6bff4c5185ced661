"""The watch of our Secrets: what it tells of a refusal, and that a long list is no stall."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from datasource.api.names import Annotation, Role
from datasource.api.objects import Metadata, PartialObject
from datasource.cluster.answers import WatchEvent
from datasource.cluster.api_errors import ApiError, Expired, Forbidden, NotFound, Unavailable
from datasource.cluster.connection import SILENCE_TIMEOUT
from datasource.cluster.kube import Kube
from datasource.cluster.resources import Resource
from datasource.cluster.streaming_lists import StreamingLists
from datasource_operator.cache import Cache, Key
from datasource_operator.secret_watch import SecretWatch
from datasource_operator.served_scopes import ServedScopes, Source
from tests.support.kube_in_memory import KubeInMemory
from tests.unit.datasource_operator.stand_ins import Clock


class Halfway(KubeInMemory):
    """Shows one Secret of a list, and never the next one."""

    async def metadata_pages(self, *_: Any, **__: Any) -> AsyncGenerator[tuple[list[PartialObject], str], None]:
        yield [token_secret("first")], "7"
        await asyncio.Event().wait()

    async def watch_metadata(self, *_: Any, **__: Any) -> AsyncGenerator[WatchEvent[PartialObject], None]:
        yield WatchEvent("ADDED", token_secret("first"))
        await asyncio.Event().wait()


def in_pages(kube: Kube) -> StreamingLists:
    """The lists of an API server that has no streaming lists."""
    return StreamingLists(kube, _can=False)


def watch_on(kube: Kube, clock: Clock, served: ServedScopes) -> SecretWatch:
    return SecretWatch(in_pages(kube), Cache(), "shop", Source.TOKENS, lambda _: None, served, clock)


async def begun(watch: SecretWatch) -> None:
    """Let it run until it waits for something."""
    task = asyncio.create_task(watch.run())
    for _ in range(40):
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


@pytest.mark.parametrize("in_pages", [True, False])
async def test_each_part_of_a_long_list_is_a_sign_of_life(in_pages: bool) -> None:
    """A list may take longer than liveness waits for a watch; a restart would only begin it anew."""
    clock = Clock()
    lists = StreamingLists(Halfway())
    watch = SecretWatch(lists, Cache(), "shop", Source.TOKENS, lambda _: None, ServedScopes(("shop",)), clock)
    listing = watch._list(in_pages=in_pages)
    clock.now += 1000
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await listing
    assert watch.alive_at == watch.heard_at == clock()


class Versions(Kube):
    """Answers lists with one resourceVersion after the other; each watch tells of some, and then it is expired."""

    def __init__(self, listed: list[str], told: list[str]) -> None:
        self.listed, self.told = listed, told

    async def metadata_pages(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        field_selector: str = "",
        label_selector: str = "",
        page_size: int = 500,
    ) -> AsyncGenerator[tuple[list[PartialObject], str], None]:
        if not self.listed:
            await asyncio.Event().wait()
        yield [], self.listed.pop(0)

    async def watch_metadata(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        field_selector: str,
        resource_version: str,
        label_selector: str = "",
        silence: timedelta = SILENCE_TIMEOUT,
    ) -> AsyncGenerator[WatchEvent[PartialObject], None]:
        for version in self.told:
            yield WatchEvent("BOOKMARK", PartialObject(Metadata(name="", resource_version=version)))
        raise Expired(410, "Expired", "too old")


@pytest.mark.parametrize(
    ("listed", "told", "went_back"),
    [
        (["10", "12"], [], False),
        (["10", "10"], [], False),
        (["10", "30"], ["20", "25"], False),
        (["10", "9"], [], True),
        (["10", "15"], ["20"], True),
        (["10", "5", "40"], [], True),
    ],
)
async def test_an_api_server_that_was_restored_to_an_earlier_state_is_noticed(
    listed: list[str], told: list[str], went_back: bool
) -> None:
    watch = watch_on(Versions(listed, told), Clock(), ServedScopes(("shop",)))
    await begun(watch)
    assert listed == []
    assert watch.history_went_back == went_back


class BrokenFor(Cache):
    """Cannot deal with one Secret, as a parser that somebody's text brings down."""

    def store_secret(self, metadata: Metadata, *, has_usual_type: bool = True) -> Key | None:
        if metadata.name == "attacker-token":
            raise RecursionError
        return super().store_secret(metadata, has_usual_type=has_usual_type)


def token_secret(name: str) -> PartialObject:
    annotations: dict[str, str] = {Annotation.DATASOURCE: name, Annotation.ROLE: Role.TOKEN}
    return PartialObject(Metadata(f"{name}-token", "shop", name, "7", annotations=annotations))


class Telling(Versions):
    """Lists one Secret that cannot be dealt with and one that can, and tells of two more."""

    async def metadata_pages(self, *_: Any, **__: Any) -> AsyncGenerator[tuple[list[PartialObject], str], None]:
        yield [token_secret("attacker"), token_secret("listed")], "7"

    async def watch_metadata(self, *_: Any, **__: Any) -> AsyncGenerator[WatchEvent[PartialObject], None]:
        yield WatchEvent("MODIFIED", token_secret("attacker"))
        yield WatchEvent("ADDED", token_secret("watched"))
        await asyncio.Event().wait()


async def test_secret_that_cannot_be_dealt_with_keeps_no_other_from_being_seen() -> None:
    cache, lists = BrokenFor(), in_pages(Telling([], []))
    watch = SecretWatch(lists, cache, "shop", Source.TOKENS, lambda _: None, ServedScopes(("shop",)), Clock())
    await begun(watch)
    assert [key.name for key, _ in cache.secret_names(Source.TOKENS)] == ["listed", "watched"]


class Listed(KubeInMemory):
    """Answers a list with one Secret; `meanwhile` is called while it is read."""

    def __init__(self, item: Metadata, meanwhile: Callable[[], object]) -> None:
        super().__init__()
        self.item, self.meanwhile = item, meanwhile

    async def metadata_pages(self, *_: Any, **__: Any) -> AsyncGenerator[tuple[list[PartialObject], str], None]:
        self.meanwhile()
        yield [PartialObject(self.item)], "50"


def _token_secret(name: str, *, namespace: str = "shop") -> Metadata:
    told: dict[str, str] = {Annotation.DATASOURCE: name.removesuffix("-token"), Annotation.ROLE: Role.TOKEN}
    return Metadata(name=name, namespace=namespace, uid=name, resource_version="7", annotations=told)


async def test_a_list_ends_what_it_no_longer_has_and_nothing_else() -> None:
    """Of two that are missing, one came while the list was read; what another namespace has is not asked for."""
    cache, changed = Cache(), list[Key]()
    stays, gone, comes = (_token_secret(f"{name}-token") for name in ("stays", "gone", "comes"))
    elsewhere = _token_secret("gone-token", namespace="other")
    for each in (stays, gone, elsewhere):
        cache.store_secret(each)
    kube = Listed(stays, lambda: cache.store_secret(comes))
    await SecretWatch(
        in_pages(kube), cache, "shop", Source.TOKENS, changed.append, ServedScopes(("shop",)), Clock()
    )._list()
    assert changed == [Key("shop", "gone")]
    assert {name for _, name in cache.secret_names(Source.TOKENS)} == {"stays-token", "comes-token", "gone-token"}
    assert cache.owner(elsewhere) == Key("other", "gone")
    assert cache.owner(gone) is None


class Streaming(KubeInMemory):
    """Answers one streaming list after the other with these events; the last one is that of a watch behind it."""

    def __init__(self, *streams: list[WatchEvent[PartialObject] | Exception]) -> None:
        super().__init__()
        self.streams, self.begun = list(streams), list[str]()

    async def metadata_pages(self, *_: Any, **__: Any) -> AsyncGenerator[tuple[list[PartialObject], str], None]:
        self.begun.append("pages")
        yield [token_secret("in-pages")], "50"

    async def watch_metadata(
        self, *_: Any, resource_version: str, **__: Any
    ) -> AsyncGenerator[WatchEvent[PartialObject], None]:
        self.begun.append(resource_version)
        for each in self.streams.pop(0) if self.streams else ():
            if isinstance(each, Exception):
                raise each
            yield each
        if resource_version or not self.streams:
            await asyncio.Event().wait()


def ends_list(version: str, *, marked: bool = True) -> WatchEvent[PartialObject]:
    return WatchEvent("BOOKMARK", PartialObject(Metadata(name="", resource_version=version)), ends_list=marked)


def streaming_watch(kube: Kube, cache: Cache, changed: Callable[[Key], None], served: ServedScopes) -> SecretWatch:
    return SecretWatch(StreamingLists(kube), cache, "shop", Source.TOKENS, changed, served, Clock())


async def test_streaming_list_shows_what_there_is_and_what_changed_while_it_came() -> None:
    cache, served, changed = Cache(), ServedScopes(("shop",)), list[Key]()
    for name in ("stays", "gone", "deleted"):
        cache.store_secret(token_secret(name).metadata)
    newer = PartialObject(msgspec.structs.replace(token_secret("deleted").metadata, resource_version="8"))
    kube = Streaming(
        [
            WatchEvent("ADDED", token_secret("stays")),
            WatchEvent("ADDED", token_secret("comes")),
            ends_list("20", marked=False),
            WatchEvent("ADDED", token_secret("deleted")),
            WatchEvent("DELETED", newer),
            ends_list("40"),
            WatchEvent("ADDED", token_secret("not-read-any-more")),
        ]
    )
    await begun(streaming_watch(kube, cache, changed.append, served))
    # It goes on from the bookmark that ends the list, and from no other.
    assert kube.begun == ["", "40"]
    assert {name for _, name in cache.secret_names(Source.TOKENS)} == {"stays-token", "comes-token"}
    assert {key.name for key in changed} == {"comes", "deleted", "gone"}


@pytest.mark.parametrize(
    "error", [Expired(410, "Expired", "too old"), ApiError(500, "InternalError", "broken"), Unavailable("cut")]
)
async def test_streaming_list_that_is_cut_short_is_read_in_pages_and_drops_nothing_before(error: Exception) -> None:
    cache, changed = Cache(), list[tuple[str, list[str]]]()
    for name in ("in-pages", "gone"):
        cache.store_secret(token_secret(name).metadata)
    kube = Streaming([WatchEvent("ADDED", token_secret("seen-and-gone")), error], [])
    watch = streaming_watch(kube, cache, lambda key: changed.append((key.name, kube.begun[:])), ServedScopes(("shop",)))
    await begun(watch)
    assert kube.begun == ["", "pages", "50"]
    assert {name for _, name in cache.secret_names(Source.TOKENS)} == {"in-pages-token"}
    assert changed[0] == ("seen-and-gone", [""])
    assert sorted(changed[1:]) == [("gone", ["", "pages"]), ("seen-and-gone", ["", "pages"])]


async def test_list_after_one_in_pages_is_streamed_again() -> None:
    kube = Streaming([], [Expired(410, "Expired", "too old")], [ends_list("60")])
    await begun(streaming_watch(kube, Cache(), lambda _: None, ServedScopes(("shop",))))
    assert kube.begun == ["", "pages", "50", "", "60"]
