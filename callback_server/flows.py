"""I/O: flow records in the API server, so that any replica can finish any flow."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from random import SystemRandom

import msgspec

from callback_server.cookie import is_same_browser
from callback_server.language import recorded
from callback_server.refusals import Refused
from datasource.api.names import CALLBACK_FIELD_MANAGER, FLOW_SLOTS, flow_secret_name, uid_digest
from datasource.api.objects import Secret
from datasource.cluster.api_errors import ApiError, Conflict, NotFound, Unavailable
from datasource.cluster.kube import Kube
from datasource.cluster.resources import SECRETS
from datasource.records import flow as records
from datasource.records.flow import Flow, FlowKey, Outcome, StoredFlow, UnreadableFlow, read_flow

_ROUNDS = 5

_TRIED = 5
"""How many slots are tried with a create. Where five of the ten slots are free, all five tries miss them one time in 252."""

PAUSE = 1.0
"""Seconds until an API server that does not answer is asked once more whether a claim was written."""

_LOOKED_AT = 3
"""How many unclaimed flows are read after that, before the oldest of them is replaced by the new one."""


def _in_random_order() -> Sequence[int]:
    return SystemRandom().sample(range(FLOW_SLOTS), FLOW_SLOTS)


class NoSlot(Exception):
    """Other requests took every slot that was tried. Too many authorizations of one Datasource begin at the same time."""


@dataclass(frozen=True, slots=True)
class ClaimedFlow:
    """A flow that this request, and no other, may exchange the code of."""

    key: FlowKey = field(repr=False)
    stored: StoredFlow

    @property
    def flow(self) -> Flow:
        """The flow of the record."""
        return self.stored.flow


@dataclass(frozen=True, slots=True)
class FlowStore:
    """Flow records of all Datasources, in the callback server's own namespace."""

    kube: Kube
    namespace: str
    now: Callable[[], datetime]
    slots: Callable[[], Sequence[int]] = _in_random_order
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def begin(self, make: Callable[[int], Flow], uid: str) -> Flow:
        """Record a new flow in a free slot, or else in place of an older flow.

        Slots are tried in random order, and only a few of them. So a click costs little however many authorizations are under
        way, and an attacker cannot choose whose flow is replaced.

        Args:
            make: builds the flow for a slot.
            uid: of the Datasource.

        Raises:
            NoSlot: other requests took each slot that was tried.
        """
        slots = self.slots()
        for slot in slots[:_TRIED]:
            flow = make(slot)
            if await self._create(flow, slot):
                return flow
        taken: dict[int, StoredFlow] = {}
        for slot in slots:
            secret = await self._secret(flow_secret_name(uid_digest(uid), slot))
            record = None if secret is None else _readable(secret)
            if record is not None and not record.flow.has_expired(self.now()):
                taken[slot] = record
                if sum(each.flow.claim is None for each in taken.values()) == _LOOKED_AT:
                    break
                continue
            flow = make(slot)
            version = None if secret is None else secret.metadata.resource_version
            if await (self._create(flow, slot) if version is None else self._replace(flow, slot, version)):
                return flow
        while taken:
            slot = records.slot_to_give_up(taken)
            flow = make(slot)
            if await self._replace(flow, slot, taken.pop(slot).resource_version):
                return flow
        raise NoSlot

    async def find(self, key: FlowKey) -> StoredFlow | None:
        """Read the record that a key points to; None: there is none. The caller has to check that the key is the record's."""
        return await self.find_named(key.secret_name)

    async def find_named(self, secret_name: str) -> StoredFlow | None:
        """Read the record in a Secret; None: there is none that can be read."""
        try:
            secret = await self.kube.get(SECRETS, self.namespace, secret_name, Secret)
            return read_flow(secret)
        except (NotFound, UnreadableFlow):
            return None

    async def done_with(self, uid: str, used_ticket_hash: str, cookie: str) -> str | None:
        """The ID of the done page of the flow in which this browser used this ticket and stored a credential; else None."""
        for slot in range(FLOW_SLOTS):
            stored = await self.find_named(flow_secret_name(uid_digest(uid), slot))
            if (
                stored is not None
                and stored.flow.outcome is Outcome.STORED
                and stored.flow.ticket_hash == used_ticket_hash
                and is_same_browser(cookie, stored.flow.cookie_hash)
            ):
                return stored.flow.done_id
        return None

    async def claim(self, key: FlowKey, stored: StoredFlow, claim_id: str) -> ClaimedFlow | None:
        """Claim a flow by compare-and-swap. Returns None where another request claimed it first.

        Raises:
            ApiError, Unavailable: each of several tries failed. The flow is not claimed.
        """
        refused: ApiError | Unavailable
        for _ in range(_ROUNDS):
            try:
                claimed = await self._write(key, stored, msgspec.structs.replace(stored.flow, claim=claim_id))
                return ClaimedFlow(key, claimed)
            except (ApiError, Unavailable) as error:
                if not (isinstance(error, Conflict | NotFound) or _may_have_been_done(error)):
                    raise
                refused = error
            found = await self._find_after_silence(key, stored.flow)
            if found is None or not records.state_is_of(key, found.flow):
                return None
            if found.flow.claim is not None:
                return ClaimedFlow(key, found) if found.flow.claim == claim_id else None
            stored = found
        # No request has claimed the flow, so a reload may.
        raise refused

    async def _find_after_silence(self, key: FlowKey, flow: Flow) -> StoredFlow | None:
        """Read the record once the API server answers again. Our claim may have been written: then the code is ours.

        Raises:
            ApiError, Unavailable: the API server did not answer before the flow expired.
        """
        while True:
            try:
                return await self.find(key)
            except (ApiError, Unavailable) as error:
                if not _may_have_been_done(error) or flow.has_expired(self.now()):
                    raise
            await self.sleep(PAUSE)

    async def record_outcome(self, claimed: ClaimedFlow, refused: Refused | None) -> None:
        """Record how a claimed flow ended. `refused` is None where a credential was stored."""
        flow = self._ended(claimed.flow, refused)
        await self._write(claimed.key, claimed.stored, flow)

    async def record_replayed(self, flow: Flow, slot: int, refused: Refused | None) -> None:
        """Record how a flow from the journal ended. Another flow in its slot is left alone, and so is an outcome."""
        key = FlowKey(uid_digest(flow.uid), slot, "")
        stored = await self.find(key)
        if stored is None or stored.flow.claim != flow.claim or stored.flow.outcome is not Outcome.UNDER_WAY:
            return
        with suppress(Conflict, NotFound):
            await self._write(key, stored, self._ended(stored.flow, refused))

    async def give_up(self, key: FlowKey, claim_id: str, refused: Refused) -> None:
        """Record that a flow failed before the person was sent to the provider. Another flow in its slot is left alone."""
        stored = await self.find(key)
        if stored is not None and records.state_is_of(key, stored.flow) and stored.flow.claim is None:
            flow = msgspec.structs.replace(stored.flow, claim=claim_id)
            await self._write(key, stored, self._ended(flow, refused))

    def _ended(self, flow: Flow, refused: Refused | None) -> Flow:
        if refused is None:
            return msgspec.structs.replace(flow, outcome=Outcome.STORED, ended_at=self.now())
        return msgspec.structs.replace(
            flow,
            outcome=Outcome.NOT_STORED,
            outcome_title=str(refused.title),
            outcome_message=str(refused.message),
            outcome_advice=str(refused.advice),
            outcome_texts=tuple(recorded(each) for each in (refused.title, refused.message, refused.advice)),
            ended_at=self.now(),
        )

    async def _write(self, key: FlowKey, stored: StoredFlow, flow: Flow) -> StoredFlow:
        patch = records.replacement_patch(flow, slot=key.slot, resource_version=stored.resource_version)
        written = await self.kube.merge_patch(
            SECRETS, self.namespace, key.secret_name, patch, Secret, manager=CALLBACK_FIELD_MANAGER
        )
        return StoredFlow(flow=flow, resource_version=written.metadata.resource_version)

    async def _create(self, flow: Flow, slot: int) -> bool:
        manifest = records.flow_manifest(flow, system_namespace=self.namespace, slot=slot)
        try:
            await self.kube.create(SECRETS, self.namespace, manifest, Secret, manager=CALLBACK_FIELD_MANAGER)
        except Conflict:
            return False
        return True

    async def _replace(self, flow: Flow, slot: int, resource_version: str) -> bool:
        patch = records.replacement_patch(flow, slot=slot, resource_version=resource_version)
        name = flow_secret_name(uid_digest(flow.uid), slot)
        try:
            await self.kube.merge_patch(SECRETS, self.namespace, name, patch, Secret, manager=CALLBACK_FIELD_MANAGER)
        except (Conflict, NotFound):
            return False
        return True

    async def _secret(self, name: str) -> Secret | None:
        try:
            return await self.kube.get(SECRETS, self.namespace, name, Secret)
        except NotFound:
            return None


def _may_have_been_done(error: ApiError | Unavailable) -> bool:
    """Whether a write may have taken effect in spite of this error. A proxy may have sent the answer."""
    return isinstance(error, Unavailable) or error.status >= 500


def _readable(secret: Secret) -> StoredFlow | None:
    try:
        return read_flow(secret)
    except UnreadableFlow:
        return None
