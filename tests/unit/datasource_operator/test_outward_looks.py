"""What is looked at outside of the cluster reaches the observer, and goes with its Datasource."""

from datasource.outbound.egress import EgressPolicy
from datasource.providers.transport import Transport
from datasource_operator.cache import Cache, Key
from datasource_operator.executor import Executor
from datasource_operator.outward_looks import OutwardLooks
from datasource_operator.refresh_memory import RefreshMemory
from tests.support.kube_in_memory import KubeInMemory
from tests.unit.datasource_operator.stand_ins import Clock
from tests.unit.datasource_operator.world import DISCOVERY, SETTINGS


async def test_the_observer_asks_them_and_they_end_together() -> None:
    steps = Executor(KubeInMemory(), Cache(), SETTINGS, RefreshMemory(Clock(), lambda: 0.5), DISCOVERY)
    async with Transport(EgressPolicy()) as transport:
        looks = OutwardLooks(transport, steps, list[Key]().append, list[Key]().append)
        assert steps.observer.reach == looks.reachability.of
        assert steps.observer.probed == looks.probing.of
        looks.forget(Key("a", "b"))
        await looks.stop()
