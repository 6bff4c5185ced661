"""I/O: the last check before a code is spent: whether the person who began the flow still has the rights for it."""

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
    """Checks the rights of a person who signed in before their code is spent. A flow that began with a ticket passes."""

    rights: Rights

    async def before_code(self, flow: Flow, situation: Situation) -> None:
        """Ask the API server again about the user in the flow record. The session of that user may have ended meanwhile.

        Raises:
            Refused: the user no longer has the right.
            ApiError, Unavailable: the rights are not known. The code is not spent.
        """
        if flow.user is None:
            return
        for verb in _needed_at_the_end(flow, situation):
            if not await self.rights.allows(flow.user, verb, flow.namespace, flow.name, anew=True):
                self.rights.trail.denied(flow.user, verb, flow.namespace, flow.name)
                raise refusals.right_was_taken_away(flow.user.name, verb, flow.namespace)


def _needed_at_the_end(flow: Flow, situation: Situation) -> tuple[Verb, ...]:
    """The verbs that the user needs now. To replace an import that gives way, `patch` is not needed.

    Such an import was stored after the flow began. When the flow began, there was nothing to replace, and no right for that was
    needed.
    """
    if not flow.replaces and gives_way(situation.credential, flow.replaces):
        return _TO_GET_ONE
    return needed(situation)


def needed(situation: Situation) -> tuple[Verb, ...]:
    """The verbs that a person needs to get a credential. To replace a stored credential, `patch` is needed, too."""
    replaces = isinstance(situation.credential, StoredCredential)
    return (*_TO_GET_ONE, *((Verb.PATCH,) if replaces else ()))
