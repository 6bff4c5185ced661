"""I/O: tells a receiver which Datasources need a person, and whose grant is about to end.

Signed CloudEvents to one URL, at least once: what was sent is known to this process alone, and it is states that are told, not
happenings. So a receiver that was away misses nothing that still holds, and a new leader tells it once more with the same ids.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from prometheus_client import Counter, Gauge

from datasource.concurrency.backoff import Backoff, half_jitter
from datasource.oauth2.errors import NotDelivered, OAuth2Error, OutcomeUnknown
from datasource.outbound.egress import EgressPolicy, rules
from datasource.outbound.printable import printable
from datasource.outbound.provider_request import ProviderRequest, Reply, UnusableReply
from datasource.outbound.proxies import Proxies
from datasource.outbound.webhook_signature import InvalidKeys, WebhookKeys
from datasource.process.settings import Notify, Settings
from datasource.providers.transport import Transport
from datasource_operator.cache import Cache
from datasource_operator.decisions.notices import Kind, Message, Notice, cloud_event, messages, notices_of

logger = structlog.get_logger(__name__)

INTERVAL = timedelta(minutes=1)
"""One message of each kind for a namespace in this time, whatever happens in it."""

DEADLINE = timedelta(seconds=10)
"""For one message."""

IN_FLIGHT = 8

_ENOUGH_FAILURES = 3
"""In a row: the receiver is away, and the rest of the round waits with them."""

_AT_A_STRETCH = 0.01
"""Seconds of looking at Datasources between two moments in which others may work: a spec may have 170 KiB, or 200 bytes."""

SENT = Counter(
    "datasource_notifications", "Messages to the receiver of notifications by how they ended.", ["kind", "result"]
)
WAITING = Gauge(
    "datasource_notifications_waiting", "Datasources that the receiver of notifications does not know about yet."
)
for _kind in Kind:
    for _result in ("sent", "failed"):
        SENT.labels(_kind, _result)


@dataclass(slots=True)
class Notifier:
    """Works while this process leads. `proxies` are those of the process; `installation` and `cluster` go into messages.

    Where `people_sign_in`, so do the URLs of their pages.
    """

    notify: Notify
    proxies: Proxies
    cache: Cache
    installation: str
    cluster: str
    now: Callable[[], datetime]
    random: Callable[[], float]
    monotonic: Callable[[], float] = time.monotonic
    interval: timedelta = INTERVAL
    people_sign_in: bool = False
    _sent: set[str] = field(default_factory=set)
    """Ids of notices that hold and were sent."""
    _told_at: dict[str, float] = field(default_factory=dict)
    """When (monotonic) a namespace with notices was told of last: who waits longest goes first."""
    _failures: int = 0

    async def run(self) -> None:
        """Tell, now and then, for ever."""
        backoff = Backoff(self.interval, 5 * self.interval, half_jitter(self.random))
        async with transport_to(self.notify, self.proxies) as transport:
            while True:
                await self.tell(transport)
                pause = self.interval if not self._failures else backoff.pause(self._failures - 1)
                await asyncio.sleep(pause.total_seconds())

    async def tell(self, transport: Transport) -> None:
        """One round: each namespace with something new, those first that wait longest."""
        waiting = await self._waiting()
        WAITING.set(sum(len(message.notices) for message in waiting))
        if not waiting:
            self._failures = 0
            return
        try:
            keys = WebhookKeys.read(await asyncio.to_thread(self.notify.secret_file.read_text))
        except (OSError, InvalidKeys, UnicodeDecodeError) as error:
            self._failures += 1
            logger.error(
                "cannot notify: the key for signatures cannot be read",
                variable="DATASOURCE_NOTIFY_SECRET_FILE",
                error=printable(str(error)),
            )
            return
        await self._send_all(transport, keys, waiting)
        WAITING.set(sum(notice.id not in self._sent for message in waiting for notice in message.notices))

    async def _waiting(self) -> list[Message]:
        """What holds now and was not sent; what holds no more is forgotten, so that it is told again should it come back."""
        pages = self.installation if self.people_sign_in else ""
        holding: set[str] = set()
        fresh: list[tuple[Kind, str, Notice]] = []
        began = self.monotonic()
        for datasource, contents in self.cache.pairs():
            if self.monotonic() - began > _AT_A_STRETCH:
                await asyncio.sleep(0)
                began = self.monotonic()
            for kind, notice in notices_of(datasource, contents, pages=pages):
                holding.add(notice.id)
                if notice.id not in self._sent:
                    fresh.append((kind, datasource.metadata.namespace, notice))
        self._sent &= holding
        waiting = messages(fresh)
        concerned = {message.namespace for message in waiting}
        self._told_at = {name: at for name, at in self._told_at.items() if name in concerned}
        return sorted(waiting, key=lambda message: self._told_at.get(message.namespace, float("-inf")))

    async def _send_all(self, transport: Transport, keys: WebhookKeys, waiting: list[Message]) -> None:
        left = iter(waiting)

        async def sender() -> None:
            for message in left:
                if self._failures >= _ENOUGH_FAILURES:
                    return
                self._told_at[message.namespace] = self.monotonic()
                if await self._send(transport, keys, message):
                    self._failures = 0
                    self._sent.update(notice.id for notice in message.notices)
                else:
                    self._failures += 1

        # One more try decides whether a receiver that was away is back.
        self._failures = min(self._failures, _ENOUGH_FAILURES - 1)
        async with asyncio.TaskGroup() as senders:
            for _ in range(min(IN_FLIGHT, len(waiting)) if not self._failures else 1):
                senders.create_task(sender())

    async def _send(self, transport: Transport, keys: WebhookKeys, message: Message) -> bool:
        now = self.now()
        body = cloud_event(message, source=self.installation, cluster=self.cluster, now=now)
        failed = await deliver(transport, self.notify.url, keys, message.id, body, now)
        SENT.labels(message.kind, "failed" if failed else "sent").inc()
        told = {"kind": message.kind, "datasources": len(message.notices), "id": message.id}
        if failed:
            logger.warning("a notification was not delivered", namespace=message.namespace, error=failed, **told)
        else:
            logger.info("notified", namespace=message.namespace, **told)
        return not failed


def notifier_for(
    settings: Settings, cache: Cache, now: Callable[[], datetime], random: Callable[[], float]
) -> Notifier | None:
    """The one of an installation; None where nobody is to be notified."""
    if settings.notify is None:
        return None
    cluster = settings.branding.cluster_name
    return Notifier(
        settings.notify,
        settings.proxies,
        cache,
        settings.external_url,
        cluster,
        now,
        random,
        people_sign_in=settings.sign_in is not None,
    )


def transport_to(notify: Notify, proxies: Proxies) -> Transport:
    """Reaches the receiver, and nobody else."""
    return Transport(EgressPolicy(allowed=rules([notify.host])), proxies)


async def deliver(
    transport: Transport, url: str, keys: WebhookKeys, message_id: str, body: bytes, now: datetime
) -> str:
    """Sign an event and send it; why it was not taken, or nothing."""
    headers = {"content-type": "application/cloudevents+json", **keys.headers(message_id, body, now)}
    request = ProviderRequest(url, headers, body, secrets=tuple(keys.secrets()))
    try:
        reply = await transport.send(request, deadline=DEADLINE, tenant="")
    except NotDelivered as error:
        return f"the receiver cannot be reached: {error}"
    except (OAuth2Error, UnusableReply) as error:
        # Only the status counts, whatever the body is like.
        came = error.received if isinstance(error, OutcomeUnknown | UnusableReply) else None
        if came is None:
            return f"the receiver may have got it, and did not say so: {error}"
        reply = came
    return "" if reply.is_success else _refused(reply)


def _refused(reply: Reply) -> str:
    if reply.status == 410:
        return "the receiver says that it wants no more (410): take DATASOURCE_NOTIFY_URL away, or correct it"
    return f"the receiver answered {reply.status}"
