"""What the reply to `spec.probe` says of the access token. Pure. No text has a token in it, only numbers and names."""

from dataclasses import dataclass
from enum import StrEnum

from datasource.outbound.endpoint import UrlProblem

UNAUTHORIZED = 401
_FORBIDDEN = 403


class Why(StrEnum):
    """The reason of the condition Accepted."""

    ACCEPTED = "TokenAccepted"
    REFUSED = "TokenRefused"
    FORBIDDEN = "Forbidden"
    REDIRECTED = "Redirected"
    UNEXPECTED = "UnexpectedStatus"
    NO_ANSWER = "NoAnswer"
    UNUSABLE = "InvalidProbe"


class Remedy(StrEnum):
    """What the operator did about a 401, in words for the message."""

    REFRESHED = "It was refreshed for that, and is refused again."
    NO_REFRESH_TOKEN = "There is no refresh token to get another with."  # noqa: S105 - a text, not a token


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Whether the service accepts an access token, as far as that is known."""

    status: str
    """True, False or Unknown."""
    reason: Why
    message: str


def of_status(status: int, host: str, remedy: Remedy | None = None) -> Acceptance:
    """What the status of a reply means; `remedy` says what was done about a 401."""
    if 200 <= status < 300:
        return Acceptance("True", Why.ACCEPTED, f"{host} answered {status}: it accepts the access token.")
    if status == UNAUTHORIZED:
        done = f" {remedy}" if remedy else ""
        return Acceptance("False", Why.REFUSED, f"{host} answered 401: it does not accept the access token.{done}")
    if status == _FORBIDDEN:
        message = (
            f"{host} answered 403: the access token may not read that path. Look at the scopes, or at spec.probe.path."
        )
        return Acceptance("False", Why.FORBIDDEN, message)
    if 300 <= status < 400:
        message = f"{host} answered with a redirect ({status}), which is not followed with the token. Correct spec.probe.path."
        return Acceptance("Unknown", Why.REDIRECTED, message)
    message = f"{host} answered {status}, which says nothing about the access token. Is spec.probe.path right?"
    return Acceptance("Unknown", Why.UNEXPECTED, message)


def unusable(problem: UrlProblem) -> Acceptance:
    """spec.probe.path is not usable. Nothing is sent, because the token would go to an unintended URL."""
    return Acceptance("Unknown", Why.UNUSABLE, f"spec.probe.path {problem.problem}. {problem.remedy}")


def unanswered(why: str) -> Acceptance:
    """No answer came; `why` is a sentence."""
    return Acceptance("Unknown", Why.NO_ANSWER, f"No answer came to spec.probe. {why}")
