"""Intents: who is about to send a refresh token, written onto the credential Secret before it is sent.

An intent that is found later says that a request may be on its way, or that its sender died with the answer. Who may then
send the old refresh token again, and when, is decided here.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from datasource.api.clock import Moment

REQUEST_DEADLINE = timedelta(seconds=20)
"""How long a token request may take in all."""

TAKEOVER_AFTER = REQUEST_DEADLINE + timedelta(seconds=15)
"""How long a stranger's intent must be seen unchanged: by then its sender is not waiting for an answer any more."""


SLOWEST_START = timedelta(seconds=5)
"""Where it took longer to write an intent, nothing is sent: others count from when it stood there, not from our request. What
is left of TAKEOVER_AFTER is for a process that the machine holds up."""


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

    def encode(self) -> str:
        """The value of the `datasource.dev/intent` annotation: JSON."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def decode(cls, text: str) -> "Intent":
        """Read what `encode` wrote.

        Raises:
            msgspec.MsgspecError: somebody altered it.
        """
        return msgspec.json.decode(text, type=cls)


@dataclass(frozen=True, slots=True)
class Process:
    """This process, as intents name it."""

    process: str
    pod: str


def may_be_taken(intent: Intent | None, process: Process, *, seen_unchanged: timedelta) -> bool:
    """Whether this process may send the refresh token.

    Our own intent was left by a request whose outcome we never learnt, and one of an earlier process of our pod by a process
    that is dead. Anybody else may be waiting for the answer right now.
    """
    if intent is None or intent.process == process.process or intent.pod == process.pod:
        return True
    return seen_unchanged >= TAKEOVER_AFTER


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
    return Intent(id=intent_id, process=process.process, pod=process.pod, at=now, sends=sends)
