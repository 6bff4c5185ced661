"""Who is to be notified of what: a person is needed, or a grant is about to end. Pure.

A notice tells of a state that still holds, never of something that happened: whoever works it out anew, after a restart or as
another leader, comes to the same notices with the same ids. A receiver that keeps ids knows repeats as such.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

import msgspec

from datasource.api.clock import rfc3339
from datasource.api.names import page_link
from datasource.api.objects import Condition, Datasource
from datasource.api.spelling import spelled
from datasource.api.states import GRANT_EXPIRING, State
from datasource.records.contents import Contents, StoredCredential, StoredTombstone

MOST_NAMED = 20
"""Datasources that one message names; the others are counted."""

_LONGEST_WORDS = 512
"""Characters of a message of a status: it may hold what a provider wrote."""


class Kind(StrEnum):
    """Why somebody is notified; the end of the CloudEvents type."""

    PERSON_NEEDED = "person-needed"
    GRANT_EXPIRING = "grant-expiring"


class Notice(msgspec.Struct, frozen=True, rename=spelled, omit_defaults=True):
    """One Datasource that somebody should look at. Holds no token, and no ticket: whoever has a ticket may use it."""

    id: str
    """Of this state of this Datasource; the same as long as the state holds."""
    name: str
    uid: str
    reason: str
    message: str
    since: str
    """RFC 3339."""
    contact: str = ""
    """`spec.display.contact`: whom to ask."""
    last_authorized_as: str = ""
    grant_expires_at: str = ""
    """RFC 3339."""
    page: str = ""
    """URL of its page where people sign in: it opens nothing by itself, so whoever reads it may have it."""


class Message(msgspec.Struct, frozen=True):
    """The notices of one kind in one namespace that are not sent yet."""

    kind: Kind
    namespace: str
    notices: tuple[Notice, ...]

    @property
    def id(self) -> str:
        """The same for the same notices, in whatever order they are found."""
        return _digest(self.kind, self.namespace, *sorted(notice.id for notice in self.notices))


def notices_of(datasource: Datasource, contents: Contents | None, *, pages: str = "") -> Iterator[tuple[Kind, Notice]]:
    """What is to be told of a Datasource, by what its status says. One that is suspended waits for nobody.

    Args:
        datasource: the Datasource.
        contents: of its credential Secret.
        pages: the external URL where people sign in; empty: nobody does, and a link would be for whoever reads it.
    """
    status = datasource.status
    ready = status.condition("Ready")
    is_suspended = datasource.spec.get("suspend") is True
    if status.state == State.NOT_AUTHORIZED and status.authorization_link and ready is not None and not is_suspended:
        yield Kind.PERSON_NEEDED, _notice(Kind.PERSON_NEEDED, datasource, contents, ready, pages)
    expiring = status.condition(GRANT_EXPIRING)
    if expiring is not None and expiring.status == "True":
        yield Kind.GRANT_EXPIRING, _notice(Kind.GRANT_EXPIRING, datasource, contents, expiring, pages)


def messages(notices: Iterable[tuple[Kind, str, Notice]]) -> list[Message]:
    """One message for each namespace and kind, however many Datasources it tells of; notices by kind and namespace."""
    grouped: dict[tuple[Kind, str], list[Notice]] = defaultdict(list)
    for kind, namespace, notice in notices:
        grouped[kind, namespace].append(notice)
    return [Message(kind, namespace, tuple(found)) for (kind, namespace), found in grouped.items()]


def cloud_event(message: Message, *, source: str, cluster: str, now: datetime) -> bytes:
    """A message as a structured JSON event (CloudEvents 1.0 section 3; JSON event format section 3).

    Args:
        message: what to tell.
        source: which installation tells it: its external URL.
        cluster: how people call the cluster; empty: nothing is said of it.
        now: for `time`.
    """
    return _event(message.id, message.kind, message.namespace, message.notices, source, cluster, now)


TEST = "test"
"""The end of the CloudEvents type of a message that tells of nothing."""


def event_of_a_test(id_: str, *, namespace: str, source: str, cluster: str, now: datetime) -> bytes:
    """A message of the same shape that tells of no Datasource, to see whether it arrives.

    Args:
        id_: another for each, so that no receiver takes it for a repeat.
        namespace: of the operator.
        source: which installation tells it.
        cluster: how people call the cluster.
        now: for `time`.
    """
    return _event(id_, TEST, namespace, (), source, cluster, now)


def _event(
    id_: str, kind: str, namespace: str, notices: tuple[Notice, ...], source: str, cluster: str, now: datetime
) -> bytes:
    named = sorted(notices, key=lambda notice: notice.name)[:MOST_NAMED]
    event = {
        "specversion": "1.0",
        "id": id_,
        "source": source,
        "type": f"dev.datasource.{kind}",
        "subject": namespace,
        "time": rfc3339(now),
        "datacontenttype": "application/json",
        "data": {
            "namespace": namespace,
            **({"cluster": cluster} if cluster else {}),
            "count": len(notices),
            "datasources": msgspec.to_builtins(named),
        },
    }
    return msgspec.json.encode(event)


def _notice(kind: Kind, datasource: Datasource, contents: Contents | None, condition: Condition, pages: str) -> Notice:
    metadata, status = datasource.metadata, datasource.status
    version = _version(datasource, contents) if kind is Kind.PERSON_NEEDED else status.grant_expires_at or ""
    return Notice(
        id=_digest(metadata.uid, kind, _credential_id(contents), version, condition.reason),
        name=metadata.name,
        uid=metadata.uid,
        reason=condition.reason,
        message=_cut(condition.message),
        since=condition.last_transition_time,
        contact=_contact(datasource),
        last_authorized_as=status.authorized_as or status.last_authorized_as or "",
        grant_expires_at=(status.grant_expires_at or "") if kind is Kind.GRANT_EXPIRING else "",
        # Made, and not taken from the status: one that was written before people signed in has a ticket.
        page=page_link(pages, metadata.namespace, metadata.name) if pages else "",
    )


def _credential_id(contents: Contents | None) -> str:
    return contents.facts.credential_id if isinstance(contents, StoredCredential | StoredTombstone) else ""


def _version(datasource: Datasource, contents: Contents | None) -> str:
    """Which tokens ended; the parameters where there were none. A grant about to end goes through many: its end tells it."""
    if isinstance(contents, StoredCredential):
        return f"revision {contents.facts.revision}"
    return f"generation {datasource.metadata.generation}"


def _contact(datasource: Datasource) -> str:
    display = datasource.spec.get("display")
    contact = display.get("contact") if isinstance(display, dict) else None
    return _cut(contact) if isinstance(contact, str) else ""


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_WORDS else text[: _LONGEST_WORDS - 1] + "…"


def _digest(*parts: str) -> str:
    """Parts may hold anything but a NUL."""
    return sha256("\0".join(parts).encode()).hexdigest()[:32]
