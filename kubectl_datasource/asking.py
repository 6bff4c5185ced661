"""`clear` and `refresh`: requests by annotation, each with a value of its own, and when they are handled. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from datasource.api.clock import rfc3339
from datasource.api.names import Annotation
from datasource.api.objects import HandledEcho
from datasource.api.states import Reason, State
from kubectl_datasource.exits import Exit
from kubectl_datasource.objects import Datasource
from kubectl_datasource.waiting import Ended, Going, in_the_way, is_suspended, state_and_reason, why_not
from kubectl_datasource.words import relative

TRIED_WITHIN = timedelta(seconds=90)
"""How long it takes at most until the operator tries a requested refresh after a failure: it pauses for a minute."""


def new_value(now: datetime, random: bytes) -> str:
    """A value that no request had before: a request acts once per value. The time is for whoever reads it later."""
    return f"{rfc3339(now)}-{random.hex()}"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of one Datasource, as it was when it was asked."""

    annotation: Annotation
    value: str
    before: Datasource
    judge_handled: Callable[["Request", Datasource], Ended]
    judge_waiting: Callable[["Request", Datasource], Ended | None] = lambda _request, _datasource: None
    """Whether a request that is not handled yet will not be handled soon."""

    def judge(self, datasource: Datasource) -> Going | Ended:
        """Until the operator echoes the value in `status.handled`."""
        if datasource.metadata.uid != self.before.metadata.uid:
            return Ended(Exit.NOT_AS_WANTED, f"{datasource.place} was deleted meanwhile.")
        if self._echo(datasource.status.handled or HandledEcho()) == self.value:
            return self.judge_handled(self, datasource)
        if datasource.metadata.annotations.get(self.annotation) != self.value:
            return Ended(
                Exit.NOT_AS_WANTED,
                f"The annotation {self.annotation} of {datasource.place} was changed or removed meanwhile. A GitOps pipeline "
                "that owns it may have done that.",
            )
        ended = self.judge_waiting(self, datasource)
        if ended is not None:
            return ended
        text = f"waiting for the operator to handle it; {datasource.place} is {state_and_reason(datasource)}"
        return Going(text, in_the_way(datasource))

    def _echo(self, handled: HandledEcho) -> str | None:
        echoes = {
            Annotation.CLEAR_CREDENTIAL: handled.clear_credential,
            Annotation.NEW_CREDENTIAL: handled.new_credential,
            Annotation.REFRESH: handled.refresh,
        }
        return echoes[self.annotation]


def clear(before: Datasource, value: str) -> Request:
    """Delete the stored tokens, keep the parameters."""
    return Request(Annotation.CLEAR_CREDENTIAL, value, before, _cleared)


def refresh(before: Datasource, value: str, now: Callable[[], datetime]) -> Request | Ended:
    """Refresh now; without a credential there is nothing to ask for."""
    if before.status.state in {State.NOT_AUTHORIZED, State.NOT_CONFIGURED}:
        return Ended(Exit.NOT_AS_WANTED, why_not(before))
    if before.is_suspended:
        return is_suspended(before)
    asked_at = now()
    return Request(
        Annotation.REFRESH,
        value,
        before,
        lambda request, after: _refreshed(request, after, now()),
        lambda request, after: _rejected(request, after, now() - asked_at),
    )


def _cleared(request: Request, after: Datasource) -> Ended:
    if after.status.state == State.AUTHORIZED:
        # Somebody went through the link in between.
        return Ended(Exit.FINE, f"{after.place} was cleared; another credential is stored already.")
    return Ended(Exit.FINE, f"{after.place} is cleared: {state_and_reason(after)}.")


def _rejected(request: Request, after: Datasource, waited: timedelta) -> Ended | None:
    """A client that the provider rejects ends the wait. If it was rejected before, the operator first tries once more."""
    was_rejected_before = request.before.reason == Reason.CLIENT_REJECTED
    if after.reason != Reason.CLIENT_REJECTED or (was_rejected_before and waited < TRIED_WITHIN):
        return None
    return Ended(
        Exit.NOT_AS_WANTED, f"{why_not(after)} The request stays: the operator refreshes once that is corrected."
    )


def _refreshed(request: Request, after: Datasource, now: datetime) -> Ended:
    if after.status.state != State.AUTHORIZED:
        return Ended(Exit.NOT_AS_WANTED, why_not(after))
    if after.status.refreshed_at == request.before.status.refreshed_at:
        return Ended(
            Exit.NOT_AS_WANTED,
            f"{after.place} was not refreshed: the service gave no refresh token. A person has to get a new credential. With "
            f"OpenID Connect, first add the scope offline_access. Then type: "
            f"kubectl datasource authorize {after.metadata.name} -n {after.metadata.namespace} --new",
        )
    end = "" if after.expires_at is None else f"; the access token expires {relative(after.expires_at, now)}"
    return Ended(Exit.FINE, f"{after.place} was refreshed{end}.")
