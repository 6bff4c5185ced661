"""Deletions that no watch told of."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from datasource.cluster.api_errors import Unavailable
from datasource.cluster.resources import DATASOURCES
from datasource_operator.cache import Cache, Key
from datasource_operator.key_check import KeyCheck
from tests.support.builders import datasource
from tests.support.kube_in_memory import Answer, Call, KubeInMemory

HERE, GONE, ELSEWHERE = Key("shop", "orders"), Key("shop", "calendar"), Key("hr", "people")


@dataclass
class PartlySilent(KubeInMemory):
    """Answers for some scopes only; `meanwhile` happens while a list is read."""

    answers_for: frozenset[str | None] = frozenset({None})
    meanwhile: Callable[[], object] = lambda: None

    async def requested(self, call: Call, answer: Answer) -> Any:
        if (call.namespace or None) not in self.answers_for:
            raise Unavailable("no answer")
        listed = await super().requested(call, answer)
        self.meanwhile()
        return listed


def check_of(
    listed: dict[str | None, list[Key]], scopes: tuple[str | None, ...] = (None,)
) -> tuple[KeyCheck, list[Key]]:
    """A check of a cache that knows all three, and what it drops; only what is listed is there, by scope."""
    kube, cache, dropped = PartlySilent(answers_for=frozenset(listed)), Cache(), list[Key]()
    for key in {each for keys in listed.values() for each in keys}:
        kube.put(DATASOURCES, key.namespace, key.name)
    for key in (HERE, GONE, ELSEWHERE):
        cache.store_datasource(datasource(namespace=key.namespace, name=key.name, resource_version="1"))
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

    assert isinstance(check.kube, PartlySilent)
    check.kube.meanwhile = lambda: check.cache.store_datasource(datasource(namespace=new.namespace, name=new.name))
    await check.drop_missed_deletions(None)

    assert dropped == []
    assert new in check.cache.datasource_keys()


async def test_what_was_deleted_and_created_again_while_the_list_was_read_is_kept() -> None:
    check, dropped = check_of({None: [HERE, ELSEWHERE]})
    again = datasource(namespace=GONE.namespace, name=GONE.name, uid="another", resource_version="1000")

    assert isinstance(check.kube, PartlySilent)
    check.kube.meanwhile = lambda: check.cache.store_datasource(again)
    await check.drop_missed_deletions(None)

    assert dropped == []
    found = check.cache.datasource(GONE)
    assert found is not None
    assert found.metadata.uid == "another"


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
