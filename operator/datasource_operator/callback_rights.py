"""I/O: keep the Roles with which the callback server reads what Datasources name; what they give is decided elsewhere.

They follow the Datasources of a namespace: a burst of changes is one write, a start writes nothing, and what somebody edited or
deleted is put right at the next look. Runs while this process leads; what Datasources need is remembered always.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog

from datasource.api.names import FIELD_MANAGER, callback_rights_name
from datasource.api.objects import PartialObject
from datasource.cluster.api_errors import ApiError, Conflict, Invalid, NotFound, Unavailable
from datasource.cluster.kube import Kube
from datasource.cluster.resources import DATASOURCES, Resource
from datasource.concurrency.fair_turns import FairTurns
from datasource_operator.cache import Key
from datasource_operator.decisions.callback_rights import (
    LABEL_SELECTOR,
    RBAC,
    Needs,
    ServiceAccount,
    StoredRole,
    StoredRoleBinding,
    binds,
    bytes_of,
    digest,
    needs_of,
    number_in,
    role_binding_manifest,
    role_manifest,
    roles_for,
)
from datasource_operator.queue import Priority, WorkQueue
from datasource_operator.served_scopes import Scope, ServedScopes, scope_name
from datasource_operator.tasks import spawn
from datasource_operator.worker import Done, Ending, TryAgain, Worker

logger = structlog.get_logger(__name__)

ROLES = Resource(f"/apis/{RBAC}/v1", "roles")
ROLE_BINDINGS = Resource(f"/apis/{RBAC}/v1", "rolebindings")

CHECK_INTERVAL = timedelta(minutes=5)
"""How soon what somebody edited or deleted is put right."""

RECHECK_PAUSE = timedelta(seconds=10)
"""How soon to look again at a scope that could not be looked at."""

FIRST_PAUSE = timedelta(seconds=1)
FIRST_ROUNDS = 10
"""How soon, and how often, to look again while the lists of Datasources are being read: a person may wait for a right."""

GATHER = timedelta(milliseconds=200)
"""How long the first change of a namespace waits for others to come with it."""

PACE = timedelta(seconds=2)
"""Between two writes of a namespace, at least; where its names take more than 128 KiB, a second for each 64 KiB."""

_BYTES_PER_SECOND = 64 * 1024

WORKERS = 4

_PAGE = 100

_UNKNOWN = b""
"""In place of a digest: something stands there, or may, and is to be written anew."""


@dataclass(slots=True)
class _Namespace:
    """What is known of one namespace."""

    needs: dict[str, Needs] = field(default_factory=dict)
    """By name of the Datasource."""
    stands: dict[int, bytes] = field(default_factory=dict)
    """The digest of each Role that stands with its RoleBinding, by number."""
    size: int = 0
    """How many bytes the names take."""
    written_at: float = float("-inf")
    refused: str = ""
    """Why the last write was refused."""

    def add(self, name: str, needs: Needs) -> bool:
        """Remember a Datasource; False where that is known already."""
        before = self.needs.get(name)
        if before == needs:
            return False
        self.size += bytes_of(name, needs) - (0 if before is None else bytes_of(name, before))
        self.needs[name] = needs
        return True

    def drop(self, name: str) -> bool:
        """Forget a Datasource; False where it was not known."""
        before = self.needs.pop(name, None)
        if before is None:
            return False
        self.size -= bytes_of(name, before)
        if not self.needs:
            # Perhaps the namespace went with it, and takes its Roles along.
            self.stands = dict.fromkeys(self.stands, _UNKNOWN)
        return True

    def wanted(self) -> dict[int, bytes]:
        return {number: digest(rules) for number, rules in roles_for(self.needs).items()}


@dataclass(slots=True)
class CallbackRights:
    """The Roles of all namespaces that are served."""

    kube: Kube
    account: ServiceAccount
    served: ServedScopes
    monotonic: Callable[[], float]
    random: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _namespaces: dict[str, _Namespace] = field(default_factory=dict)
    _looked_at: set[Scope] = field(default_factory=set)
    """Since this process leads."""
    _complaints: dict[Scope, str] = field(default_factory=dict)
    _queue: WorkQueue[Key] = field(init=False)
    _worker: Worker = field(init=False)

    def __post_init__(self) -> None:
        self._queue = WorkQueue(self.monotonic, self.random, FairTurns(WORKERS, 1), lambda key: key.namespace)
        self._worker = Worker("rights of the callback server", self._queue, self._write)

    # What Datasources need.

    def needed_by(self, key: Key, spec: Mapping[str, Any]) -> None:
        """A Datasource is there, with that spec."""
        known = self._namespaces.setdefault(key.namespace, _Namespace())
        if known.add(key.name, needs_of(spec)):
            self._is_due(key.namespace)

    def needed_no_more(self, key: Key) -> None:
        """A Datasource is gone."""
        known = self._namespaces.get(key.namespace)
        if known is None or not known.drop(key.name):
            return
        self._is_due(key.namespace)
        self._tidy(key.namespace, known)

    def refused(self) -> int:
        """In how many namespaces they could not be written; may be asked from another thread."""
        namespaces = list(self._namespaces.values())
        return len(self._complaints) + sum(1 for known in namespaces if known.refused)

    # While this process leads.

    def start(self) -> list[asyncio.Task[None]]:
        """Begin to keep the Roles as they should be; whoever leads no more cancels these tasks."""
        writers = (spawn(f"writer {number} of callback rights", self._worker.run) for number in range(WORKERS))
        return [spawn("rights of the callback server", self.run), *writers]

    async def run(self) -> None:
        """Look now and then, for ever."""
        try:
            await self._keep_looking()
        finally:
            # Somebody else may write from now on.
            self._looked_at.clear()
            self._complaints.clear()
            for namespace, known in list(self._namespaces.items()):
                known.stands, known.refused = {}, ""
                self._tidy(namespace, known)

    async def _keep_looking(self) -> None:
        due, began, rounds = self.served.scopes, self.monotonic(), 0
        while True:
            is_early = rounds < FIRST_ROUNDS
            due = tuple([scope for scope in due if not await self._could_look_at(scope, is_early=is_early)])
            pause = FIRST_PAUSE if is_early else RECHECK_PAUSE
            await self.sleep((pause if due else CHECK_INTERVAL * (1 + self.random() * 0.1)).total_seconds())
            rounds += 1
            if self.monotonic() - began >= CHECK_INTERVAL.total_seconds():
                due, began = self.served.scopes, self.monotonic()

    async def _could_look_at(self, scope: Scope, *, is_early: bool) -> bool:
        if is_early and not self.served.has_datasources_of(scope):
            # Its list is being read, or is refused. If it is refused, our own list shows that later.
            return False
        try:
            could_look = await self.look_at(scope)
        except (ApiError, Unavailable) as error:
            self._complain(scope, str(error))
            return False
        if could_look:
            self._complaints.pop(scope, None)
        return could_look

    async def _knows_all_datasources(self, scope: Scope) -> bool:
        """Whether we were told of every Datasource: else rights would be taken away that are needed."""
        async with aclosing(self.kube.metadata_pages(DATASOURCES, scope)) as pages:
            async for page, _ in pages:
                if not all(map(self._knows, page)):
                    return False
        return True

    def _knows(self, datasource: PartialObject) -> bool:
        known = self._namespaces.get(datasource.metadata.namespace)
        return known is not None and datasource.metadata.name in known.needs

    async def look_at(self, scope: Scope) -> bool:
        """Compare what stands in a scope with what should; False where that cannot be judged yet.

        Raises:
            ApiError, Unavailable: the API server refused or did not answer.
        """
        began = self.monotonic()
        bound = {
            (each.metadata.namespace, each.metadata.name)
            async for page in self.kube.pages(
                ROLE_BINDINGS, scope, StoredRoleBinding, label_selector=LABEL_SELECTOR, page_size=_PAGE
            )
            for each in page
            if binds(each, self.account)
        }
        stands: dict[str, dict[int, bytes]] = {}
        async for page in self.kube.pages(ROLES, scope, StoredRole, label_selector=LABEL_SELECTOR, page_size=_PAGE):
            for role in page:
                place = (role.metadata.namespace, role.metadata.name)
                number = number_in(role.metadata.name)
                if number is not None:
                    found = digest(role.rules or ()) if place in bound else _UNKNOWN
                    stands.setdefault(role.metadata.namespace, {})[number] = found
        is_known = scope in self._looked_at or self._is_as_wanted(scope, stands)
        if not is_known and not await self._knows_all_datasources(scope):
            return False
        for namespace in self._of(scope) | stands.keys():
            self._compare(namespace, stands.get(namespace, {}), began)
        self._looked_at.add(scope)
        return True

    def _is_as_wanted(self, scope: Scope, stands: Mapping[str, Mapping[int, bytes]]) -> bool:
        """Whether nothing is to be written. Then it need not be known whether we were told of every Datasource."""
        return {each: roles for each in self._of(scope) if (roles := self._namespaces[each].wanted())} == stands

    def _of(self, scope: Scope) -> set[str]:
        return {namespace for namespace in self._namespaces if scope in {None, namespace}}

    def _compare(self, namespace: str, stands: dict[int, bytes], began: float) -> None:
        known = self._namespaces.setdefault(namespace, _Namespace())
        if known.written_at >= began:
            # What was listed may be older.
            return
        known.stands = stands
        if known.wanted() != stands:
            self._is_due(namespace)
        else:
            self._tidy(namespace, known)

    def _tidy(self, namespace: str, known: _Namespace) -> None:
        if not known.needs and not known.stands:
            self._namespaces.pop(namespace, None)
            self._queue.forget(Key(namespace, ""))

    def _is_due(self, namespace: str) -> None:
        known = self._namespaces[namespace]
        pace = max(PACE.total_seconds(), known.size / _BYTES_PER_SECOND)
        delay = max(GATHER.total_seconds(), known.written_at + pace - self.monotonic())
        self._queue.add(Key(namespace, ""), Priority.ROUTINE, delay=timedelta(seconds=delay))

    async def _write(self, key: Key) -> Ending:
        known = self._namespaces.get(key.namespace)
        if known is None or not self._was_looked_at(key.namespace):
            # What stands there is not known yet; the look brings the key again.
            return Done()
        known.written_at = self.monotonic()
        try:
            await self._bring_about(key.namespace, known)
        except ApiError as error:
            self._tell(key.namespace, known, error)
            return TryAgain(error.retry_after or timedelta(0))
        finally:
            known.written_at = self.monotonic()
        if known.refused:
            known.refused = ""
            logger.info("the rights of the callback server could be written", namespace=key.namespace)
        self._tidy(key.namespace, known)
        return Done()

    def _was_looked_at(self, namespace: str) -> bool:
        return not self._looked_at.isdisjoint({None, namespace})

    async def _bring_about(self, namespace: str, known: _Namespace) -> None:
        wanted = roles_for(known.needs)
        for number, rules in wanted.items():
            wanted_digest = digest(rules)
            if known.stands.get(number) != wanted_digest:
                known.stands[number] = _UNKNOWN
                await self._apply(ROLES, namespace, role_manifest(number, rules))
                await self._bind(namespace, role_binding_manifest(number, self.account))
                known.stands[number] = wanted_digest
        for number in known.stands.keys() - wanted.keys():
            name = callback_rights_name(number)
            # The RoleBinding first: alone, a Role gives nobody anything.
            for resource in (ROLE_BINDINGS, ROLES):
                await self._delete(resource, namespace, name)
            known.stands.pop(number, None)

    async def _apply(self, resource: Resource, namespace: str, manifest: Mapping[str, Any]) -> None:
        name = manifest["metadata"]["name"]
        await self.kube.apply(resource, namespace, name, manifest, PartialObject, manager=FIELD_MANAGER)

    async def _bind(self, namespace: str, manifest: Mapping[str, Any]) -> None:
        try:
            await self._apply(ROLE_BINDINGS, namespace, manifest)
        except Invalid:
            # What a RoleBinding gives cannot be changed: somebody has made one that gives something else.
            await self._delete(ROLE_BINDINGS, namespace, manifest["metadata"]["name"])
            await self._apply(ROLE_BINDINGS, namespace, manifest)

    async def _delete(self, resource: Resource, namespace: str, name: str) -> None:
        try:
            found = await self.kube.get(resource, namespace, name, PartialObject, metadata_only=True)
            await self.kube.delete(
                resource, namespace, name, uid=found.metadata.uid, resource_version=found.metadata.resource_version
            )
        except NotFound:
            return

    def _tell(self, namespace: str, known: _Namespace, error: ApiError) -> None:
        if isinstance(error, NotFound | Conflict) or "being terminated" in error.message:
            # The namespace goes away, or somebody wrote meanwhile.
            return
        if not known.refused:
            _warn(namespace, str(error))
        known.refused = str(error)

    def _complain(self, scope: Scope, error: str) -> None:
        if scope not in self._complaints:
            _warn(scope_name(scope), error)
        self._complaints[scope] = error


def _warn(namespace: str, error: str) -> None:
    logger.warning(
        "cannot see to the rights of the callback server: no one new can authorize there, unless it may read all Secrets",
        namespace=namespace,
        error=error,
        remedy="give the operator the rights of deploy/base/rights/operator.yaml on roles and rolebindings",
    )
