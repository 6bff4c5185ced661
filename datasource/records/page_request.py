"""A clear or a refresh that a person requested at a page, as an annotation of the credential Secret. Pure.

The callback server may not edit Datasources. So it writes the request to the credential Secret. The operator acts on it as on
an annotation of the Datasource. The request names one credential, and the write that acts on the request removes it. So it acts
once, even after a restart, and never on a later credential.
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
"""Characters of a user's name. A sign-in accepts no longer name."""

_LARGEST = 8 * LONGEST_USER
"""Characters of the annotation. JSON may need six characters for one of a name."""

_ID = re.compile("[0-9a-f]{32}")


class RequestKind(StrEnum):
    """What the person requests."""

    CLEAR = "clear"
    REFRESH = "refresh"


class PageRequest(msgspec.Struct, frozen=True):
    """One request. `credential` is the ID of the credential that it is about. `mark` shows that our callback server made it."""

    kind: RequestKind
    id: str
    time: Moment
    user: str
    credential: str
    mark: str = ""

    def marked(self, keys: LinkKeys, place: tuple[str, str]) -> "PageRequest":
        """The same request with a mark by the newest link key, for the Datasource of that namespace and name.

        The operator can check it at once, because it made that key.
        """
        key = keys.newest()
        mark = "" if key is None else key.mark(Purpose.REQUEST, self._marked_text(place))
        return msgspec.structs.replace(self, mark=mark)

    def by(self, keys: LinkKeys, place: tuple[str, str], now: datetime) -> str:
        """The person who requested it, as the history shows it. Without a mark of ours, it is `unproven`."""
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
        """Read what `encode` of any version wrote; None for a request that was altered."""
        if len(text) > _LARGEST:
            return None
        try:
            request = msgspec.json.decode(text, type=cls)
        except (ValueError, RecursionError):
            return None
        return request if _ID.fullmatch(request.id) and is_user(request.user) else None


def is_user(name: str) -> bool:
    """Whether a user's name is valid: neither empty nor too long, and without control characters."""
    return 0 < len(name) <= LONGEST_USER and name.isprintable()


def page_request(
    kind: RequestKind, *, user: str, credential_id: str, now: datetime, token_bytes: Callable[[int], bytes]
) -> PageRequest:
    """A request of a person who has signed in.

    Raises:
        ValueError: the user's name is not valid.
    """
    if not is_user(user):
        raise ValueError("a user's name has 1 to 1,024 characters, none of them a control character")
    return PageRequest(kind=kind, id=token_bytes(16).hex(), time=now, user=user, credential=credential_id)


def page_request_patch(request: PageRequest, *, resource_version: str) -> dict[str, Any]:
    """The merge patch that writes a request to a credential Secret. It fails with 409 if the Secret changed meanwhile."""
    annotations = {Annotation.PAGE_REQUEST: request.encode()}
    return {"metadata": {"resourceVersion": resource_version, "annotations": annotations}}
