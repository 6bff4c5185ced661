"""What goes wrong around the two processes. Each disturbs once, and leaves everything running."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from deploy.local.build import KUBE_APISERVER
from deploy.local.controlplane import ControlPlane
from deploy.local.provider import Provider
from deploy.local.stack import Process
from tests.faults.fault_run import leads
from tests.soak.parameters import LONGEST_OUTAGE


@dataclass
class Surroundings:
    """All that can be disturbed, and from which seed."""

    control_plane: ControlPlane
    provider: Provider
    operators: list[Process]
    callback_servers: list[Process]
    chance: random.Random
    killed: Callable[[], None] = lambda: None
    """Called when the leader was killed, before it runs again."""

    def leader(self) -> Process | None:
        """The operator that leads, where one does."""
        return next((each for each in self.operators if leads(each)), None)


def fail_over(around: Surroundings) -> None:
    """SIGTERM to the leader, as a drain does; it comes back in the same pod's place."""
    leader = around.leader()
    if leader is not None:
        leader.stop()
        leader.start()


def kill_the_leader(around: Surroundings) -> None:
    """SIGKILL; kubelet starts the container again in the same pod after 1 to 10 s."""
    leader = around.leader()
    if leader is not None:
        leader.child.kill()
        around.killed()
        time.sleep(around.chance.uniform(1, 10))
        leader.start()


def kill_a_callback_server(around: Surroundings) -> None:
    """SIGKILL, and up again."""
    killed = around.chance.choice(around.callback_servers)
    killed.child.kill()
    time.sleep(around.chance.uniform(1, 10))
    killed.start()


def restart_the_api_server(around: Surroundings) -> None:
    """SIGTERM, and up again."""
    around.control_plane.component(KUBE_APISERVER.name).stop()
    around.control_plane.start_component(KUBE_APISERVER.name)


def silence_the_provider(around: Surroundings) -> None:
    """It accepts connections and answers nothing, for up to a quarter of a token's life."""
    around.provider.freeze()
    time.sleep(around.chance.uniform(1, LONGEST_OUTAGE.total_seconds()))
    around.provider.thaw()


def let_the_provider_refuse(around: Surroundings) -> None:
    """The next requests of whatever client are answered with 503."""
    around.provider.fault(status=503, times=around.chance.randrange(1, 20))


DISTURBANCES: Mapping[str, Callable[[Surroundings], None]] = {
    "failover (SIGTERM)": fail_over,
    "leader killed (SIGKILL)": kill_the_leader,
    "callback server killed (SIGKILL)": kill_a_callback_server,
    "API server restarted": restart_the_api_server,
    "provider silent": silence_the_provider,
    "provider answers 503": let_the_provider_refuse,
}
