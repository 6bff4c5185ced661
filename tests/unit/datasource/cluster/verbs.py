"""One call of each verb of Kube, and what the server of `api_server` answers to it."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from datasource.api.objects import PartialObject, Secret
from datasource.cluster.answers import WatchEvent
from datasource.cluster.kube import Kube
from datasource.cluster.resources import SECRETS
from tests.unit.datasource.api_server import (
    ApiServer,
    Reply,
)

SECRET = {
    "metadata": {"name": "a", "namespace": "shop", "resourceVersion": "7"},
    "type": "Opaque",
    "data": {"k": "dg=="},
}


async def get(kube: Kube) -> Secret:
    return await kube.get(SECRETS, "shop", "a", Secret)


async def create(kube: Kube) -> Secret:
    return await kube.create(SECRETS, "shop", {"metadata": {"name": "a"}}, Secret, manager="m")


async def patch(kube: Kube) -> Secret:
    return await kube.merge_patch(SECRETS, "shop", "a", {"data": None}, Secret, manager="m")


async def apply(kube: Kube) -> Secret:
    return await kube.apply(SECRETS, "shop", "a", {"metadata": {"name": "a"}}, Secret, manager="m")


async def delete(kube: Kube) -> None:
    await kube.delete(SECRETS, "shop", "a", uid="u-1", resource_version="7")


async def list_all(kube: Kube) -> tuple[list[PartialObject], str]:
    return await kube.list_metadata(SECRETS, None, field_selector="type=t")


async def watch(kube: Kube) -> list[WatchEvent[PartialObject]]:
    """Every event until the watch ends."""
    events: list[WatchEvent[PartialObject]] = []
    await watch_into(events, kube)
    return events


async def watch_into(events: list[WatchEvent[PartialObject]], kube: Kube, seen: asyncio.Event | None = None) -> None:
    """Append every event until the watch ends; says when the first was seen."""
    async for each in kube.watch_metadata(SECRETS, "shop", field_selector="type=t", resource_version="5"):
        events.append(each)
        if seen is not None:
            seen.set()


Verb = Callable[[Kube], Awaitable[object]]

VERBS = [get, create, patch, apply, delete, list_all, watch]
every_verb = pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)


async def result_of(verb: Verb, *answers: Reply) -> object:
    async with ApiServer(*answers) as server, server.kube() as kube:
        return await verb(kube)


def bookmark(version: str) -> bytes:
    body = {
        "type": "BOOKMARK",
        "object": {
            "kind": "Secret",
            "apiVersion": "v1",
            "metadata": {"resourceVersion": version, "creationTimestamp": None},
        },
    }
    return msgspec.json.encode(body) + b"\n"
