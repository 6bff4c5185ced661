"""The service where a person authorizes says no, says nothing, or says what cannot be used."""

import dataclasses
from datetime import timedelta
from http import HTTPStatus

from callback_server.refusals.refused import AGAIN, TELL, Kind, Refused
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
    """`access_denied` and its kin (RFC 6749 section 4.1.2.1)."""
    said = f"{error}: {description}" if description else error
    if error == "access_denied":
        return Refused(
            Kind.CONSENT_WAS_DENIED,
            "Consent was denied",
            f"The service answered {sentence(said)} Nothing was stored.",
            advice="You did not allow the access, or the service did not. If that was a mistake, try again.",
        )
    title, remedy, advice = "The service refused the request", _CORRECT_IT, TELL
    if error in {"temporarily_unavailable", "server_error"}:
        title, remedy = "The service is not ready", "Try again in a minute."
        advice = f"{AGAIN} If it stays so, tell whoever sent you the link."
    return Refused(
        Kind.THE_SERVICE_REFUSED_THE_REQUEST,
        title,
        f"The service answered {sentence(said)} Nothing was stored. {remedy}",
        advice=advice,
    )


_CORRECT_IT = "If it names a parameter, correct it in spec.oauth2 or in the application's registration."


def refused_without_state(error: str, description: str | None) -> Refused:
    """An error that belongs to nobody's authorization, as far as can be told.

    Nothing of ours was sent with it that could come back in its words, so they are only made fit for a page: that is cheap, and
    anybody may have written them.
    """
    words = f"{error}: {description.rstrip('.')}" if description else error
    said = printable(words[:_LONGEST_WORDS])
    return Refused(
        Kind.THE_SERVICE_REFUSED_WITHOUT_STATE,
        "The service refused the request",
        f"The service answered {said}. It did not say which authorization that is about, so nothing was changed and nothing "
        "was stored. If it names a parameter, correct it in spec.oauth2 or in the application's registration. Then open the "
        "Datasource's link again.",
        advice=TELL,
        is_miss=True,
    )


_LONGEST_WORDS = 400


def issuer_is_another(what: str) -> Refused:
    """RFC 9207: another authorization server may be playing a trick."""
    return Refused(
        Kind.THE_ANSWER_COMES_FROM_SOMEBODY_ELSE,
        "The answer comes from somebody else",
        f"{what} The code was not used and nothing was stored.",
        advice=TELL,
    )


def provider_is_silent(what: str) -> Refused:
    """The provider's metadata, on which an endpoint depends, cannot be read now."""
    return Refused(
        Kind.METADATA_CANNOT_BE_READ,
        "The service does not answer",
        f"The endpoints come from the metadata of spec.oauth2.issuer, and {what} Nothing was started.",
        HTTPStatus.BAD_GATEWAY,
        timedelta(seconds=60),
        advice=f"{AGAIN} If it stays so, tell whoever sent you the link.",
        can_try_again=True,
    )


def request_was_not_taken(error: OAuth2Error) -> Refused:
    """A pushed authorization request failed (RFC 9126 section 2.3): nothing was spent, nobody was sent anywhere."""
    if isinstance(error, InvalidClient | Unauthorized):
        return exchange_failed(error)
    title, message = _said_of_push(error)
    return Refused(
        Kind.PUSHED_REQUEST_WAS_REFUSED,
        title,
        message,
        HTTPStatus.BAD_GATEWAY,
        advice=f"{AGAIN} If it stays so, tell whoever sent you the link.",
        can_try_again=True,
    )


def _said_of_push(error: OAuth2Error) -> tuple[str, str]:
    if isinstance(error, EgressDenied):
        where = "spec.oauth2.pushedAuthorizationURL"
        return "The service may not be called", f"{where}: {_sentence(error)} Nothing was started."
    if isinstance(error, NotDelivered | Throttled | OutcomeUnknown | TemporarilyRefused):
        return "The service does not answer", (
            f"{_sentence(error)} That was the endpoint for pushed requests (spec.oauth2.pushedAuthorizationURL, or the "
            "metadata of spec.oauth2.issuer). Nothing was started."
        )
    return "The service refused the request", (
        f"{_sentence(error)} Nothing was started. {_CORRECT_IT} Where the service offers pushed requests and does not take "
        "ours, set spec.oauth2.pushedAuthorization to never."
    )


def exchange_failed(error: OAuth2Error, named_server: str | None = None) -> Refused:
    """The token endpoint did not give tokens; what to do follows from the class of the error.

    Args:
        error: what came of the request.
        named_server: where the service says that the account is kept.
    """
    refused = _exchange_failed(error)
    if named_server is None:
        return refused
    return dataclasses.replace(
        refused,
        message=f"{refused.message} The service names {named_server} as the server of this account: if that is not the host of "
        "spec.oauth2.tokenURL, the account may be kept in another data centre. Nothing was sent there. spec.oauth2.tokenURLs "
        "can list the token URLs of all data centres.",
    )


def _exchange_failed(error: OAuth2Error) -> Refused:
    match error:
        case Unauthorized():
            return Refused(
                Kind.THE_SERVICE_DOES_NOT_ACCEPT_THE_REQUEST,
                "The service does not accept the request",
                f"{_sentence(error)} Nothing was stored. Compare spec.oauth2.clientID, the client Secret and "
                "spec.oauth2.clientAuthentication with the application's registration. If they are right, it is the code "
                "that is not accepted: try again.",
                HTTPStatus.BAD_GATEWAY,
                advice=TELL,
            )
        case TemporarilyRefused():
            return Refused(
                Kind.THE_SERVICE_ASKS_FOR_PATIENCE,
                "The service asks for patience",
                f"{_sentence(error)} Nothing was stored. Try again in a minute.",
                HTTPStatus.BAD_GATEWAY,
                advice=f"{AGAIN} If it stays so, tell whoever sent you the link.",
            )
        case InvalidClient():
            return Refused(
                Kind.THE_SERVICE_DOES_NOT_ACCEPT_THE_CLIENT,
                "The service does not accept the client",
                f"{_sentence(error)} Compare spec.oauth2.clientID, the client Secret and "
                "spec.oauth2.clientAuthentication with the application's registration, then try again.",
                HTTPStatus.BAD_GATEWAY,
                advice=TELL,
            )
        case InvalidGrant():
            return Refused(
                Kind.THE_SERVICE_DOES_NOT_ACCEPT_THE_CODE,
                "The service does not accept the code",
                f"{_sentence(error)} A code works once and for a short time, and the redirect URI must be registered exactly "
                "as shown. Try again.",
                HTTPStatus.BAD_GATEWAY,
                advice="Please try again. If it stays so, tell whoever sent you the link.",
            )
        case EgressDenied():
            return Refused(
                Kind.THE_TOKEN_URL_MAY_NOT_BE_CALLED,
                "The token URL may not be called",
                f"spec.oauth2.tokenURL: {error} Nothing was stored.",
                HTTPStatus.BAD_GATEWAY,
                advice=TELL,
            )
        case NotDelivered() | Throttled() | OutcomeUnknown() if not isinstance(error, ReplyTooLarge):
            return Refused(
                Kind.THE_SERVICE_DOES_NOT_ANSWER,
                "The service does not answer",
                f"{_sentence(error)} Nothing was stored. Check spec.oauth2.tokenURL, or try again in a minute.",
                HTTPStatus.BAD_GATEWAY,
                advice=f"{AGAIN} If it stays so, tell whoever sent you the link.",
            )
        case _:
            return Refused(
                Kind.THE_SERVICES_ANSWER_CANNOT_BE_USED,
                "The service's answer cannot be used",
                f"{_sentence(error)} Nothing was stored. Check spec.oauth2.tokenURL and the application's registration.",
                HTTPStatus.BAD_GATEWAY,
                advice=TELL,
            )


def _sentence(error: OAuth2Error) -> str:
    """What a provider said ends as it likes; a sentence of ours may follow."""
    return sentence(str(error))
