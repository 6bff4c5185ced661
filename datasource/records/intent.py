"""Intents: before a process sends a refresh token, it writes to the credential Secret that it will.

An intent that is found later means that a request may be under way, or that its sender ended before it stored the reply. This
module decides which process may then send the old refresh token again, and when.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeGuard

import msgspec

from datasource.api.clock import Moment
from datasource.outbound.json_text import read_json

REQUEST_DEADLINE = timedelta(seconds=20)
"""The longest time for a token request, unless this process leads: others may send the refresh token later."""

LEADER_WAITS = timedelta(seconds=60)
"""The longest time for a token request while this process leads, so that nobody else sends the refresh token. A provider may
answer late. If nobody reads the answer, a strict provider ends the grant when it gets the old refresh token again."""

TAKEOVER_AFTER = REQUEST_DEADLINE + timedelta(seconds=15)
"""How long another process's intent must be seen unchanged. After that its sender no longer waits for an answer."""


SLOWEST_START = timedelta(seconds=5)
"""The longest time for writing an intent; after it nothing is sent. Other processes count from when the intent is stored, and
not from our request. The rest of TAKEOVER_AFTER is a margin for a process that a busy machine delays."""


JOURNAL_IS_LOST_AFTER = timedelta(minutes=15)
"""How long a pod has to come back to its journal. Kubelet restarts a failing container after 5 minutes at the latest."""

SHORT_LIFE = timedelta(minutes=5)
"""The remaining lifetime of an access token below which other processes do not wait for a journal any more."""


class Intent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One refresh under way.

    `process` is random for each process, `pod` the uid of its pod. `sends` counts the requests of this rotation whose outcome
    is or may be unknown, this one included: 1 means that the refresh token was not sent before.
    """

    id: str
    process: str
    pod: str
    at: Moment
    sends: int = 1
    journal: bool = False
    """Whether the process keeps a journal. If so, its pod may have the reply even after the process has ended."""
    ended: bool = False
    """Whether its pod says that the process has ended and has left no reply. Then nobody needs to wait."""

    def encode(self) -> str:
        """The value of the `datasource.dev/intent` annotation: JSON."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def decode(cls, text: str) -> "Intent":
        """Read what `encode` wrote.

        Raises:
            msgspec.MsgspecError: the annotation was altered.
        """
        return read_json(text, cls)


@dataclass(frozen=True, slots=True)
class Process:
    """How the intents of this process name it: its random ID, and the uid of its pod."""

    process: str
    pod: str
    journal: bool = False
    """Whether the process keeps a journal."""


@dataclass(frozen=True, slots=True)
class TokenLife:
    """The remaining and the whole lifetime of the access token that apps have."""

    left: timedelta
    whole: timedelta

    @property
    def is_short(self) -> bool:
        """Whether the access token expires soon."""
        return self.left <= max(SHORT_LIFE, self.whole / 10)


def may_be_taken(
    intent: Intent | None,
    process: Process,
    *,
    seen_unchanged: timedelta,
    age: timedelta = timedelta(0),
    life: TokenLife | None = None,
) -> bool:
    """Whether this process may send the refresh token in spite of an intent.

    It may where the intent is its own: the outcome of that request was never known. It may where an earlier process of its pod
    wrote the intent: that process has ended, and its journal was read. Another pod may say so, too. Any other process
    may be waiting for the answer. If it keeps a journal, its pod may even store a reply later, which a second request would
    make void.

    Args:
        intent: the intent on the Secret; None: there is none.
        process: this process.
        seen_unchanged: how long the intent was seen unchanged.
        age: of the intent. It compares the clock of the process that wrote it with that of this process.
        life: of the access token; None where that is not known.
    """
    if intent is None or intent.ended or intent.process == process.process:
        return True
    if intent.pod == process.pod and (process.journal or not intent.journal):
        return True
    if seen_unchanged < TAKEOVER_AFTER or not intent.journal:
        return seen_unchanged >= TAKEOVER_AFTER
    return max(age, seen_unchanged) >= JOURNAL_IS_LOST_AFTER or (life is not None and life.is_short)


def is_left_by(intent: Intent | None, process: Process) -> TypeGuard[Intent]:
    """Whether an earlier process of this pod left the intent, so that others wait for the journal of this pod."""
    return intent is not None and intent.pod == process.pod and intent.journal and process.journal


def handed_over(intent: Intent, process: Process) -> Intent:
    """What to write in place of an intent that `is_left_by` found, where the journal of this pod has no reply to it.

    An earlier process of the pod has ended, so nobody waits for its answer. Our own request was given up, but the provider may
    still work on it. So others wait for 35 seconds, as they do without a journal.
    """
    return msgspec.structs.replace(intent, journal=False, ended=intent.process != process.process)


def next_intent(
    before: Intent | None, process: Process, *, intent_id: str, now: datetime, was_sent: bool = True
) -> Intent:
    """The intent to write. It counts the sends whose outcome is unknown.

    Args:
        before: the intent on the Secret; None: there is none.
        process: this process.
        intent_id: a random ID for the new intent.
        now: the time of the new intent.
        was_sent: whether the request of `before` may have been sent. False only where this process knows that it was not.
    """
    sends = 1 if before is None else before.sends + was_sent
    return Intent(id=intent_id, process=process.process, pod=process.pod, at=now, sends=sends, journal=process.journal)
