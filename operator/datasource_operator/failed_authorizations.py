"""What flow records told of authorizations that failed: one of a Datasource, the last, until the Datasource is gone. No I/O."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from datasource.api.clock import rfc3339
from datasource.api.names import uid_digest
from datasource.api.objects import FAILED, LastAuthorization
from datasource.records.flow import FailedFlow
from datasource_operator.cache import Cache, Key


@dataclass(slots=True)
class FailedAuthorizations:
    """Hears of flow records, and knows the last failure of each Datasource that there is."""

    cache: Cache
    now: Callable[[], datetime]
    look_again: Callable[[Key], None]
    """Told of a Datasource whose status lacks a failure."""
    _last: dict[Key, LastAuthorization] = field(default_factory=dict)

    def hear(self, flow: FailedFlow) -> None:
        """Remember a failure, where it is news. Who wrote the record may have another clock: the future is no news yet."""
        key = Key(flow.namespace, flow.name)
        datasource = self.cache.datasource(key)
        if datasource is None or uid_digest(datasource.metadata.uid) != flow.uid_digest or flow.ended_at > self.now():
            return
        failure = LastAuthorization(rfc3339(flow.ended_at), FAILED, flow.message)
        known = (self._last.get(key), datasource.status.last_authorization)
        if any(each is not None and each.time >= failure.time for each in known):
            return
        self._last[key] = failure
        self.look_again(key)

    def of(self, key: Key) -> LastAuthorization | None:
        """The last failure of a Datasource that was heard of."""
        return self._last.get(key)

    def forget(self, key: Key) -> None:
        """The Datasource is gone."""
        self._last.pop(key, None)
