"""I/O: asks the cluster what a person who signed in may do in a namespace. That comes before anything is read."""

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
"""How long an answer is kept for pages that change nothing. A right that is given or taken has an effect after that."""

KEPT_IN_ALL = 4 * 2**20
KEPT_PER_USER = 256 * 2**10
"""Both are in bytes."""

_COST = 512

_EVERYWHERE = "*"
"""All namespaces, as a message writes it."""


class Verb(StrEnum):
    """What a person may do to Datasources, as verbs of RBAC."""

    LIST = "list"
    GET = "get"
    AUTHORIZE = "authorize"
    """A verb of our own: get a credential."""
    PATCH = "patch"
    """Change what is stored: replace, clear or refresh a credential."""


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
    """Asks the API server about rights, and keeps each answer for 10 seconds."""

    kube: Kube
    namespaces: tuple[str, ...]
    """The namespaces that are served; empty: all."""
    monotonic: Callable[[], float]
    trail: Trail
    denials: Denials
    _kept: FairCache[_Question, _Answer] = field(default_factory=lambda: FairCache(KEPT_IN_ALL, KEPT_PER_USER))

    @property
    def everything_is_served(self) -> bool:
        """Whether all namespaces are served. Only then is there a list of all namespaces."""
        return not self.namespaces

    async def allows(
        self, user: User, verb: Verb, namespace: str | None, name: str | None = None, *, anew: bool
    ) -> bool:
        """Whether a user may do that.

        Args:
            user: the person.
            verb: what the person wants to do.
            namespace: the namespace; None: all namespaces.
            name: of the Datasource; None: all in that namespace.
            anew: whether the API server must be asked now, and no kept answer is used. Needed before every change.

        Raises:
            NotGranted: the callback server may not ask about rights.
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
        """Check that a user may do that.

        Raises:
            Refused: the user may not. The page is the same whether the object exists or not.
            Exceeded: the user was denied too often lately. The API server was not asked.
            ApiError, Unavailable: the rights are not known.
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
        """A kept answer that is still valid; None where there is none."""
        known = self._kept.get(question, question.user.name)
        return known.is_allowed if known is not None and self.monotonic() < known.until else None
