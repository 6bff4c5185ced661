"""Datasources that want each other's token Secret: found by following who holds the name that each wants. Pure.

Each waits until the name is free, and none is, for all wait: so whoever sees the ring gives up its old Secret first. No token
is lost with it; the credential has it, and another Secret is written from that. Where one of them could not be written all the
same, nobody gives up anything.
"""

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import TypeVar

from datasource.api.spec import Spec
from datasource.api.states import State
from datasource_operator.decisions.findings import finding_of
from datasource_operator.decisions.observed import Observed
from datasource_operator.decisions.predicates import outlives_its_grant

K = TypeVar("K", bound=Hashable)


def name_it_moves_to(seen: Observed) -> str | None:
    """The name that its token Secret is to have, where it has another one and could be written."""
    if seen.being_deleted or not isinstance(seen.spec, Spec) or not seen.own_token_secrets:
        return None
    name = seen.spec.token_secret_name(seen.name)
    if any(stored.name == name for stored in seen.token_secrets):
        return None
    if finding_of(replace(seen, surroundings=None)).state is State.AUTHORIZED:
        return name
    return name if seen.facts is not None and outlives_its_grant(seen.facts, seen) else None


def stands_in_ring(key: K, moves_to: Callable[[K], str | None], holder_of: Callable[[str], K | None]) -> bool:
    """Whether whoever holds the name that `key` moves to waits in turn for a name that, in the end, `key` holds."""
    passed, at = set[K](), key
    while at not in passed:
        passed.add(at)
        name = moves_to(at)
        holder = None if name is None else holder_of(name)
        if holder is None:
            return False
        at = holder
    return at == key
