"""What the log stream `audit` records about people at their pages: sign-ins, sign-outs, denials and requests."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from datasource.oauth2.kubernetes_user import User
from datasource.process.audit import AuditLine, AuditLog
from datasource.records.history import Act, by_user
from datasource.records.page_request import PageRequest, RequestKind

SIGNED_IN, SIGNED_OUT, DENIED = "SignIn", "SignOut", "Denied"
ASKED = "Asked"

_ACTS = {RequestKind.CLEAR: Act.CLEAR, RequestKind.REFRESH: Act.REFRESH}


@dataclass(frozen=True, slots=True)
class Trail:
    """Writes the lines."""

    log: AuditLog
    now: Callable[[], datetime]
    token_bytes: Callable[[int], bytes] = field(default=secrets.token_bytes, repr=False)

    def came_in(self, user: User) -> None:
        """A person signed in."""
        self._tell(SIGNED_IN, user)

    def went_out(self, user: User) -> None:
        """A person signed out."""
        self._tell(SIGNED_OUT, user)

    def denied(self, user: User, verb: str, namespace: str | None, name: str | None) -> None:
        """A person lacked a right."""
        self._tell(DENIED, user, namespace=namespace or "", datasource=name or "", verb=verb)

    def asked(self, request: PageRequest, place: tuple[str, str]) -> None:
        """A person requested a clear or a refresh. The operator logs the result with the ID of the request."""
        act, by = _ACTS[request.kind], by_user(request.user)
        self.log.tell(AuditLine(f"{request.id}/asked", request.time, act, by, ASKED, *place))

    def _tell(self, event: str, user: User, **where: str) -> None:
        line_id = self.token_bytes(16).hex()
        self.log.tell(AuditLine(line_id, self.now(), event, by_user(user.name), **where))
