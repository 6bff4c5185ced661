"""A right that comes a moment later is waited for, and one that does not come is told by name."""

import pytest

from callback_server import long_work
from callback_server.granted import PATIENCE, PAUSE, NotGranted, PatientReads
from datasource.api.objects import ConfigMap, Secret
from datasource.cluster.api_errors import NotFound
from datasource.cluster.resources import CONFIG_MAPS, SECRETS
from tests.unit.datasource.api_server import ApiServer, fails, json_reply

APP = {"metadata": {"name": "app", "namespace": "shop"}, "data": {}}


class Sleeps:
    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


async def test_right_that_comes_a_moment_later_is_waited_for() -> None:
    sleeps = Sleeps()
    refusals = (fails(403, "Forbidden"), fails(403, "Forbidden"))
    async with ApiServer(*refusals, json_reply(APP)) as server, server.kube() as kube:
        found = await PatientReads(kube, sleeps).get(SECRETS, "shop", "app", Secret)
    assert found.metadata.name == "app"
    assert sleeps.seconds == [PAUSE.total_seconds()] * 2


@pytest.mark.parametrize(
    ("resource", "type_", "what"), [(SECRETS, Secret, "Secret app"), (CONFIG_MAPS, ConfigMap, "ConfigMap app")]
)
async def test_right_that_does_not_come_is_told_by_name(resource: object, type_: type, what: str) -> None:
    sleeps = Sleeps()
    async with ApiServer(fails(403, "Forbidden", "no rights")) as server, server.kube() as kube:
        with pytest.raises(NotGranted, match="no rights") as caught:
            await PatientReads(kube, sleeps).get(resource, "shop", "app", type_)  # type: ignore[arg-type]
    assert (caught.value.what, caught.value.namespace) == (what, "shop")
    assert sum(sleeps.seconds) == PATIENCE.total_seconds()


async def test_what_is_not_there_is_told_at_once() -> None:
    sleeps = Sleeps()
    async with ApiServer(fails(404, "NotFound")) as server, server.kube() as kube:
        with pytest.raises(NotFound):
            await PatientReads(kube, sleeps).get(SECRETS, "shop", "app", Secret)
    assert sleeps.seconds == []


def test_right_that_does_not_come_is_named_before_a_page_says_that_it_goes_on() -> None:
    """Else a reload would begin the same wait again, and nobody would ever read what is missing."""
    assert PATIENCE.total_seconds() <= long_work.PATIENCE - 2
