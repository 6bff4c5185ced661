"""Which of the served namespaces can be read. One that cannot be read stops no other, is reported, and is tried again.

A scope is what one list or watch covers: a namespace, or None for all of them.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

logger = structlog.get_logger(__name__)

Scope = str | None


class Source(StrEnum):
    """What is listed and watched in each scope."""

    DATASOURCES = "Datasources"
    CREDENTIALS = "credential Secrets"
    TOKENS = "token Secrets"
    OTHER_TOKENS = "token Secrets of other types"
    IMPORTS = "import Secrets"


_SECRETS = frozenset({Source.CREDENTIALS, Source.TOKENS, Source.OTHER_TOKENS, Source.IMPORTS})


def scope_name(scope: Scope) -> str:
    """The name of a scope in logs and metrics; `*` where all namespaces are read at once."""
    return scope or "*"


def _nobody(_: Scope) -> None:
    """For scopes that no one listens to."""


@dataclass(slots=True)
class ServedScopes:
    """What has been listed in each scope, and what the API server refuses."""

    scopes: tuple[Scope, ...]
    opened: Callable[[Scope], None] = _nobody
    """Called with a scope when all its Secrets were listed, for the first time or after a refusal."""
    _listed: dict[Scope, set[Source]] = field(init=False)
    _refused: dict[Scope, dict[Source, str]] = field(init=False)
    _may_begin: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._listed = {scope: set() for scope in self.scopes}
        self._refused = {scope: {} for scope in self.scopes}

    def listed(self, scope: Scope, source: Source) -> None:
        """A source was listed completely."""
        was_open = self._is_open(scope)
        if self._refused[scope].pop(source, None) is not None:
            logger.info("can read again", what=source, namespace=scope_name(scope))
        self._listed[scope].add(source)
        if self._is_open(scope) and not was_open:
            self.opened(scope)
        self._look_whether_to_begin()

    def refused(self, scope: Scope, source: Source, why: str) -> None:
        """The API server refuses to list or watch."""
        if source not in self._refused[scope]:
            logger.warning(
                "cannot read: only this namespace waits, and it is tried again",
                what=source,
                namespace=scope_name(scope),
                error=why,
            )
        self._refused[scope][source] = why
        self._look_whether_to_begin()

    def has_secrets_of(self, namespace: str) -> bool:
        """Whether all Secrets of a namespace were listed once. Before that, a Secret that is not in the cache may exist."""
        return self._listed.get(namespace, self._listed.get(None, set())) >= _SECRETS

    def has_datasources_of(self, scope: Scope) -> bool:
        """Whether all Datasources of a scope were ever listed."""
        return Source.DATASOURCES in self._listed[scope]

    async def may_begin(self) -> None:
        """Wait until every scope's Secrets were listed or refused, and at least those of one were listed."""
        await self._may_begin.wait()

    def unreadable(self) -> dict[str, str]:
        """Why a namespace cannot be read, by its name; `*` where all of them are read at once."""
        # The thread of the metrics calls this, too. So it works on copies.
        found = [(scope, list(refused.items())) for scope, refused in list(self._refused.items())]
        return {
            scope_name(scope): "; ".join(f"{source}: {why}" for source, why in refused)
            for scope, refused in found
            if refused
        }

    def readable(self) -> dict[str, bool]:
        """Whether each scope can be read, by its name; `*` where all namespaces are read at once."""
        unreadable = self.unreadable()
        return {scope_name(scope): scope_name(scope) not in unreadable for scope in self.scopes}

    def unready(self) -> str | None:
        """Why the operator cannot work now; None while it can, in at least one namespace."""
        waiting = [scope for scope in self.scopes if not self._refused[scope] and self._listed[scope] < set(Source)]
        if waiting:
            missing = sorted({source.value for scope in waiting for source in set(Source) - self._listed[scope]})
            return f"the lists of {', '.join(missing)} have not been read yet"
        if all(self._refused.values()):
            return f"no namespace can be read: {next(iter(self.unreadable().values()))}"
        return None

    def _is_open(self, scope: Scope) -> bool:
        return self._listed[scope] >= _SECRETS and not (_SECRETS & self._refused[scope].keys())

    def _look_whether_to_begin(self) -> None:
        if self._may_begin.is_set():
            return
        is_decided = all(
            self._listed[scope] >= _SECRETS or _SECRETS & self._refused[scope].keys() for scope in self.scopes
        )
        if is_decided and any(self._listed[scope] >= _SECRETS for scope in self.scopes):
            self._may_begin.set()
