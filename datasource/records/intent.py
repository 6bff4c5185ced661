"""Intents: who is about to send a refresh token, written onto the credential Secret before it is sent.

An intent that is found later says that a request may be on its way, or that its sender died with the answer. Who may then
send the old refresh token again, and when, is decided here.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeGuard

import msgspec

from datasource.api.clock import Moment
from datasource.outbound.json_text import read_json

REQUEST_DEADLINE = timedelta(seconds=20)
"""How long a token request may take in all."""

TAKEOVER_AFTER = REQUEST_DEADLINE + timedelta(seconds=15)
"""How long a stranger's intent must be seen unchanged: by then its sender is not waiting for an answer any more."""


SLOWEST_START = timedelta(seconds=5)
"""Where it took longer to write an intent, nothing is sent: others count from when it stood there, not from our request. What
is left of TAKEOVER_AFTER is for a process that the machine holds up."""


JOURNAL_IS_LOST_AFTER = timedelta(minutes=15)
"""How long a pod has to come back to what it wrote down: kubelet lets a container that fails wait for 5 minutes at most."""

SHORT_LIFE = timedelta(minutes=5)
"""Of an access token: sooner than apps are without one, a lost journal is taken for granted."""


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
    """Whether the process writes a reply down before it stores it: then its pod may have it, although the process is dead."""

    def encode(self) -> str:
        """The value of the `datasource.dev/intent` annotation: JSON."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def decode(cls, text: str) -> "Intent":
        """Read what `encode` wrote.

        Raises:
            msgspec.MsgspecError: somebody altered it.
        """
        return read_json(text, cls)


@dataclass(frozen=True, slots=True)
class Process:
    """This process, as intents name it."""

    process: str
    pod: str
    journal: bool = False
    """Whether it keeps a journal."""


@dataclass(frozen=True, slots=True)
class TokenLife:
    """What is left of the access token that apps have while a refresh does not come about."""

    left: timedelta
    whole: timedelta

    @property
    def is_short(self) -> bool:
        """Whether apps would soon be without one."""
        return self.left <= max(SHORT_LIFE, self.whole / 10)


def may_be_taken(
    intent: Intent | None,
    process: Process,
    *,
    seen_unchanged: timedelta,
    age: timedelta = timedelta(0),
    life: TokenLife | None = None,
) -> bool:
    """Whether this process may send the refresh token.

    Our own intent was left by a request whose outcome we never learnt, and one of an earlier process of our pod by a process
    that is dead; what it wrote down we have read. Anybody else may be waiting for the answer right now; and where it keeps a
    journal, its pod may be about to store a reply, which we would ruin.

    Args:
        intent: what stands on the Secret.
        process: who asks.
        seen_unchanged: for how long.
        age: of the intent, by the clocks of whoever wrote it and of who asks.
        life: of the access token; None where nobody knows.
    """
    if intent is None or intent.process == process.process:
        return True
    if intent.pod == process.pod and (process.journal or not intent.journal):
        return True
    if seen_unchanged < TAKEOVER_AFTER or not intent.journal:
        return seen_unchanged >= TAKEOVER_AFTER
    return max(age, seen_unchanged) >= JOURNAL_IS_LOST_AFTER or (life is not None and life.is_short)


def is_left_by(intent: Intent | None, process: Process) -> TypeGuard[Intent]:
    """Whether an intent of this pod makes others wait for a reply that would be in its journal, which this process keeps."""
    return intent is not None and intent.pod == process.pod and intent.journal and process.journal


def next_intent(
    before: Intent | None, process: Process, *, intent_id: str, now: datetime, was_sent: bool = True
) -> Intent:
    """The intent to write; it remembers the sends whose outcome nobody knows.

    Args:
        before: the intent that stands there.
        process: who is to send.
        intent_id: random.
        now: when.
        was_sent: whether the one that stands there may have been sent; False only where this process knows that it was not.
    """
    sends = 1 if before is None else before.sends + was_sent
    return Intent(id=intent_id, process=process.process, pod=process.pod, at=now, sends=sends, journal=process.journal)
