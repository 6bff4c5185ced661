"""Deletions that no watch told of."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from datasource.api.objects import Metadata, PartialObject
from datasource.cluster.api_errors import Unavailable
from datasource.cluster.resources import DATASOURCES, Resource
from datasource_operator.cache import Cache, Key
from datasource_operator.key_check import KeyCheck
from tests.support.builders import datasource
from tests.unit.datasource_operator.stand_ins import KubeInMemory

HERE, GONE, ELSEWHERE = Key("shop", "orders"), Key("shop", "calendar"), Key("hr", "people")


class ListedKube(KubeInMemory):
    """Lists the Datasources that there are, by namespace; does not answer for a namespace that is not there."""

    listed: dict[str | None, list[Key]]

    async def list_metadata(
        self, resource: Resource, namespace: str | None, **_: Any
    ) -> tuple[list[PartialObject], str]:
        assert resource is DATASOURCES
        if namespace not in self.listed:
            raise Unavailable("no answer")
        return [PartialObject(Metadata(namespace=key.namespace, name=key.name)) for key in self.listed[namespace]], "1"


def check_of(
    listed: dict[str | None, list[Key]], scopes: tuple[str | None, ...] = (None,)
) -> tuple[KeyCheck, list[Key]]:
    """A check of a cache that knows all three, and what it drops."""
    kube, cache, dropped = ListedKube(), Cache(), list[Key]()
    kube.listed = listed
    for key in (HERE, GONE, ELSEWHERE):
        cache.store_datasource(datasource(namespace=key.namespace, name=key.name))
    return KeyCheck(kube, cache, scopes, dropped.append), dropped


async def test_deletions_that_no_watch_told_of_are_noticed() -> None:
    check, dropped = check_of({None: [HERE, ELSEWHERE]})

    await check.drop_missed_deletions(None)

    assert dropped == [GONE]
    assert sorted(check.cache.datasource_keys()) == sorted([HERE, ELSEWHERE])


async def test_a_list_of_one_namespace_says_nothing_of_others() -> None:
    check, dropped = check_of({"shop": [HERE]})

    await check.drop_missed_deletions("shop")

    assert dropped == [GONE]


async def test_what_appeared_while_the_list_was_read_is_kept() -> None:
    check, dropped = check_of({None: [HERE, GONE, ELSEWHERE]})
    new = Key("shop", "new")

    class KubeThatTakesLong(ListedKube):
        async def list_metadata(
            self, resource: Resource, namespace: str | None, **_: Any
        ) -> tuple[list[PartialObject], str]:
            check.cache.store_datasource(datasource(namespace=new.namespace, name=new.name))
            return await super().list_metadata(resource, namespace)

    kube = KubeThatTakesLong()
    kube.listed = {None: [HERE, GONE, ELSEWHERE]}
    await KeyCheck(kube, check.cache, (None,), dropped.append).drop_missed_deletions(None)

    assert dropped == []
    assert new in check.cache.datasource_keys()


async def test_a_namespace_that_does_not_answer_keeps_no_other_from_being_compared() -> None:
    pauses: list[float] = []

    async def one_round(seconds: float) -> None:
        if pauses:
            raise asyncio.CancelledError
        pauses.append(seconds)

    check, dropped = check_of({"hr": []}, scopes=("shop", "hr"))
    with pytest.raises(asyncio.CancelledError):
        await replace(check, sleep=one_round).run()

    assert pauses == [3600]
    assert dropped == [ELSEWHERE]
