"""Sessions in the API server, in memory: ten for a person, each for one browser, and strangers cost no read."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from callback_server.limits import Exceeded
from callback_server.signed_in import sessions as module
from callback_server.signed_in.sessions import PER_SESSION, SESSION, NoKeys, SessionStore
from datasource.api.names import SESSION_SLOTS
from datasource.cluster.api_errors import Conflict
from datasource.cluster.link_keys import LinkKeyStore
from datasource.cluster.resources import SECRETS
from datasource.oauth2.kubernetes_user import User
from datasource.records.link_keys import LinkKeys
from datasource.records.session import SESSION_LIFETIME
from tests.support.builders import NOW
from tests.support.kube_in_memory import Answer, Call, KubeInMemory

SYSTEM = "datasource-system"
ADA = User("ada", ("dev",))
KEYS = LinkKeys().renewed(NOW - timedelta(days=1), lambda size: bytes(size))


class Clock:
    """Of people, and a monotonic one that does not move."""

    def __init__(self) -> None:
        self.now = NOW
        self.seconds = 0.0

    def __call__(self) -> datetime:
        return self.now


def store(kube: KubeInMemory, clock: Clock | None = None, by: str = "d") -> SessionStore:
    now = clock or Clock()
    keys = LinkKeyStore(kube, SYSTEM, now)
    keys.current = KEYS
    return SessionStore(kube, SYSTEM, by, keys, now, lambda: now.seconds, slots=lambda: range(SESSION_SLOTS))


async def test_whoever_signs_in_is_known_by_what_the_browser_keeps() -> None:
    kube = KubeInMemory()
    sessions = store(kube)
    made = await sessions.begin(ADA)
    assert SESSION.form.fullmatch(made.secret.encode())
    found = await sessions.of(made.secret)
    assert found is not None
    assert (found.user, found.key.slot) == (ADA, 0)
    assert made.secret not in repr(found)


async def test_two_browsers_of_a_person_have_two_sessions() -> None:
    sessions = store(KubeInMemory())
    one, other = await sessions.begin(ADA), await sessions.begin(ADA)
    assert one.secret != other.secret
    assert await sessions.of(one.secret) is not None
    assert await sessions.of(other.secret) is not None


async def test_eleventh_session_takes_the_place_of_the_oldest() -> None:
    clock = Clock()
    sessions = store(KubeInMemory(), clock)
    made = []
    for _ in range(SESSION_SLOTS + 1):
        made.append(await sessions.begin(ADA))
        clock.now += timedelta(minutes=1)
    alive = [await sessions.of(each.secret) is not None for each in made]
    assert alive == [False, *[True] * SESSION_SLOTS]


async def test_session_that_is_over_gives_its_slot_away() -> None:
    clock = Clock()
    sessions = store(KubeInMemory(), clock)
    first = await sessions.begin(ADA)
    clock.now += SESSION_LIFETIME
    assert await sessions.of(first.secret) is None
    second = await sessions.begin(ADA)
    assert (second.key.slot, await sessions.of(first.secret)) == (0, None)
    assert await sessions.of(second.secret) is not None


async def test_session_is_read_and_never_written_again() -> None:
    kube = KubeInMemory()
    sessions = store(kube)
    made = await sessions.begin(ADA)
    kube.calls.clear()
    for _ in range(3):
        await sessions.of(made.secret)
    assert kube.verbs == ["get"] * 3


async def test_ended_session_lets_nobody_in_and_another_one_in_its_slot_stays() -> None:
    sessions = store(KubeInMemory())
    made = await sessions.begin(ADA)
    await sessions.end(made)
    assert await sessions.of(made.secret) is None
    another = await sessions.begin(ADA)
    assert another.key.slot == made.key.slot
    await sessions.end(made)
    assert await sessions.of(another.secret) is not None


async def test_what_we_did_not_make_costs_no_read() -> None:
    kube = KubeInMemory()
    sessions = store(kube)
    made = await sessions.begin(ADA)
    kube.calls.clear()
    for text in ("", "x", made.secret[:-1], made.secret[:-16] + "A" * 16):
        assert await sessions.of(text) is None
    assert kube.calls == []


async def test_session_by_other_settings_is_none() -> None:
    kube = KubeInMemory()
    made = await store(kube, by="before").begin(ADA)
    assert await store(kube, by="now").of(made.secret) is None


async def test_without_keys_there_is_no_session() -> None:
    sessions = store(KubeInMemory())
    sessions.link_keys.current = LinkKeys()
    with pytest.raises(NoKeys):
        await sessions.begin(ADA)


async def test_session_that_is_asked_for_again_and_again_is_slowed_down() -> None:
    kube = KubeInMemory()
    sessions = store(kube)
    made, other = await sessions.begin(ADA), await sessions.begin(User("bob"))
    for _ in range(PER_SESSION[1]):
        await sessions.of(made.secret)
    with pytest.raises(Exceeded):
        await sessions.of(made.secret)
    assert await sessions.of(other.secret) is not None


class Rival(KubeInMemory):
    """Somebody writes each session a moment before we do."""

    async def requested(self, call: Call, answer: Answer) -> Any:
        if call.verb in {"create", "merge_patch"}:
            raise Conflict(409, "Conflict", "somebody was first")
        return await super().requested(call, answer)


async def test_where_others_always_write_first_nobody_waits_for_ever() -> None:
    with pytest.raises(Conflict):
        await store(Rival()).begin(ADA)


async def test_secret_of_a_slot_that_cannot_be_read_is_written_over() -> None:
    kube = KubeInMemory()
    sessions = store(kube)
    made = await sessions.begin(ADA)
    content = kube.stored(SECRETS)[0]
    kube.put(SECRETS, SYSTEM, content["metadata"]["name"], type=content["type"], data={"session": "?"})
    again = await sessions.begin(ADA)
    assert again.key.slot == made.key.slot
    assert await sessions.of(again.secret) is not None


def test_slots_are_tried_in_an_order_that_nobody_knows() -> None:
    orders: set[tuple[int, ...]] = {tuple(module._in_random_order()) for _ in range(20)}
    assert all(sorted(order) == list(range(SESSION_SLOTS)) for order in orders)
    assert len(orders) > 1
