"""Flow records: one authorization under way, stored in the API server so that any replica can finish it.

A record is a Secret `datasource-flow-<digest of the uid>-<slot>` in the callback server's own namespace. The browser gets a
`state` and the ID of the done page; both name the record. Of the `state`, the record keeps only a hash.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from datasource.api.clock import Moment, parse_rfc3339, rfc3339
from datasource.api.names import FLOW_KEY, Annotation, Role, SecretType, flow_secret_name, redirect_uri, uid_digest
from datasource.api.objects import Metadata, Secret, encoded_data
from datasource.api.requests import HandledSet, Requests
from datasource.oauth2.kubernetes_user import User
from datasource.oauth2.provider_metadata import ProviderMetadata
from datasource.outbound.json_text import read_json
from datasource.outbound.printable import printable
from datasource.records.link_keys import LinkKeys, Origin, Purpose

FLOW_LIFETIME = timedelta(minutes=10)

LONGEST_KEPT = timedelta(days=1)
"""No flow or session of ours expires later than this. A record that says so was written by another program."""

_DATA_KEY = "flow"

_RECORD_NAME = re.compile(r"datasource-flow-(?P<digest>[0-9a-f]{16})-[0-9]")


class UnreadableFlow(Exception):
    """A flow record that cannot be parsed."""


class Outcome(StrEnum):
    """How a claimed flow ended. A reload of the callback URL shows it."""

    UNDER_WAY = "under-way"
    STORED = "stored"
    NOT_STORED = "not-stored"


class FlowKey(msgspec.Struct, frozen=True):
    """The parts of a `state` or of the ID of a done page: which record, and a secret to prove it."""

    digest: str
    slot: int
    text: str
    mark: str = ""
    """The last characters of the text: a mark that shows that we made it. Empty in v0.1.0, and where there was no key."""

    def __repr__(self) -> str:
        return f"FlowKey({self.secret_name})"

    @property
    def secret_name(self) -> str:
        """The name of the record's Secret."""
        return flow_secret_name(self.digest, self.slot)


class Flow(msgspec.Struct, frozen=True, rename="camel"):
    """One authorization under way."""

    state_hash: str
    done_id: str
    code_verifier: str | None
    nonce: str | None
    namespace: str
    name: str
    uid: str
    parameters_hash: str
    replaces: str
    cookie_hash: str
    ticket_hash: str
    redirect_uri: str
    created_at: Moment
    expires_at: Moment
    requested: HandledSet = HandledSet()
    """Digests of the requests that existed when the flow began. An annotation may have 256 KiB, a record may not."""
    requests: Requests = Requests()
    """The same requests in full, as v0.1.0 wrote them."""
    metadata: ProviderMetadata | None = None
    """The provider's metadata from when the flow began. So the flow ends with the endpoints that the person saw."""
    claim: str | None = None
    outcome: Outcome = Outcome.UNDER_WAY
    outcome_title: str = ""
    outcome_message: str = ""
    outcome_advice: str = ""
    """What the person can do. The person may know nothing about clusters."""
    outcome_texts: tuple[Any, ...] = ()
    """The same three as keys and values, so that the page shows them in the reader's language. Earlier versions wrote none."""
    ended_at: Moment | None = None
    user: User | None = None
    """The user who began it; None: a person who had a link and did not sign in."""

    def __repr__(self) -> str:
        return f"Flow({self.namespace}/{self.name}, outcome={self.outcome})"

    def has_expired(self, now: datetime) -> bool:
        """Whether its 10 minutes are over."""
        return now >= self.expires_at

    @property
    def known(self) -> HandledSet:
        """The requests that existed when the flow began."""
        return self.requested.with_requests(self.requests)


class FailedFlow(msgspec.Struct, frozen=True):
    """What the annotations of a flow record say about an authorization that failed."""

    namespace: str
    name: str
    uid_digest: str
    ended_at: datetime
    message: str


class StoredFlow(msgspec.Struct, frozen=True):
    """A flow record as it was read: the flow, and the version for a compare-and-swap."""

    flow: Flow
    resource_version: str


def came_back_to(flow: Flow, namespace: str, name: str | None) -> bool:
    """Whether an answer came to the path of the redirect URI in its request. The external URL may have changed since."""
    own, shared = redirect_uri("", flow.namespace, flow.name), redirect_uri("", flow.namespace)
    path = own if flow.redirect_uri.endswith(own) else shared
    return flow.redirect_uri.endswith(path) and redirect_uri("", namespace, name) == path


def new_flow_key(
    uid: str,
    slot: int,
    token_bytes: Callable[[int], bytes],
    make_mark: Callable[[str], str] = lambda _: "",
) -> FlowKey:
    """Make a `state` or a done ID for the record in that slot, with 256 random bits and a mark."""
    digest = uid_digest(uid)
    secret = urlsafe_b64encode(token_bytes(32)).decode().rstrip("=")
    unmarked = f"{digest}-{slot}.{secret}"
    mark = make_mark(unmarked)
    return FlowKey(digest=digest, slot=slot, text=unmarked + mark, mark=mark)


def flow_key_origin(key: FlowKey, purpose: Purpose, keys: LinkKeys, now: datetime) -> Origin:
    """Whether we made a `state` or a done ID, as far as its mark shows."""
    return keys.origin(purpose, key.text.removesuffix(key.mark), key.mark, now)


def parse_flow_key(text: str) -> FlowKey | None:
    """Read a `state` or a done ID that came back; None where it does not have the form of ours."""
    match = FLOW_KEY.fullmatch(text)
    if match is None:
        return None
    return FlowKey(digest=match["digest"], slot=int(match["slot"]), text=text, mark=match["mark"] or "")


def key_hash(key: FlowKey) -> str:
    """The hash of a `state` that the record keeps: SHA-256, hex."""
    return hashlib.sha256(key.text.encode()).hexdigest()


def state_is_of(key: FlowKey, flow: Flow) -> bool:
    """Compare in constant time the `state` that came back with the one recorded."""
    return hmac.compare_digest(key_hash(key), flow.state_hash)


def done_id_is_of(key: FlowKey, flow: Flow) -> bool:
    """Compare in constant time the id of a done page with the one recorded."""
    return hmac.compare_digest(key.text, flow.done_id)


def slot_to_give_up(taken: Mapping[int, StoredFlow]) -> int:
    """The slot that a new flow gets where all are taken: that of the oldest unclaimed flow, else that of the oldest flow."""
    return min(taken, key=lambda slot: (taken[slot].flow.claim is not None, taken[slot].flow.created_at, slot))


def flow_manifest(flow: Flow, *, system_namespace: str, slot: int) -> dict[str, Any]:
    """The Secret that records a flow, for POST. `replacement_patch` writes the same over an old record."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": SecretType.FLOW,
        "metadata": {
            "name": flow_secret_name(uid_digest(flow.uid), slot),
            "namespace": system_namespace,
            "annotations": {
                Annotation.DATASOURCE: f"{flow.namespace}/{flow.name}",
                Annotation.ROLE: Role.FLOW,
                Annotation.EXPIRES_AT: rfc3339(flow.expires_at),
                **{key: value for key, value in _how_it_ended(flow).items() if value is not None},
            },
        },
        "data": encoded_data({_DATA_KEY: msgspec.json.encode(flow).decode()}),
    }


def replacement_patch(flow: Flow, *, slot: int, resource_version: str) -> dict[str, Any]:
    """The merge patch that writes a flow over an old record. It fails with 409 if the record changed meanwhile."""
    whole = flow_manifest(flow, system_namespace="", slot=slot)
    # null removes the outcome of the flow that had the slot before.
    annotations = whole["metadata"]["annotations"] | _how_it_ended(flow)
    return {"metadata": {"resourceVersion": resource_version, "annotations": annotations}, "data": whole["data"]}


def read_flow(secret: Secret) -> StoredFlow:
    """Read a flow record.

    Raises:
        UnreadableFlow: it is no flow record, or it was altered.
    """
    if secret.type != SecretType.FLOW:
        raise UnreadableFlow(f"type is {secret.type}")
    try:
        flow = read_json(secret.value(_DATA_KEY) or "", Flow)
    except (ValueError, msgspec.MsgspecError):
        raise UnreadableFlow(f"data key {_DATA_KEY} cannot be read") from None
    return StoredFlow(flow=flow, resource_version=secret.metadata.resource_version)


LONGEST_MESSAGE = 1024
"""Characters of the message about a failed authorization, in the annotation and in the status."""


def _how_it_ended(flow: Flow) -> dict[str, str | None]:
    """Annotations that say why no credential was stored; null where the flow did not fail.

    The operator reads them, because it does not read the data of flow records.
    """
    if flow.outcome is not Outcome.NOT_STORED or flow.ended_at is None:
        return {Annotation.OUTCOME: None, Annotation.OUTCOME_MESSAGE: None, Annotation.ENDED_AT: None}
    return {
        Annotation.OUTCOME: flow.outcome,
        Annotation.OUTCOME_MESSAGE: _cut(f"{flow.outcome_title}. {flow.outcome_message}"),
        Annotation.ENDED_AT: rfc3339(flow.ended_at),
    }


def failed_flow(metadata: Metadata) -> FailedFlow | None:
    """The failed authorization in a flow record's annotations; None: there is none, or it cannot be parsed."""
    annotations, record = metadata.annotations, _RECORD_NAME.fullmatch(metadata.name)
    namespace, separator, name = annotations.get(Annotation.DATASOURCE, "").partition("/")
    if annotations.get(Annotation.OUTCOME) != Outcome.NOT_STORED or record is None or not separator:
        return None
    try:
        ended_at = parse_rfc3339(annotations.get(Annotation.ENDED_AT, ""))
    except ValueError:
        return None
    message = _cut(annotations.get(Annotation.OUTCOME_MESSAGE, ""))
    return FailedFlow(namespace, name, record["digest"], ended_at, message)


def _cut(text: str) -> str:
    return printable(text, LONGEST_MESSAGE - len("..."))


def has_expired(metadata: Metadata, now: datetime) -> bool:
    """Whether a record may be deleted, by its metadata. Without an expiry, or with one that is too late, it may be deleted."""
    try:
        expires_at = parse_rfc3339(metadata.annotations.get(Annotation.EXPIRES_AT, ""))
    except ValueError:
        return True
    return not now < expires_at <= now + LONGEST_KEPT
