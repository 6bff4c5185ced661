"""The service where a person authorizes refuses, does not answer, or sends an answer that cannot be used."""

import dataclasses
from datetime import timedelta
from http import HTTPStatus

from callback_server.language import Text, Words, text
from callback_server.refusals.refused import AGAIN_OR_TELL, CORRECT_IT, TELL, TRY_OR_TELL, Kind, Refused, worded
from datasource.oauth2.errors import (
    EgressDenied,
    InvalidClient,
    InvalidGrant,
    NotDelivered,
    OAuth2Error,
    OutcomeUnknown,
    ReplyTooLarge,
    TemporarilyRefused,
    Throttled,
    Unauthorized,
)
from datasource.outbound.printable import printable, sentence


def consent_was_denied(error: str, description: str | None) -> Refused:
    """The provider sent an error instead of a code, such as `access_denied` (RFC 6749 section 4.1.2.1)."""
    error = error.strip()
    said = Words(sentence(f"{error}: {description}" if description else error))
    # Services write errors in upper or lower case. No service has two that differ only in that.
    meant = error.lower()
    if meant in _A_PERSON_SAID_NO:
        return worded(Kind.CONSENT_WAS_DENIED, said=said)
    kind = Kind.THE_SERVICE_REFUSED_THE_REQUEST
    if meant in {"temporarily_unavailable", "server_error"}:
        refused = worded(kind, advice=AGAIN_OR_TELL, said=said, remedy=text(f"{kind}.in_a_minute"))
        return dataclasses.replace(refused, title=text(f"{kind}.not_ready"))
    return worded(kind, advice=TELL, said=said, remedy=CORRECT_IT)


_A_PERSON_SAID_NO = frozenset(
    {
        "access_denied",
        "consent_denied",
        "user_canceled",
        "user_cancelled",
        "user_cancelled_authorize",
        "user_cancelled_login",
        "user_denied",
    }
)
"""The error of the standard, and those of services. LinkedIn has two, one for each of its pages."""


def refused_without_state(error: str, description: str | None) -> Refused:
    """The provider sent an error without a `state`, so we do not know which authorization it belongs to.

    A stranger may have written its text. It cannot contain anything that we sent. So the text is only made printable, which is
    cheap.
    """
    words = f"{error}: {description.rstrip('.')}" if description else error
    said = Words(printable(words[:_LONGEST_WORDS]))
    return worded(Kind.THE_SERVICE_REFUSED_WITHOUT_STATE, advice=TELL, is_miss=True, said=said, remedy=CORRECT_IT)


_LONGEST_WORDS = 400


def issuer_is_another(what: str) -> Refused:
    """The answer names another issuer than the expected one. Another provider may be attacking (RFC 9207)."""
    return worded(Kind.THE_ANSWER_COMES_FROM_SOMEBODY_ELSE, advice=TELL, what=Words(what))


def provider_is_silent(what: str) -> Refused:
    """An endpoint depends on the provider's metadata, which cannot be read now."""
    return worded(
        Kind.METADATA_CANNOT_BE_READ,
        HTTPStatus.BAD_GATEWAY,
        timedelta(seconds=60),
        advice=AGAIN_OR_TELL,
        can_try_again=True,
        what=Words(what),
    )


def request_was_not_taken(error: OAuth2Error) -> Refused:
    """A pushed authorization request failed (RFC 9126 section 2.3). No code was spent, and the browser was not redirected."""
    if isinstance(error, InvalidClient | Unauthorized):
        return exchange_failed(error)
    kind = Kind.PUSHED_REQUEST_WAS_REFUSED
    title, message = _said_of_push(kind, error)
    return Refused(kind, title, message, HTTPStatus.BAD_GATEWAY, advice=AGAIN_OR_TELL, can_try_again=True)


def _said_of_push(kind: Kind, error: OAuth2Error) -> tuple[Text, Text]:
    what = _sentence(error)
    if isinstance(error, EgressDenied):
        return text(f"{kind}.may_not_be_called"), text(f"{kind}.may_not_be_called_message", what=what)
    if isinstance(error, NotDelivered | Throttled | OutcomeUnknown | TemporarilyRefused):
        return text(f"{kind}.silent"), text(f"{kind}.silent_message", what=what)
    return text(f"{kind}.refused"), text(f"{kind}.refused_message", what=what, remedy=CORRECT_IT)


def exchange_failed(error: OAuth2Error, named_server: str | None = None) -> Refused:
    """The token endpoint gave no tokens. The class of the error decides what the page advises.

    Args:
        error: the result of the request.
        named_server: the server that the service names for the account.
    """
    refused = _exchange_failed(error)
    if named_server is None:
        return refused
    message = text("common.named_server", message=refused.message, server=named_server)
    return dataclasses.replace(refused, message=message)


def _exchange_failed(error: OAuth2Error) -> Refused:
    kind, advice = _kind_of(error)
    return worded(kind, HTTPStatus.BAD_GATEWAY, advice=advice, what=_sentence(error))


def _kind_of(error: OAuth2Error) -> tuple[Kind, Text]:
    """The kind of the refusal, and what the person can do."""
    match error:
        case Unauthorized():
            return Kind.THE_SERVICE_DOES_NOT_ACCEPT_THE_REQUEST, TELL
        case TemporarilyRefused():
            return Kind.THE_SERVICE_ASKS_FOR_PATIENCE, AGAIN_OR_TELL
        case InvalidClient():
            return Kind.THE_SERVICE_DOES_NOT_ACCEPT_THE_CLIENT, TELL
        case InvalidGrant():
            return Kind.THE_SERVICE_DOES_NOT_ACCEPT_THE_CODE, TRY_OR_TELL
        case EgressDenied():
            return Kind.THE_TOKEN_URL_MAY_NOT_BE_CALLED, TELL
        case NotDelivered() | Throttled() | OutcomeUnknown() if not isinstance(error, ReplyTooLarge):
            return Kind.THE_SERVICE_DOES_NOT_ANSWER, AGAIN_OR_TELL
        case _:
            return Kind.THE_SERVICES_ANSWER_CANNOT_BE_USED, TELL


def _sentence(error: OAuth2Error) -> Words:
    """The provider's words, made into a sentence. A sentence of ours may follow."""
    return Words(sentence(str(error)))
