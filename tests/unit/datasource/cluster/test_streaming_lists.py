"""Lists as streams, on a real connection; and in pages where the API server has no other."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from datasource.cluster import streaming_lists
from datasource.cluster.api_errors import ApiError, Forbidden, Unavailable
from datasource.cluster.resources import SECRETS
from datasource.cluster.streaming_lists import AT_A_TIME, CutShort, Selection, StreamingLists
from tests.unit.datasource.api_server import NO_STREAMS, ApiServer, Crowd, Reply, fails, json_reply, streams

SELECTION = Selection(SECRETS, "shop", "type=t", "a=b")


def _event(type_: str, name: str, version: str = "8", **annotations: str) -> bytes:
    metadata = {"name": name, "resourceVersion": version, "annotations": annotations}
    return msgspec.json.encode({"type": type_, "object": {"metadata": metadata}}) + b"\n"


END = _event("BOOKMARK", "", "9", **{"k8s.io/initial-events-end": "true"})
PAGE = json_reply({"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "paged"}}]})


async def _events(lists: StreamingLists, *, in_pages: bool = False) -> list[tuple[str, str, str, bool]]:
    return [
        (each.type, each.object.metadata.name, each.object.metadata.resource_version, each.ends_list)
        async for each in lists.events(SELECTION, in_pages=in_pages)
    ]


async def test_stream_ends_with_the_bookmark_after_all_that_there_is() -> None:
    never = asyncio.Event()
    answer = streams(_event("ADDED", "a"), _event("BOOKMARK", "", "6"), _event("DELETED", "b"), END, never)
    async with ApiServer(answer) as server, server.kube() as kube:
        found = await _events(StreamingLists(kube))
        never.set()
    assert found == [
        ("ADDED", "a", "8", False),
        ("BOOKMARK", "", "6", False),
        ("DELETED", "b", "8", False),
        ("BOOKMARK", "", "9", True),
    ]
    (request,) = server.requests
    assert 240 <= int(request.query.pop("timeoutSeconds")) <= 360
    assert request.query == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "fieldSelector": "type=t",
        "labelSelector": "a=b",
    }


async def test_bookmark_with_another_annotation_ends_no_list() -> None:
    other = _event("BOOKMARK", "", "9", **{"k8s.io/initial-events-end": "false"})
    async with ApiServer(streams(other)) as server, server.kube() as kube:
        with pytest.raises(CutShort):
            await _events(StreamingLists(kube))


@pytest.mark.parametrize("status", [400, 422])
async def test_api_server_without_streams_is_asked_for_one_once(status: int) -> None:
    refusal = fails(status, "Invalid", "sendInitialEvents is forbidden for watch unless the WatchList gate is enabled")
    async with ApiServer(refusal, PAGE, PAGE) as server, server.kube() as kube:
        lists = StreamingLists(kube)
        assert (
            await _events(lists) == await _events(lists) == [("ADDED", "paged", "", False), ("BOOKMARK", "", "7", True)]
        )
    assert ["watch" in each.query for each in server.requests] == [True, False, False]
    assert [each.query["labelSelector"] for each in server.requests] == ["a=b"] * 3


@pytest.mark.parametrize(
    "answer",
    [
        streams(),
        streams(_event("ADDED", "a")),
        streams(_event("ADDED", "a"), then_cut=True),
        streams(_event("ADDED", "a"), b"not json\n"),
        streams(_event("ADDED", "a"), b'{"type": "ERROR", "object": {"code": 403, "reason": "Forbidden"}}\n'),
        fails(500, "InternalError"),
        fails(504, "Timeout", "Too large resource version"),
        PAGE,
    ],
    ids=["empty", "ended", "cut", "broken", "an error", "500", "not new enough", "a list"],
)
async def test_whatever_ends_a_stream_before_its_end_the_list_can_be_read_in_pages(answer: Reply) -> None:
    async with ApiServer(answer, PAGE) as server, server.kube() as kube:
        lists = StreamingLists(kube)
        with pytest.raises(CutShort):
            await _events(lists)
        assert await _events(lists, in_pages=True) == [("ADDED", "paged", "", False), ("BOOKMARK", "", "7", True)]


async def test_silence_ends_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that waits for the end of an answer before it hands it on shows nothing of a watch."""
    monkeypatch.setattr(streaming_lists, "SILENCE", timedelta(milliseconds=100))
    never = asyncio.Event()
    async with ApiServer(streams(never)) as server, server.kube() as kube:
        with pytest.raises(CutShort):
            await _events(StreamingLists(kube))
        never.set()


@pytest.mark.parametrize(("answer", "error"), [(fails(403, "Forbidden"), Forbidden), (fails(429, "Busy"), ApiError)])
async def test_refusal_has_nothing_to_do_with_streams(answer: Reply, error: type[ApiError]) -> None:
    async with ApiServer(answer) as server, server.kube() as kube:
        with pytest.raises(error):
            await _events(StreamingLists(kube))


async def test_api_server_that_is_away_is_told_as_that() -> None:
    async with ApiServer(NO_STREAMS) as server, server.kube() as kube:
        await server.stop()
        with pytest.raises(Unavailable):
            await _events(StreamingLists(kube))


async def test_few_streams_are_read_at_a_time() -> None:
    """There are four for each namespace that is served."""
    answer = Crowd(streams(END))
    async with ApiServer(answer) as server, server.kube() as kube:
        lists = StreamingLists(kube)
        found = await asyncio.gather(*(_events(lists) for _ in range(3 * AT_A_TIME)))
    assert found == [[("BOOKMARK", "", "9", True)]] * 3 * AT_A_TIME
    assert answer.most <= AT_A_TIME
