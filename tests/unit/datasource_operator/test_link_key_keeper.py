"""A change of keys reaches the links that stand, a few at a time; a start writes nothing."""

from datetime import timedelta

from datasource.cluster.link_keys import LinkKeyStore
from datasource.records.link_keys import KEY_LIFETIME, KNOWN_AFTER
from datasource_operator.cache import Key
from datasource_operator.link_key_keeper import WAVE, LinkKeyKeeper
from tests.unit.datasource.api_server import ApiServer
from tests.unit.datasource.cluster.test_link_keys import SYSTEM, Clock, KeySecret

KEYS = [Key("shop", f"sales-{number}") for number in range(4)]


class Looks:
    def __init__(self) -> None:
        self.asked: list[tuple[Key, timedelta]] = []

    def __call__(self, key: Key, after: timedelta) -> None:
        self.asked.append((key, after))


async def test_start_looks_at_nothing_and_a_new_key_has_all_links_marked_within_an_hour() -> None:
    clock, looks = Clock(), Looks()
    async with ApiServer(KeySecret()) as server, server.kube() as kube:
        store = LinkKeyStore(kube, SYSTEM, clock, lambda size: str(clock.at.timestamp()).encode()[:1] * size)
        keeper = LinkKeyKeeper(store, clock, lambda: KEYS, looks)
        await keeper.begin()
        await keeper.keep()
        assert looks.asked == []

        clock.at += KEY_LIFETIME
        await keeper.keep()
        assert looks.asked == [], "not before every replica knows the key"
        clock.at += KNOWN_AFTER
        await keeper.keep()
        await keeper.keep()
    assert looks.asked == [(key, WAVE * (number / 4)) for number, key in enumerate(KEYS)]


async def test_restart_after_a_change_of_keys_brings_no_wave() -> None:
    clock, looks, secret = Clock(), Looks(), KeySecret()
    async with ApiServer(secret) as server, server.kube() as kube:
        for _ in range(2):
            keeper = LinkKeyKeeper(LinkKeyStore(kube, SYSTEM, clock), clock, lambda: KEYS, looks)
            await keeper.begin()
            await keeper.keep()
            clock.at += KEY_LIFETIME / 2
    assert looks.asked == []


async def test_first_keys_write_no_link_again() -> None:
    """What stands without a mark stays as it is: the upgrade writes nothing."""
    clock, looks, secret = Clock(), Looks(), KeySecret()
    secret.refuses = 403
    async with ApiServer(secret) as server, server.kube() as kube:
        keeper = LinkKeyKeeper(LinkKeyStore(kube, SYSTEM, clock), clock, lambda: KEYS, looks)
        await keeper.begin()
        secret.refuses = None
        await keeper.keep()
    assert looks.asked == []
