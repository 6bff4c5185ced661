"""Token Secrets that are renamed in a ring: each Datasource wants the name that another one in the ring still has. Pure.

Each Datasource waits until the name that it wants is free. In a ring no name becomes free. So a Datasource that finds itself
in a ring deletes its old token Secret first. No token is lost: the new token Secret is written from the credential Secret. If
one Datasource in the chain could not write its token Secret anyway, there is no ring, and nothing is deleted.
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
    """The wanted name of the token Secret, if it has another name now and could be written; else None."""
    if seen.being_deleted or not isinstance(seen.spec, Spec) or not seen.own_token_secrets:
        return None
    name = seen.spec.token_secret_name(seen.name)
    if any(stored.name == name for stored in seen.token_secrets):
        return None
    if finding_of(replace(seen, surroundings=None)).state is State.AUTHORIZED:
        return name
    return name if seen.facts is not None and outlives_its_grant(seen.facts, seen) else None


def stands_in_ring(key: K, moves_to: Callable[[K], str | None], holder_of: Callable[[str], K | None]) -> bool:
    """Whether `key` is in a ring of renames: the holder of the wanted name waits, directly or not, for the name of `key`.

    Args:
        key: the Datasource to start at.
        moves_to: `name_it_moves_to` of a Datasource.
        holder_of: the Datasource whose token Secret has a name; None where there is none.
    """
    passed, at = set[K](), key
    while at not in passed:
        passed.add(at)
        name = moves_to(at)
        holder = None if name is None else holder_of(name)
        if holder is None:
            return False
        at = holder
    return at == key
