"""I/O: write onto a credential Secret what somebody who has signed in asks for at a page."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from datasource.api.clock import Now
from datasource.api.objects import PartialObject
from datasource.cluster.api_errors import Unavailable
from datasource.cluster.credential_secrets import CredentialSecrets, Found, Stale
from datasource.records.contents import Readable, StoredCredential
from datasource.records.credential import Unreadable
from datasource.records.link_keys import LinkKeys
from datasource.records.page_request import PageRequest, RequestKind, page_request, page_request_patch

_TRIES = 5
"""Somebody labels the Secret, or a refresh is stored, between our read and our write: that happens, but not for ever."""


class NotAsked(Enum):
    """Why a request was not written. Nothing was done."""

    NO_CREDENTIAL = auto()
    """There is none of this Datasource: it was cleared, is being deleted, or somebody else's Secret has its name."""
    UNREADABLE = auto()
    """Somebody altered the Secret."""
    REPLACED = auto()
    """It is another credential than the one that the person saw."""
    CLEAR_IS_PENDING = auto()
    """It is to be cleared already."""
    NO_REFRESH_TOKEN = auto()
    """There is none, or a dead one: only a new credential helps."""


@dataclass(frozen=True, slots=True)
class PageRequests:
    """Asks the operator for a clear or a refresh, by the one write that the callback server may do."""

    credential_secrets: CredentialSecrets
    now: Now
    link_keys: Callable[[], LinkKeys]
    """The keys that there are at this moment."""
    token_bytes: Callable[[int], bytes] = field(default=secrets.token_bytes, repr=False)

    async def ask(
        self, place: tuple[str, str], kind: RequestKind, *, owner: str, user: str, seen: str
    ) -> PageRequest | NotAsked:
        """Write a request; returns what stands then, which is somebody else's where they asked for the same before.

        Args:
            place: namespace and name of the Datasource.
            kind: what is asked for. A clear takes the place of a refresh that was not begun yet.
            owner: uid of the Datasource.
            user: who asks, with the rights to do so.
            seen: ID of the credential that the person saw.

        Raises:
            Stale: others write there all the time.
            ApiError, Unavailable: the API server refused or did not answer.
            ValueError: nobody is called that.
        """
        asked = page_request(kind, user=user, credential_id=seen, now=self.now(), token_bytes=self.token_bytes)
        request = asked.marked(self.link_keys(), place)
        for _ in range(_TRIES):
            found = _about(await self.credential_secrets.facts(*place, owner=owner), request)
            if not isinstance(found, StoredCredential):
                return found
            patch = page_request_patch(request, resource_version=found.resource_version)
            try:
                await self.credential_secrets.swap(*place, patch, PartialObject)
            except Stale:
                continue
            except Unavailable:
                if await self._stands(place, owner, request):
                    return request
                raise
            return request
        raise Stale("others write the credential Secret all the time")

    async def _stands(self, place: tuple[str, str], owner: str, request: PageRequest) -> bool:
        """Whether a write whose answer was lost arrived: it stands there, or was acted on."""
        found = await self.credential_secrets.facts(*place, owner=owner)
        if not isinstance(found, Readable):
            return False
        is_waiting = isinstance(found, StoredCredential) and found.facts.page_request == request
        return is_waiting or found.facts.history == request.id


def _about(found: Found, request: PageRequest) -> StoredCredential | PageRequest | NotAsked:
    """What to write it onto, or why there is nothing to write."""
    if isinstance(found, Unreadable):
        return NotAsked.UNREADABLE
    if not isinstance(found, StoredCredential):
        return NotAsked.NO_CREDENTIAL
    facts = found.facts
    if facts.credential_id != request.credential:
        return NotAsked.REPLACED
    before = facts.page_request
    if before is not None and before.kind is request.kind:
        return before
    if request.kind is RequestKind.CLEAR:
        return found
    if before is not None:
        return NotAsked.CLEAR_IS_PENDING
    return found if facts.has_refresh_token and facts.verdict is None else NotAsked.NO_REFRESH_TOKEN
