"""I/O: the loop around the reconciler: triggers in, at most one reconciliation of a key at a time, retries with backoff."""

import asyncio
import random
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import product
from typing import Protocol

import msgspec
import structlog

from datasource.api.objects import Datasource
from datasource.cluster.kube import Kube
from datasource.cluster.link_keys import LinkKeyStore
from datasource.cluster.streaming_lists import StreamingLists
from datasource.concurrency.fair_turns import FairTurns
from datasource.process.audit import AuditLog
from datasource.process.clock import utc_now
from datasource.process.journal import Journal
from datasource.process.settings import Settings
from datasource.providers.discovery import Discovery
from datasource.providers.transport import Transport
from datasource.providers.verifier import IdTokenVerifier
from datasource.records.credential import CredentialFacts
from datasource.records.intent import Process
from datasource_operator.cache import Cache, Key
from datasource_operator.callback_rights import CallbackRights
from datasource_operator.decisions.callback_rights import ServiceAccount
from datasource_operator.decisions.status import StatusSettings
from datasource_operator.decisions.timing import Comeback
from datasource_operator.event_recorder import EventRecorder
from datasource_operator.executor import Executor
from datasource_operator.failed_authorizations import FailedAuthorizations
from datasource_operator.key_check import KeyCheck
from datasource_operator.left_intents import LeftIntents
from datasource_operator.link_key_keeper import LinkKeyKeeper
from datasource_operator.metrics import QUEUE_SECONDS, Workload, count_reconcile, seconds_since
from datasource_operator.notifier import notifier_for
from datasource_operator.outward_looks import OutwardLooks
from datasource_operator.queue import Priority, WorkQueue
from datasource_operator.reconciler import Reconciler
from datasource_operator.refresh_memory import RefreshMemory
from datasource_operator.refresh_pool import RefreshPool
from datasource_operator.refresher import Refresher
from datasource_operator.revocations import Revocations
from datasource_operator.revoker import Revoker
from datasource_operator.secret_poller import SecretPoller
from datasource_operator.secret_watch import WATCHED, Mirror, SecretWatch, SecretWatches
from datasource_operator.served_scopes import ServedScopes, Source
from datasource_operator.status_writer import StatusWriter
from datasource_operator.surroundings_schedule import SurroundingsSchedule
from datasource_operator.sweeper import sweeper_for
from datasource_operator.takeover import Takeover
from datasource_operator.tasks import cancel, spawn
from datasource_operator.trimming import trimmed
from datasource_operator.waiting_replies import WaitingReplies
from datasource_operator.worker import Done, Ending, LookAgain, Worker

logger = structlog.get_logger(__name__)

WORKERS = 32
"""Writes in flight: etcd gives throughput to concurrency, not to latency."""

WORKERS_PER_NAMESPACE = 28

WORKERS_AT_FIRST = 4
"""Of a namespace. To patch 28 objects of a megabyte at once takes the API server longer than a request waits."""


class Forgets(Protocol):
    """Whatever keeps something of a Datasource."""

    def forget(self, key: Key) -> None:
        """It is gone."""


@dataclass(slots=True)
class Controller:
    """Owns cache, queue, watches and workers. kopf only calls `datasource_changed` and `datasource_deleted`."""

    kube: Kube
    transport: Transport
    settings: Settings
    journal: Journal | None = None
    cache: Cache = field(default_factory=Cache)
    monotonic: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random
    """From 0 to 1."""
    queue: WorkQueue[Key] = field(init=False)
    datasource_event_at: float = field(init=False)
    """When a watch last told of a Datasource, by the monotonic clock; before the first time, when we began."""
    _revocations: Revocations = field(init=False)
    _surroundings: SurroundingsSchedule = field(init=False)
    _failed: FailedAuthorizations = field(init=False)
    _outward: OutwardLooks = field(init=False)
    _poller: SecretPoller = field(init=False)
    _memory: RefreshMemory = field(init=False)
    _steps: Executor = field(init=False)
    _pool: RefreshPool = field(init=False)
    _recorder: EventRecorder = field(init=False)
    _waiting: WaitingReplies = field(init=False)
    _refresher: Refresher = field(init=False)
    _left_intents: LeftIntents = field(init=False)
    _status: StatusWriter = field(init=False)
    _reconciler: Reconciler = field(init=False)
    _link_keys: LinkKeyKeeper = field(init=False)
    _callback_rights: CallbackRights = field(init=False)
    _reconciling: Worker = field(init=False)
    _refreshing: Worker = field(init=False)
    served: ServedScopes = field(init=False)
    watches: SecretWatches = field(init=False)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.datasource_event_at = self.monotonic()
        self.queue = WorkQueue(self.monotonic, self.random, _turns(), lambda key: key.namespace)
        self.queue.taken = QUEUE_SECONDS.observe
        self._surroundings = SurroundingsSchedule(self.monotonic)
        self._memory = RefreshMemory(self.monotonic, self.random, self.queue.add)
        self._poller = SecretPoller(self.kube, self._surroundings_changed, self.monotonic)
        recorder = self._recorder = EventRecorder(self.kube, socket.gethostname(), utc_now)
        discovery = Discovery(self.transport, self.monotonic, allow_insecure_http=self.settings.allow_insecure_http)
        link_keys = LinkKeyStore(self.kube, self.settings.system_namespace, utc_now)
        self._steps = Executor(self.kube, self.cache, self.settings, self._memory, discovery, link_keys=link_keys.known)
        self._failed = FailedAuthorizations(self.cache, utc_now, self._look_again)
        self._steps.observer.failed_authorization = self._failed.of
        self._outward = OutwardLooks(self.transport, self._steps, self._look_again, self._provider_looked_at)
        # A process has no pod in tests and on a laptop: it is its own.
        process = Process(secrets.token_hex(8), self.settings.pod_uid or secrets.token_hex(8), self.journal is not None)
        verifier = IdTokenVerifier(self.transport, discovery, self.monotonic)
        self._waiting = WaitingReplies(self._warn, self.queue.add, self.monotonic)
        self._refresher = Refresher(self.transport, self._steps, self._memory, process, verifier, waiting=self._waiting)
        self._refresher.keep(self.journal, self._look_again)
        self._left_intents = LeftIntents(self.cache, self._steps.credential_secrets, process, self.journal)
        revoker = Revoker(self.kube, self.transport, self.cache, self.settings, self._recorder)
        self._revocations = Revocations(self.cache, revoker, self.monotonic, self.random, self._look_again)
        self._link_keys = LinkKeyKeeper(link_keys, utc_now, self.cache.datasource_keys, self._look_later)
        account = ServiceAccount(self.settings.system_namespace, self.settings.callback_server_account)
        self.served = ServedScopes(self.scopes, self._scope_opened)
        self._callback_rights = CallbackRights(self.kube, account, self.served, self.monotonic, self.random)
        shown = StatusSettings(self.settings.external_url, secrets.token_bytes, link_keys.known, self.settings.signs_in)
        told = (recorder.announce, self.monotonic, self._warn, self._look_later)
        self._status = StatusWriter(self.kube, self.cache, shown, *told, audit=AuditLog(self.settings.signs_in))
        self._reconciler = Reconciler(self._steps, self._status, self._follow_up)
        self._reconciling = Worker("reconcile", self.queue, self._reconcile, self._after_reconciling, count_reconcile)
        # The pool hands out keys, not a queue; what it cannot refresh is reconciled first when it comes again.
        self._refreshing = Worker("refresh", self.queue, self._refresh)
        self._pool = RefreshPool(self._refreshing.work_on)
        self._refresher.sender.answered = self._pool.answered
        lists = StreamingLists(self.kube)
        watches = [
            SecretWatch(lists, self._mirror(source), namespace, source, self._secret_changed, self.served)
            for namespace, source in product(self.scopes, WATCHED)
        ]
        self.watches = SecretWatches(watches, self.monotonic)

    @property
    def scopes(self) -> tuple[str | None, ...]:
        """What to list and watch: each namespace, or None for all of them at once."""
        return self.settings.namespaces or (None,)

    def workload(self) -> Workload:
        """How busy we are."""
        return Workload(
            due=self.queue.depth,
            added=self.queue.added,
            retried=self.queue.retried,
            working=self.queue.working,
            longest_working=seconds_since(self.queue.oldest_work(), self.monotonic),
            refreshes_running=self._pool.running,
            refreshes_waiting=self._pool.waiting,
            replies_waiting=len(self._waiting),
            left_to_another=self._status.rivals.left,
            watches_silent_for=self.watches.silent_for(),
            last_event=seconds_since(self.datasource_event_at, self.monotonic),
            readable=self.served.readable(),
            callback_rights_refused=self._callback_rights.refused(),
        )

    def _mirror(self, source: Source) -> Mirror:
        return self._steps.imports.seen if source is Source.IMPORTS else self.cache

    def seen_before(self, key: Key, facts: CredentialFacts, now: datetime) -> datetime | None:
        """When a revision of a credential was first seen here, by the clock that shows `now`; None: not yet."""
        return self._memory.seen_before(key, facts, now)

    def start(self) -> None:
        """Start to watch, and to replay. Call it before kopf starts: kopf cancels at its end what was started after it."""
        self.queue.close()
        check = KeyCheck(self.kube, self.cache, self.scopes, self._forget_if_gone)
        work = [("key check", check.run), ("left intents", self._left_intents.run)]
        self._tasks += [spawn(name, run) for name, run in work] + self._refresher.start() + self.watches.start()

    async def stop(self) -> None:
        """End what `start` started."""
        await self._refresher.drain()
        await self._left_intents.hand_over_at_the_end()
        await cancel(self._tasks)

    async def lead(self) -> None:
        """Do the work, until cancelled: only one process at a time may.

        At its end, refreshes under way are waited for: a reply that is not stored would be lost. The next leader does the rest.
        """
        await self.served.may_begin()
        await self._link_keys.begin()
        self.queue.begin_anew()
        self._refresher.is_stopping = False
        self._left_intents.leads = True
        self._status.rivals.begin_anew()
        sweeper = sweeper_for(self.kube, self.settings, self._failed.hear)
        work = [("flow sweeper", sweeper.run), ("secret poller", self._poller.run), ("link keys", self._link_keys.run)]
        notifier = notifier_for(self.settings, self.cache, utc_now, self.random)
        work += [] if notifier is None else [("notifier", notifier.run)]
        work += [(f"worker {number}", self._reconciling.run) for number in range(WORKERS)]
        tasks = [spawn(name, run) for name, run in work] + self._revocations.start() + self._callback_rights.start()
        tasks.append(asyncio.create_task(Takeover(self.cache, self.queue, utc_now).run(), name="takeover"))
        try:
            await asyncio.gather(*tasks)
        finally:
            self._refresher.is_stopping = True
            self.queue.close()
            await cancel(tasks)
            await self._outward.stop()
            await self._pool.drain()
            self._left_intents.leads = False
            self._steps.token_secrets.let_go_of_all()

    def datasource_changed(self, datasource: Datasource) -> None:
        """A watch showed a Datasource: remember it and look at it soon."""
        self.datasource_event_at = self.monotonic()
        key = Key(datasource.metadata.namespace, datasource.metadata.name)
        before = self.cache.datasource(key)
        if self.cache.store_datasource(trimmed(datasource)):
            is_new = before is None or before.metadata.generation != datasource.metadata.generation
            self.queue.add(self.cache.own(key), Priority.SOMEBODY_WAITS if is_new else Priority.ROUTINE)
            self._callback_rights.needed_by(key, datasource.spec)

    def datasource_deleted(self, datasource: Datasource) -> None:
        """A watch showed that a Datasource is gone; its Secrets are the garbage collector's."""
        self.datasource_event_at = self.monotonic()
        key = Key(datasource.metadata.namespace, datasource.metadata.name)
        if self.cache.drop_datasource(key, datasource.metadata):
            self._forget_if_gone(key)

    def _scope_opened(self, scope: str | None) -> None:
        """The Secrets of a scope can be read: what was passed over before is looked at now."""
        for key in self.cache.datasource_keys():
            if scope in {None, key.namespace}:
                self.queue.add(key)

    def _secret_changed(self, key: Key) -> None:
        self._look_again(key)
        self._revocations.follow(key)

    def _provider_looked_at(self, key: Key) -> None:
        """Judge what a look at a provider showed: for a Datasource that nobody edited there is no other occasion."""
        if self.cache.has_datasource(key):
            self._surroundings.look(key)
            self.queue.add(key, Priority.ROUTINE)

    def _surroundings_changed(self, key: Key) -> None:
        self._surroundings.look(key)
        self._memory.try_now(key)
        self.queue.add(key)

    def _forget_if_gone(self, key: Key) -> None:
        """Nothing of a Datasource that is gone stays in memory, but what its Secrets still ask for.

        Whatever keeps something by key stands here. Called at the deletion, and again when work ends that was under way.
        """
        if self.cache.has_datasource(key):
            return
        self.queue.forget(key)
        self._callback_rights.needed_no_more(key)
        keep: list[Forgets] = [self._surroundings, self._memory, self._failed, self._outward, self._poller]
        keep += [self._pool, self._steps, self._status]
        for each in keep:
            each.forget(key)
        self._revocations.follow(key)

    async def _reconcile(self, key: Key) -> Ending:
        if not self.served.has_secrets_of(key.namespace):
            # To take a list that was not read for an empty one would take tokens away. It comes again with the list.
            return Done()
        look_around = self._surroundings.take(key)
        try:
            outcome = await self._reconciler.reconcile(key, look_around=look_around)
        except Exception:
            if look_around:
                self._surroundings.look(key)
            raise
        return Done(comes_again=outcome.wake_after is not None)

    def _after_reconciling(self, key: Key) -> None:
        # What we write ourselves is no news when a watch shows it: a clear is noticed here.
        self._revocations.follow(key)
        self._forget_if_gone(key)

    async def _refresh(self, key: Key) -> Ending:
        await self._refresher.refresh(key)
        return LookAgain()

    async def _warn(self, key: Key, note: str, *, reason: str = "ReplyNotStored", action: str = "Refresh") -> None:
        datasource = self.cache.datasource(key)
        if datasource is not None:
            await self._recorder.warn(datasource.metadata, is_secret=False, reason=reason, action=action, note=note)

    def _look_later(self, key: Key, delay: timedelta) -> None:
        self.queue.add(key, Priority.ROUTINE, delay=delay)

    def _look_again(self, key: Key) -> None:
        if self.cache.has_datasource(key):
            self.queue.add(self.cache.own(key))

    def _follow_up(self, key: Key, outcome: Comeback) -> None:
        self._poller.wait_for(key, outcome.watched_secret)
        if outcome.wake_after is not None:
            # Neither early, for the time decides, nor late: an app would have a dead token.
            self.queue.add(key, Priority.ROUTINE, delay=outcome.wake_after)
        if outcome.recheck_after is not None:
            # What settled together does not come back together.
            self.queue.add(key, Priority.ROUTINE, delay=outcome.recheck_after * (1 + self.random() * 0.1))
            self._surroundings.look(key, after=outcome.recheck_after)
        if outcome.refresh is not None:
            self._pool.submit(key, outcome.refresh.provider, is_urgent=outcome.refresh.is_urgent)


def datasource_in(raw: object) -> Datasource:
    """Parse an object of a watch event."""
    return msgspec.convert(raw, Datasource)


def _turns() -> FairTurns[Key]:
    return FairTurns(WORKERS, WORKERS_PER_NAMESPACE, WORKERS - WORKERS_PER_NAMESPACE, WORKERS_AT_FIRST)
