"""Which notifications are sent for a Datasource: a person is needed, or a grant ends soon. Pure.

A notice describes a state that still holds, never an event. So the same state gives the same notices with the same IDs, also
after a restart or in another leader. A receiver that keeps IDs recognizes repeats.
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
"""The most Datasources that one message names. `count` includes the others."""

_LONGEST_WORDS = 512
"""The most characters of one text in a notice. The message of a status may quote a provider."""


class Kind(StrEnum):
    """The reason for a notification, which is the end of the CloudEvents type."""

    PERSON_NEEDED = "person-needed"
    GRANT_EXPIRING = "grant-expiring"


class Notice(msgspec.Struct, frozen=True, rename=spelled, omit_defaults=True):
    """One Datasource that a person should look at. It has no token, and no ticket: everyone who has a ticket may use it."""

    id: str
    """The ID of this state of this Datasource. It stays the same as long as the state holds."""
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
    """The URL of its page; empty where people do not sign in. It gives no access by itself, so every reader may have it."""


class Message(msgspec.Struct, frozen=True):
    """The notices of one kind in one namespace that were not sent yet."""

    kind: Kind
    namespace: str
    notices: tuple[Notice, ...]

    @property
    def id(self) -> str:
        """The ID. It is the same for the same notices, in any order."""
        return _digest(self.kind, self.namespace, *sorted(notice.id for notice in self.notices))


def notices_of(datasource: Datasource, contents: Contents | None, *, pages: str = "") -> Iterator[tuple[Kind, Notice]]:
    """The notices for a Datasource, by its status. A suspended Datasource needs no person, but its grant may still end.

    Args:
        datasource: the Datasource.
        contents: the content of its credential Secret.
        pages: the external URL where people sign in. Empty: they do not sign in. Then a notice has no link, because every
            reader could use it.
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
    """One message for each kind and namespace, with all its Datasources. `notices` are given with kind and namespace."""
    grouped: dict[tuple[Kind, str], list[Notice]] = defaultdict(list)
    for kind, namespace, notice in notices:
        grouped[kind, namespace].append(notice)
    return [Message(kind, namespace, tuple(found)) for (kind, namespace), found in grouped.items()]


def cloud_event(message: Message, *, source: str, cluster: str, now: datetime) -> bytes:
    """A message as a structured JSON event (CloudEvents 1.0 section 3; JSON event format section 3).

    Args:
        message: the message to send.
        source: the installation that sends it: its external URL.
        cluster: the name that people use for the cluster; empty: the event does not name it.
        now: the value of `time`.
    """
    return _event(message.id, message.kind, message.namespace, message.notices, source, cluster, now)


TEST = "test"
"""The end of the CloudEvents type of a test message."""


def event_of_a_test(id_: str, *, namespace: str, source: str, cluster: str, now: datetime) -> bytes:
    """A test message, to see whether it arrives. It has the same shape and no Datasource.

    Args:
        id_: a new ID for each test, so that no receiver takes it for a repeat.
        namespace: the namespace of the operator.
        source: the installation that sends it: its external URL.
        cluster: the name that people use for the cluster; empty: the event does not name it.
        now: the value of `time`.
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
        # Built here, not taken from the status: a link that was written before sign-in was enabled has a ticket.
        page=page_link(pages, metadata.namespace, metadata.name) if pages else "",
    )


def _credential_id(contents: Contents | None) -> str:
    return contents.facts.credential_id if isinstance(contents, StoredCredential | StoredTombstone) else ""


def _version(datasource: Datasource, contents: Contents | None) -> str:
    """The part of the ID of a notice that a person is needed: the revision of the tokens that ended.

    Where there were no tokens, it is the generation of the spec. A notice about the end of a grant has that time instead,
    because each refresh changes the revision.
    """
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
    """A hash of the parts, none of which may contain a NUL."""
    return sha256("\0".join(parts).encode()).hexdigest()[:32]
