"""I/O: looks at hosts outside of the cluster, beside the reconcile workers: at providers, and at services with spec.probe."""

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
    """Gives the observer the results of the looks. `look_again` is called with each Datasource that has a new result."""

    transport: InitVar[Transport]
    steps: InitVar[Executor]
    look_again: InitVar[Callable[[Key], None]]
    provider_looked_at: InitVar[Callable[[Key], None]]
    """Called with each Datasource for which a lookup of the provider's metadata has ended."""
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
        """Cancel the looks that are under way."""
        await self.providers.stop()
        await self.reachability.stop()
        await self.probing.stop()
