"""Refreshes wait here for their turn: a few at a time for each provider and each namespace, so that none is stormed and none
holds up others."""

from collections.abc import Awaitable, Callable

from datasource_operator.cache import Key
from datasource_operator.fair_pool import FairPool

PER_PROVIDER = 16
"""Refreshes between their first request to the API server and the answer of one token endpoint."""

PER_NAMESPACE = 32
"""Refreshes under way for one namespace: where one of its providers hangs, as many places are left for its others."""

IN_ALL = 128
"""Refreshes under way altogether; see docs/decisions.md#fair-places."""


class RefreshPool(FairPool):
    """Runs `refresh` for keys; each key at most once at a time."""

    def __init__(
        self,
        refresh: Callable[[Key], Awaitable[None]],
        *,
        per_provider: int = PER_PROVIDER,
        in_all: int = IN_ALL,
        per_namespace: int = PER_NAMESPACE,
    ) -> None:
        super().__init__(refresh, per_provider, in_all, per_namespace, "refresh")
