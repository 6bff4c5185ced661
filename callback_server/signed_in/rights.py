"""I/O: what somebody who signed in may do, as the cluster says it, in the namespace asked about and before anything is read."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from callback_server import refusals
from callback_server.granted import NotGranted
from callback_server.limits import Denials
from callback_server.signed_in.trail import Trail
from datasource.cluster.access_reviews import may
from datasource.cluster.api_errors import Forbidden
from datasource.cluster.kube import Kube
from datasource.concurrency.fair_cache import FairCache
from datasource.oauth2.kubernetes_user import User

KEPT = timedelta(seconds=10)
"""How long an answer is kept for who only looks: a right that is given or taken shows after that."""

KEPT_IN_ALL = 4 * 2**20
KEPT_PER_USER = 256 * 2**10
"""Bytes."""

_COST = 512

_EVERYWHERE = "*"
"""All namespaces, in a message."""


class Verb(StrEnum):
    """What one may do to Datasources."""

    LIST = "list"
    GET = "get"
    AUTHORIZE = "authorize"
    """A verb of ours: get a credential."""
    PATCH = "patch"
    """Change what stands: replace, clear or refresh a credential."""


@dataclass(frozen=True, slots=True)
class _Question:
    user: User
    verb: Verb
    namespace: str | None
    name: str | None


@dataclass(frozen=True, slots=True)
class _Answer:
    is_allowed: bool
    until: float


@dataclass(frozen=True, slots=True)
class Rights:
    """Asks the API server, and remembers for ten seconds."""

    kube: Kube
    namespaces: tuple[str, ...]
    """Those that are served; none: all."""
    monotonic: Callable[[], float]
    trail: Trail
    denials: Denials
    _kept: FairCache[_Question, _Answer] = field(default_factory=lambda: FairCache(KEPT_IN_ALL, KEPT_PER_USER))

    @property
    def everything_is_served(self) -> bool:
        """Whether there is a list of all namespaces at all."""
        return not self.namespaces

    async def allows(
        self, user: User, verb: Verb, namespace: str | None, name: str | None = None, *, anew: bool
    ) -> bool:
        """Whether a user may do that.

        Args:
            user: who asks.
            verb: what for.
            namespace: where; None: in all of them.
            name: of the Datasource; None: of all that are there.
            anew: whether the API server is to be asked now, as for whatever changes something.

        Raises:
            NotGranted: we may not ask.
            ApiError, Unavailable: the API server refused otherwise, or did not answer.
        """
        if self.namespaces and namespace not in self.namespaces:
            return False
        question = _Question(user, verb, namespace, name)
        known = None if anew else self._known(question)
        if known is not None:
            return known
        asked_at = self.monotonic()
        try:
            is_allowed = await may(self.kube, user, verb, namespace, name)
        except Forbidden as error:
            raise NotGranted(error, what="the rights of people", namespace=namespace or _EVERYWHERE) from None
        answer = _Answer(is_allowed, asked_at + KEPT.total_seconds())
        self._kept.put(question, answer, user.name, cost=_COST + sum(map(len, user.groups)))
        return is_allowed

    async def require(
        self, user: User, verb: Verb, namespace: str | None, name: str | None = None, *, anew: bool = False
    ) -> None:
        """Check it.

        Raises:
            Refused: the user may not; the page is the same whatever is there.
            Exceeded: the user was denied too much of late; nobody was asked.
            ApiError, Unavailable: it is not known.
        """
        if not self._known(_Question(user, verb, namespace, name)):
            self.denials.require_room(user.name, namespace)
        if not await self.allows(user, verb, namespace, name, anew=anew):
            self.denials.count(user.name, namespace)
            self.trail.denied(user, verb, namespace, name)
            if namespace is None:
                raise refusals.not_allowed_everywhere(user.name, verb)
            raise refusals.not_allowed(user.name, verb, namespace)

    def _known(self, question: _Question) -> bool | None:
        """The answer of a moment ago; None where there is none."""
        known = self._kept.get(question, question.user.name)
        return known.is_allowed if known is not None and self.monotonic() < known.until else None
