"""I/O: what is looked at outside of the cluster beside the reconcile workers: providers, and services with spec.probe."""

from collections.abc import Callable
from dataclasses import InitVar, dataclass, field

from datasource.providers.transport import Transport
from datasource_operator.cache import Key
from datasource_operator.executor import Executor
from datasource_operator.probing import Probing
from datasource_operator.provider_lookups import ProviderLookups
from datasource_operator.reachability import Reachability


@dataclass(slots=True)
class OutwardLooks:
    """Tells the observer what looks have shown; `look_again` is told of a Datasource for which that is news."""

    transport: InitVar[Transport]
    steps: InitVar[Executor]
    look_again: InitVar[Callable[[Key], None]]
    provider_looked_at: InitVar[Callable[[Key], None]]
    """Told of a Datasource whose provider told of itself."""
    providers: ProviderLookups = field(init=False)
    reachability: Reachability = field(init=False)
    probing: Probing = field(init=False)

    def __post_init__(
        self,
        transport: Transport,
        steps: Executor,
        look_again: Callable[[Key], None],
        provider_looked_at: Callable[[Key], None],
    ) -> None:
        self.providers = steps.providers
        self.providers.looked = provider_looked_at
        self.reachability = Reachability(transport, steps.discovery, steps.clients, steps.cache, look_again)
        self.probing = Probing(
            transport,
            steps.clients,
            steps.credential_secrets,
            look_again,
            allow_insecure_http=steps.settings.allow_insecure_http,
        )
        steps.observer.reach = self.reachability.of
        steps.observer.probed = self.probing.of

    def forget(self, key: Key) -> None:
        """The Datasource is gone."""
        self.providers.forget(key)
        self.reachability.forget(key)
        self.probing.forget(key)

    async def stop(self) -> None:
        """End what is under way."""
        await self.providers.stop()
        await self.reachability.stop()
        await self.probing.stop()
