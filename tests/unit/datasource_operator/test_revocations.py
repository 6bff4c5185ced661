"""Which keys wait for a revocation, and how each comes again. How one goes is in test_revoker.py."""

from datetime import timedelta
from typing import Any, cast

import pytest

from datasource.api.objects import Metadata
from datasource_operator.cache import Cache, Key
from datasource_operator.revocations import WORKERS, Revocations
from datasource_operator.revoker import Revoker
from datasource_operator.tasks import cancel
from datasource_operator.worker import Done, TryAgain
from tests.support.builders import NAME, NAMESPACE, credential_metadata
from tests.unit.datasource_operator.stand_ins import Clock

KEY = Key(NAMESPACE, NAME)


class StubbornProvider:
    """A Revoker whose provider asks for a pause, or takes the token at once."""

    def __init__(self, pause: timedelta | None) -> None:
        self.pause = pause

    async def revoke(self, _: Key) -> timedelta | None:
        return self.pause


def due(resource_version: str = "7") -> Metadata:
    return credential_metadata(
        resource_version=resource_version, tombstone="CredentialCleared", revoke_until="2026-07-01T12:05:00Z"
    )


def revocations(pause: timedelta | None = None) -> tuple[Revocations, list[Key]]:
    """Revocations over an empty cache, and the keys that they tell of."""
    tried: list[Key] = []
    revoker = cast("Revoker", StubbornProvider(pause))
    return Revocations(Cache(), revoker, Clock(), lambda: 0.5, tried.append), tried


@pytest.mark.parametrize(
    ("pause", "ending"),
    [(None, Done()), (timedelta(0), TryAgain()), (timedelta(minutes=1), TryAgain(timedelta(minutes=1)))],
    ids=["it went", "again", "the provider asks for a minute"],
)
async def test_a_key_comes_again_when_the_provider_says(pause: timedelta | None, ending: Any) -> None:
    found, _ = revocations(pause)

    assert await found.worker.job(KEY) == ending


def test_what_was_stored_while_a_revocation_ran_is_taken_up_by_it() -> None:
    found, tried = revocations()
    found.cache.store_secret(due())

    found.worker.given_back(KEY)

    assert tried == [KEY]
    assert KEY in found.queue


def test_what_is_not_due_any_more_is_forgotten() -> None:
    found, _ = revocations()
    found.cache.store_secret(due())
    found.follow(KEY)
    assert KEY in found.queue

    found.cache.store_secret(credential_metadata(resource_version="8"))
    found.follow(KEY)

    assert KEY not in found.queue


async def test_whatever_is_due_when_we_begin_is_queued() -> None:
    found, _ = revocations()
    found.cache.store_secret(due())
    assert KEY not in found.queue

    tasks = found.start()

    assert KEY in found.queue
    assert len(tasks) == WORKERS
    await cancel(tasks)
