"""Pure: the errors of requests to the API server: it refused, or it did not answer."""

import re
from collections.abc import Mapping
from datetime import timedelta

import msgspec


class ApiError(Exception):
    """The API server refused; `status` is HTTP's, `reason` Kubernetes' (metav1.Status)."""

    def __init__(self, status: int, reason: str, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class NotFound(ApiError):
    """404."""


class Forbidden(ApiError):
    """403: RBAC or a quota; or somebody's webhook or policy, which choose the status of what they refuse."""


class Conflict(ApiError):
    """409: it exists already, or somebody wrote meanwhile."""


class Invalid(ApiError):
    """400, 413 or 422: the API server does not accept the object, for example because it is immutable."""


class Expired(ApiError):
    """410: the resourceVersion is too old to go on from."""


class Unavailable(Exception):
    """No answer came, or one that does not say what happened. A write may have been done: read again to know."""

    retry_after: timedelta | None = None
    """As an ApiError has it; nobody asked for a pause here."""


_ERRORS: Mapping[int, type[ApiError]] = {
    400: Invalid,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Expired,
    413: Invalid,
    422: Invalid,
}

_OF_ADMISSION = re.compile(
    r"""\Aadmission\ webhook\ "[^"]*"\ denied\ the\ request
    | \ is\ forbidden:\ ValidatingAdmissionPolicy\ '[^']*'\ with\ binding\ '[^']*'\ denied\ request""",
    re.VERBOSE,
)
"""How the API server begins what it passes on. A webhook that refuses with 409 was no conflict, and one with 503 no outage."""


class Status(msgspec.Struct):
    """What a refusal says (metav1.Status)."""

    reason: str = ""
    message: str = ""
    code: int = 0


def api_error(code: int, status: Status, retry_after: str | None = None) -> ApiError:
    """The error of a refusal; `retry_after` is the header, which counts where it is a number of seconds."""
    seconds = re.fullmatch("[0-9]{1,9}", retry_after or "")
    wait = None if seconds is None else timedelta(seconds=int(seconds[0]))
    kind = _ERRORS.get(code, ApiError)
    if kind is not Invalid and _OF_ADMISSION.search(status.message) is not None:
        kind = Forbidden
    return kind(code, status.reason, status.message, wait)


def refusal(code: int, content: bytes, retry_after: str | None) -> ApiError:
    """The error of an unsuccessful answer. It need not be the API server that answered: a proxy may stand between."""
    try:
        status = msgspec.json.decode(content, type=Status)
    except (ValueError, RecursionError):
        status = Status(message=content[:200].decode(errors="replace"))
    return api_error(code, status, retry_after)
