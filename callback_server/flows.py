"""I/O: flow records in the API server, so that any replica can finish any flow."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from datasource.api.names import CALLBACK_FIELD_MANAGER, FLOW_SLOTS, flow_secret_name, uid_digest
from datasource.api.objects import Secret
from datasource.cluster.api_errors import Conflict, NotFound, Unavailable
from datasource.cluster.kube import Kube
from datasource.cluster.resources import SECRETS
from datasource.records import flow as records
from datasource.records.flow import Flow, FlowKey, Outcome, StoredFlow, UnreadableFlow, read_flow

_ROUNDS = 5


class NoSlot(Exception):
    """Every slot was taken by somebody else again and again: more authorizations of one Datasource than make sense."""


@dataclass(frozen=True, slots=True)
class ClaimedFlow:
    """A flow that this request, and no other, may exchange the code of."""

    key: FlowKey = field(repr=False)
    stored: StoredFlow

    @property
    def flow(self) -> Flow:
        """What the record says."""
        return self.stored.flow


@dataclass(frozen=True, slots=True)
class FlowStore:
    """Flow records of all Datasources, in the callback server's own namespace."""

    kube: Kube
    namespace: str
    now: Callable[[], datetime]

    async def begin(self, make: Callable[[int], Flow], uid: str) -> Flow:
        """Record a new flow in the first slot that is free; `make` builds it for a slot.

        Raises:
            NoSlot: there is none.
        """
        for slot in range(FLOW_SLOTS):
            flow = make(slot)
            manifest = records.manifest(flow, system_namespace=self.namespace, slot=slot)
            try:
                await self.kube.create(SECRETS, self.namespace, manifest, Secret, manager=CALLBACK_FIELD_MANAGER)
            except Conflict:
                continue
            return flow
        return await self._replace_one(make, uid_digest(uid))

    async def find(self, key: FlowKey) -> StoredFlow | None:
        """The record that a key points to. Whether the key is the record's own is for the caller to check."""
        return await self.find_named(key.secret_name)

    async def find_named(self, secret_name: str) -> StoredFlow | None:
        """The record in that Secret."""
        try:
            secret = await self.kube.get(SECRETS, self.namespace, secret_name, Secret)
            return read_flow(secret)
        except (NotFound, UnreadableFlow):
            return None

    async def claim(self, key: FlowKey, stored: StoredFlow, claim_id: str) -> ClaimedFlow | None:
        """Claim a flow by compare-and-swap; None where somebody else was first.

        Raises:
            Unavailable: it is not known whether the claim was written; it must not be acted on.
        """
        for _ in range(_ROUNDS):
            try:
                claimed = await self._write(key, stored, msgspec.structs.replace(stored.flow, claim=claim_id))
                return ClaimedFlow(key, claimed)
            except (Conflict, NotFound, Unavailable):
                found = await self.find(key)
            if found is None or not records.state_is_of(key, found.flow):
                return None
            if found.flow.claim is not None:
                return ClaimedFlow(key, found) if found.flow.claim == claim_id else None
            stored = found
        return None

    async def record_outcome(self, claimed: ClaimedFlow, outcome: Outcome, title: str = "", message: str = "") -> None:
        """Say how a claimed flow ended."""
        flow = msgspec.structs.replace(claimed.flow, outcome=outcome, outcome_title=title, outcome_message=message)
        await self._write(claimed.key, claimed.stored, flow)

    async def _write(self, key: FlowKey, stored: StoredFlow, flow: Flow) -> StoredFlow:
        patch = records.replacement_patch(flow, slot=key.slot, resource_version=stored.resource_version)
        written = await self.kube.merge_patch(
            SECRETS, self.namespace, key.secret_name, patch, Secret, manager=CALLBACK_FIELD_MANAGER
        )
        return StoredFlow(flow=flow, resource_version=written.metadata.resource_version)

    async def _replace_one(self, make: Callable[[int], Flow], digest: str) -> Flow:
        for _ in range(_ROUNDS):
            secrets = [await self._secret(flow_secret_name(digest, slot)) for slot in range(FLOW_SLOTS)]
            slot = records.free_slot([_readable(secret) for secret in secrets], self.now())
            flow, taken = make(slot), secrets[slot]
            try:
                if taken is None:
                    manifest = records.manifest(flow, system_namespace=self.namespace, slot=slot)
                    await self.kube.create(SECRETS, self.namespace, manifest, Secret, manager=CALLBACK_FIELD_MANAGER)
                else:
                    patch = records.replacement_patch(flow, slot=slot, resource_version=taken.metadata.resource_version)
                    name = taken.metadata.name
                    await self.kube.merge_patch(
                        SECRETS, self.namespace, name, patch, Secret, manager=CALLBACK_FIELD_MANAGER
                    )
            except (Conflict, NotFound):
                continue
            return flow
        raise NoSlot

    async def _secret(self, name: str) -> Secret | None:
        try:
            return await self.kube.get(SECRETS, self.namespace, name, Secret)
        except NotFound:
            return None


def _readable(secret: Secret | None) -> StoredFlow | None:
    if secret is None:
        return None
    try:
        return read_flow(secret)
    except UnreadableFlow:
        return None
