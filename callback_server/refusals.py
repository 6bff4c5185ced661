"""Why a request of a person cannot go on, in words that tell what to do. Safe to show: no code, token or secret in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

from datasource.oauth2 import (
    EgressDenied,
    InvalidClient,
    InvalidGrant,
    NotDelivered,
    OAuth2Error,
    OutcomeUnknown,
    Throttled,
)


@dataclass
class Refused(Exception):
    """Shown as a page of its own, or, once there is a flow record, as the outcome of the flow."""

    title: str
    message: str
    status: HTTPStatus = HTTPStatus.BAD_REQUEST
    retry_after: timedelta | None = None
    command: str | None = None
    """What to type."""
    is_miss: bool = False
    """Whether strangers can bring it about by guessing: answered so often and no more."""


_FIND_THE_LINK = "kubectl get datasource NAME -o jsonpath='{.status.authorizationLink}'"


def page_not_found() -> Refused:
    """There is no such page."""
    return Refused(
        "There is no such page",
        "The link that leads to a Datasource's page stands in its status:",
        HTTPStatus.NOT_FOUND,
        command=_FIND_THE_LINK,
        is_miss=True,
    )


def link_has_ended() -> Refused:
    """One answer for every link that is not live, so that a stranger learns nothing from it."""
    return Refused(
        "This link has ended",
        "A link works once. It ends when a credential was obtained with it, when the credential was cleared and when the "
        "OAuth2 parameters were changed. If the Datasource still needs a person, its current link stands in its status:",
        HTTPStatus.NOT_FOUND,
        command=_FIND_THE_LINK,
        is_miss=True,
    )


def too_many_misses(retry_after: timedelta) -> Refused:
    """Links and answers that are not valid come in great numbers, from whomever."""
    return Refused(
        "Too many requests that lead nowhere",
        "This link or answer is not valid, and many more such requests are coming in. A valid link still works: take the "
        "current one from the Datasource's status:",
        HTTPStatus.TOO_MANY_REQUESTS,
        retry_after,
        command=_FIND_THE_LINK,
    )


def busy(retry_after: timedelta) -> Refused:
    """More at one time than this server does."""
    return Refused(
        "Too much at once",
        "More authorizations are going on at this moment than this server takes on. Nothing was changed and nothing is lost: "
        f"reload this page in {max(1, round(retry_after.total_seconds()))} s.",
        HTTPStatus.TOO_MANY_REQUESTS,
        retry_after,
    )


def try_again_later() -> Refused:
    """The API server does not answer."""
    return Refused(
        "The cluster does not answer",
        "The Kubernetes API server could not be reached, so nothing was changed. Try again in a minute.",
        HTTPStatus.SERVICE_UNAVAILABLE,
        timedelta(seconds=30),
    )


def something_went_wrong() -> Refused:
    """A bug of ours."""
    return Refused(
        "Something went wrong",
        "This should not happen. Look at the Datasource's state before you try again; the logs of the callback server have "
        "details.",
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )


def cookie_is_missing() -> Refused:
    """Without our cookie nobody can tell whether the same browser comes back."""
    return Refused(
        "This is not the browser that began",
        "An authorization must be finished in the browser in which it began, with cookies allowed. "
        "Open the Datasource's link again and go through it in one browser.",
        HTTPStatus.FORBIDDEN,
        is_miss=True,
    )


def cookie_is_not_ours() -> Refused:
    """The browser sends our cookie's name twice or in another spelling: whose authorization this is cannot be told."""
    return Refused(
        "A cookie of another site is in the way",
        "Delete this browser's cookies for this site and for its whole domain, or use a private window. Then open the "
        "Datasource's link again. Another site of the domain set a cookie that looks like ours: with it, you could be made to "
        "authorize what somebody else began. Nothing was started and nothing was stored. Tell whoever runs the cluster: that "
        "site may be in wrong hands.",
        HTTPStatus.FORBIDDEN,
        is_miss=True,
    )


def form_is_not_ours() -> Refused:
    """Another site's form, or a page that is out of date."""
    return Refused(
        "This page is out of date",
        "The request did not come from a current page of ours: the Datasource was changed since the page was opened, or "
        "another site tried to start it for you. Nothing was started. Open the Datasource's link again.",
        HTTPStatus.FORBIDDEN,
        is_miss=True,
    )


def unknown_flow() -> Refused:
    """No record, or not one of that state."""
    return Refused(
        "This authorization is not known",
        "It was never begun here, or it is over: an authorization must be finished within 10 minutes. "
        "Nothing was stored. Open the Datasource's link again.",
        is_miss=True,
    )


def not_an_authorization_response(what: str) -> Refused:
    """The callback's query is none that a provider sends."""
    return Refused(
        "The answer cannot be used",
        f"{what} Nothing was stored. Open the Datasource's link again.",
        is_miss=True,
    )


def suspended() -> Refused:
    """A link that was offered before `spec.suspend` was set."""
    return Refused(
        "The Datasource is suspended",
        "Its spec.suspend is true, so no credential can be got. Nothing was changed. Once it is resumed (spec.suspend false "
        "or left out), its current link stands in its status:",
        HTTPStatus.CONFLICT,
        command=_FIND_THE_LINK,
    )


def suspended_meanwhile() -> Refused:
    """Somebody set `spec.suspend` while the person was at the provider."""
    return Refused(
        "The Datasource was suspended meanwhile",
        "Somebody set spec.suspend to true while the authorization was under way. The code was not used and nothing was "
        "stored. Open the Datasource's link again when it is resumed.",
        HTTPStatus.CONFLICT,
    )


def flow_has_expired() -> Refused:
    """Its 10 minutes are over."""
    return Refused(
        "This authorization took too long",
        "It must be finished within 10 minutes. The code was not used and nothing was stored. "
        "Open the Datasource's link again.",
    )


def datasource_is_gone() -> Refused:
    """Deleted, or another one of the same name by now."""
    return Refused(
        "The Datasource is gone",
        "It was deleted while the authorization was under way. The code was not used and nothing was stored.",
        HTTPStatus.GONE,
    )


def parameters_changed_meanwhile() -> Refused:
    """What the person agreed to is not what stands there now."""
    return Refused(
        "The parameters were changed meanwhile",
        "Somebody changed the OAuth2 parameters while the authorization was under way. The code was not used and nothing "
        "was stored. Open the Datasource's new link and look at the parameters again.",
        HTTPStatus.CONFLICT,
    )


def cleared_meanwhile() -> Refused:
    """A clear request is newer than the flow."""
    return Refused(
        "The credential was cleared meanwhile",
        "Somebody asked to clear the credential while the authorization was under way. The code was not used and nothing "
        "was stored. Open the Datasource's new link if a new credential is wanted.",
        HTTPStatus.CONFLICT,
    )


def another_was_first() -> Refused:
    """Two people at once."""
    return Refused(
        "Somebody else was first",
        "Another credential was stored while this authorization was under way; it stays, and this one was dropped. "
        "Look at the Datasource's state: nothing may be left to do.",
        HTTPStatus.CONFLICT,
    )


def dropped_after_exchange() -> Refused:
    """What the flow was to replace is not there any more; the newer one stays."""
    return Refused(
        "The credential was dropped",
        "While the service was answering, the Datasource's credential was cleared or replaced by somebody else. What stands "
        "now stays; the new tokens were dropped. Open the Datasource's new link if a credential is still wanted.",
        HTTPStatus.CONFLICT,
    )


def too_many_at_once() -> Refused:
    """Every flow record is taken again and again."""
    return Refused(
        "Too many at once",
        "Too many authorizations of this Datasource are being started at the same time. Try again in a minute.",
        HTTPStatus.SERVICE_UNAVAILABLE,
        timedelta(seconds=60),
    )


def not_configured(message: str) -> Refused:
    """The spec, or the client Secret that it names, cannot be used as it is."""
    return Refused("The Datasource is not ready for this", message, HTTPStatus.CONFLICT)


def name_is_taken(secret: str) -> Refused:
    """Somebody else's Secret has the name under which the credential would be kept."""
    return Refused(
        "A Secret is in the way",
        f"Secret {secret} exists and is not ours. It was not touched, the code was not used and nothing was stored. "
        "Rename or delete that Secret, then open the Datasource's link again.",
        HTTPStatus.CONFLICT,
    )


def write_is_refused(secret: str, why: str) -> Refused:
    """A dry run showed that the credential could not be stored."""
    return Refused(
        "The credential could not be stored",
        f"The API server would not accept Secret {secret} ({why}). The code was not used. "
        "Ask whoever runs the cluster to look at the rights of the callback server and at quotas.",
        HTTPStatus.CONFLICT,
    )


def store_was_refused(secret: str, why: str) -> Refused:
    """The rehearsal went well, and the write itself was refused until the flow was over."""
    return Refused(
        "The credential could not be stored",
        f"The API server did not accept Secret {secret} ({why}), for as long as this authorization lasted. The new tokens were "
        "dropped. Ask whoever runs the cluster to look at the rights of the callback server and at quotas, then open the "
        "Datasource's link again.",
        HTTPStatus.CONFLICT,
    )


def consent_was_denied(error: str, description: str | None) -> Refused:
    """`access_denied` and its kin (RFC 6749 section 4.1.2.1)."""
    said = f"{error}: {description.rstrip('.')}" if description else error
    if error == "access_denied":
        return Refused("Consent was denied", f"The service answered {said}. Nothing was stored.")
    return Refused(
        "The service refused the request",
        f"The service answered {said}. Nothing was stored. "
        "If it names a parameter, correct it in spec.oauth2 or in the application's registration.",
    )


def issuer_is_another(what: str) -> Refused:
    """RFC 9207: another authorization server may be playing a trick."""
    return Refused("The answer comes from somebody else", f"{what} The code was not used and nothing was stored.")


def provider_is_silent(what: str) -> Refused:
    """The provider's metadata, on which an endpoint depends, cannot be read now."""
    return Refused(
        "The service does not answer",
        f"The endpoints come from the metadata of spec.oauth2.issuer, and {what} Nothing was started. Try again in a minute.",
        HTTPStatus.BAD_GATEWAY,
        timedelta(seconds=60),
    )


def request_was_not_taken(error: OAuth2Error) -> Refused:
    """A pushed authorization request failed (RFC 9126 section 2.3): nothing was spent, nobody was sent anywhere."""
    if isinstance(error, InvalidClient):
        return exchange_failed(error)
    return Refused(
        "The service refused the request",
        f"{_sentence(error)} Nothing was started. If it names a parameter, correct it in spec.oauth2 or in the application's "
        "registration; otherwise try again in a minute.",
        HTTPStatus.BAD_GATEWAY,
    )


def exchange_failed(error: OAuth2Error) -> Refused:
    """The token endpoint did not give tokens; what to do follows from the class of the error."""
    match error:
        case InvalidClient():
            return Refused(
                "The service does not accept the client",
                f"{error}. Compare spec.oauth2.clientID, the client Secret and spec.oauth2.clientAuthentication with the "
                "application's registration, then try again.",
                HTTPStatus.BAD_GATEWAY,
            )
        case InvalidGrant():
            return Refused(
                "The service does not accept the code",
                f"{error}. A code works once and for a short time, and the redirect URI must be registered exactly as "
                "shown. Try again.",
                HTTPStatus.BAD_GATEWAY,
            )
        case EgressDenied():
            return Refused(
                "The token URL may not be called",
                f"spec.oauth2.tokenURL: {error} Nothing was stored.",
                HTTPStatus.BAD_GATEWAY,
            )
        case NotDelivered() | Throttled() | OutcomeUnknown():
            return Refused(
                "The service does not answer",
                f"{error} Nothing was stored. Check spec.oauth2.tokenURL, or try again in a minute.",
                HTTPStatus.BAD_GATEWAY,
            )
        case _:
            return Refused(
                "The service's answer cannot be used",
                f"{_sentence(error)} Nothing was stored. Check spec.oauth2.tokenURL and the application's registration.",
                HTTPStatus.BAD_GATEWAY,
            )


def identity_does_not_fit(what: str) -> Refused:
    """The id_token is not for us."""
    return Refused(
        "The service's answer cannot be used",
        f"{what} Nothing was stored. Check spec.oauth2.issuer and spec.oauth2.clientID, then try again.",
        HTTPStatus.BAD_GATEWAY,
    )


def identity_cannot_be_verified(what: str) -> Refused:
    """Before the code was spent: the issuer's keys are not to be had."""
    return Refused(
        "Who authorizes cannot be verified",
        f"{what} The code was not used and nothing was stored. Check spec.oauth2.issuer, or try again in a minute.",
        HTTPStatus.BAD_GATEWAY,
    )


def identity_is_unknown() -> Refused:
    """spec.oauth2.expectedIdentity is set, and the service told nothing."""
    return Refused(
        "Who authorized is unknown",
        "The service sent no id_token, so it cannot be told whether you are the one that spec.oauth2.expectedIdentity names. "
        "Nothing was stored. Check that the application may use the scope openid.",
        HTTPStatus.FORBIDDEN,
    )


def somebody_else_authorized(expected: Mapping[str, str]) -> Refused:
    """Says what the spec says, which the dialog's reader may know, and nothing of whoever came."""
    wanted = ", ".join(f"{claim} {value}" for claim, value in expected.items())
    return Refused(
        "Somebody else is expected",
        f"This Datasource may only be authorized by: {wanted}. You are signed in at the service as somebody else, or the "
        "service does not say that you are that one. Nothing was stored, and the access you gave was taken back where the "
        "service allows that. Sign out there, sign in with the right account, and open the Datasource's link again.",
        HTTPStatus.FORBIDDEN,
    )


def _sentence(error: OAuth2Error) -> str:
    """What a provider said ends as it likes; a sentence of ours may follow."""
    return f"{str(error).rstrip('.')}."
