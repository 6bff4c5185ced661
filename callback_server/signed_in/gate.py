"""I/O: the last look at who authorizes: a flow ends with the person it began with, and with the rights of that very moment."""

from dataclasses import dataclass

from callback_server import refusals
from callback_server.signed_in.rights import Rights, Verb
from callback_server.situation import Situation
from datasource.records.contents import StoredCredential
from datasource.records.flow import Flow
from datasource.records.standing import gives_way

_TO_GET_ONE = (Verb.GET, Verb.AUTHORIZE)


@dataclass(frozen=True, slots=True)
class Gate:
    """Stands before the code of whoever signed in; a flow that began with a link's ticket passes."""

    rights: Rights

    async def before_code(self, flow: Flow, situation: Situation) -> None:
        """Ask once more, of the user in the record: the session may have ended meanwhile.

        Raises:
            Refused: the right was taken away.
            ApiError, Unavailable: it is not known; the code is not spent.
        """
        if flow.user is None:
            return
        for verb in _needed_at_the_end(flow, situation):
            if not await self.rights.allows(flow.user, verb, flow.namespace, flow.name, anew=True):
                self.rights.trail.denied(flow.user, verb, flow.namespace, flow.name)
                raise refusals.right_was_taken_away(flow.user.name, verb, flow.namespace)


def _needed_at_the_end(flow: Flow, situation: Situation) -> tuple[Verb, ...]:
    """An import that gives way was not there when the flow began. Whoever needed no right to replace then needs none now."""
    if not flow.replaces and gives_way(situation.credential, flow.replaces):
        return _TO_GET_ONE
    return needed(situation)


def needed(situation: Situation) -> tuple[Verb, ...]:
    """What it takes to get a credential there: one that stands is somebody's, and is replaced by who may change it."""
    replaces = isinstance(situation.credential, StoredCredential)
    return (*_TO_GET_ONE, *((Verb.PATCH,) if replaces else ()))
