"""What somebody asked for at a page, as an annotation of the credential Secret: a clear, or a refresh. Pure.

The callback server may not edit Datasources. So it writes the request onto the credential Secret, and the operator acts on it
as on an annotation of the Datasource. It is about the one credential that it names, and goes with the write that acts on it:
so it acts once, whatever restarts, and never on a credential that was obtained after it.
"""

import re
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from datasource.api.clock import Moment, rfc3339
from datasource.api.names import Annotation
from datasource.records.history import By, by_user
from datasource.records.link_keys import LinkKeys, Origin, Purpose

LONGEST_USER = 1024
"""Characters of a user's name; a sign-in takes no longer one."""

_LARGEST = 8 * LONGEST_USER
"""Characters of the annotation: four of a name may take six each, as JSON spells them."""

_ID = re.compile("[0-9a-f]{32}")


class RequestKind(StrEnum):
    """What is asked for."""

    CLEAR = "clear"
    REFRESH = "refresh"


class PageRequest(msgspec.Struct, frozen=True):
    """One request. `credential` is the ID of the credential that it is about; `mark` says that our callback server made it."""

    kind: RequestKind
    id: str
    time: Moment
    user: str
    credential: str
    mark: str = ""

    def marked(self, keys: LinkKeys, place: tuple[str, str]) -> "PageRequest":
        """The same with a mark of the newest key, for the Datasource of that namespace and name: the operator made that key."""
        key = keys.newest()
        mark = "" if key is None else key.mark(Purpose.REQUEST, self._marked_text(place))
        return msgspec.structs.replace(self, mark=mark)

    def by(self, keys: LinkKeys, place: tuple[str, str], now: datetime) -> str:
        """Who asked, as the history tells it. Whoever may edit the Secret may ask, but in nobody's name."""
        origin = keys.origin(Purpose.REQUEST, self._marked_text(place), self.mark, now)
        return by_user(self.user) if origin is Origin.OURS else By.UNPROVEN

    def _marked_text(self, place: tuple[str, str]) -> str:
        told = (*place, self.credential, self.kind, self.id, rfc3339(self.time), self.user)
        return msgspec.json.encode(told).decode()

    def encode(self) -> str:
        """The value of the `datasource.dev/page-request` annotation: JSON."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def decode(cls, text: str) -> "PageRequest | None":
        """Read what `encode` wrote, of this version or another; what somebody altered asks for nothing."""
        if len(text) > _LARGEST:
            return None
        try:
            request = msgspec.json.decode(text, type=cls)
        except (ValueError, RecursionError):
            return None
        return request if _ID.fullmatch(request.id) and is_user(request.user) else None


def is_user(name: str) -> bool:
    """Whether a user may be called that: neither empty nor too long, and no control characters."""
    return 0 < len(name) <= LONGEST_USER and name.isprintable()


def page_request(
    kind: RequestKind, *, user: str, credential_id: str, now: datetime, token_bytes: Callable[[int], bytes]
) -> PageRequest:
    """A request of somebody who has signed in.

    Raises:
        ValueError: nobody is called that.
    """
    if not is_user(user):
        raise ValueError("a user's name has 1 to 1,024 characters, none of them a control character")
    return PageRequest(kind=kind, id=token_bytes(16).hex(), time=now, user=user, credential=credential_id)


def page_request_patch(request: PageRequest, *, resource_version: str) -> dict[str, Any]:
    """The merge patch that writes it onto a credential Secret, or fails with 409 if anybody wrote meanwhile."""
    annotations = {Annotation.PAGE_REQUEST: request.encode()}
    return {"metadata": {"resourceVersion": resource_version, "annotations": annotations}}
