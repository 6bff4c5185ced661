"""What the API server answers is decoded, or told as no answer of it."""

import json

import pytest

from datasource.api.objects import PartialObject
from datasource.cluster.answers import ListOf, decoded, object_in, watch_event
from datasource.cluster.api_errors import Expired, Unavailable
from datasource.cluster.lean import USUAL


def test_list_of_nothing_has_no_items() -> None:
    found = decoded(b'{"metadata": {"resourceVersion": "5", "continue": "more"}, "items": null}', ListOf[PartialObject])
    assert (found.items, found.metadata.resource_version, found.metadata.continue_) == (None, "5", "more")


@pytest.mark.parametrize("text", [b"<html>", b"{}", b"[" * 100_000, b"x" * (USUAL + 1), b'{"metadata": []}'])
def test_what_is_no_object_is_no_answer_of_the_api_server(text: bytes) -> None:
    with pytest.raises(Unavailable):
        object_in(text, PartialObject)


def test_large_object_of_a_watch_comes_without_what_nobody_reads() -> None:
    labels = {str(number): "" for number in range(20_000)}
    item = {"metadata": {"name": "a", "resourceVersion": "7", "labels": labels}}
    event = watch_event(json.dumps({"type": "MODIFIED", "object": item}).encode(), PartialObject)
    assert (event.type, event.object.metadata.name, event.object.metadata.labels) == ("MODIFIED", "a", {})


def test_error_and_bookmark_of_a_watch_are_told() -> None:
    with pytest.raises(Expired):
        watch_event(b'{"type": "ERROR", "object": {"code": 410, "reason": "Expired"}}', PartialObject)
    bookmark = watch_event(b'{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}', PartialObject)
    assert bookmark.object.metadata.resource_version == "9"
