"""Why a request of a person cannot go on, in words that tell what to do. Safe to show: no code, token or secret in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus

from datasource.oauth2.errors import (
    EgressDenied,
    InvalidClient,
    InvalidGrant,
    NotDelivered,
    OAuth2Error,
    OutcomeUnknown,
    Throttled,
)


class Kind(StrEnum):
    """One word for a refusal, for metrics and logs. A dashboard counts by it: a heading may change, this may not."""

    THERE_IS_NO_SUCH_PAGE = "there_is_no_such_page"
    THIS_LINK_HAS_ENDED = "this_link_has_ended"
    TOO_MANY_REQUESTS_THAT_LEAD_NOWHERE = "too_many_requests_that_lead_nowhere"
    TOO_MUCH_AT_ONCE = "too_much_at_once"
    THE_CLUSTER_DOES_NOT_ANSWER = "the_cluster_does_not_answer"
    RIGHTS_ARE_NOT_THERE_YET = "rights_are_not_there_yet"
    SOMETHING_WENT_WRONG = "something_went_wrong"
    THIS_IS_NOT_THE_BROWSER_THAT_BEGAN = "this_is_not_the_browser_that_began"
    A_COOKIE_OF_ANOTHER_SITE_IS_IN_THE_WAY = "a_cookie_of_another_site_is_in_the_way"
    THIS_PAGE_IS_OUT_OF_DATE = "this_page_is_out_of_date"
    THIS_AUTHORIZATION_IS_NOT_KNOWN = "this_authorization_is_not_known"
    THE_ANSWER_CANNOT_BE_USED = "the_answer_cannot_be_used"
    THE_DATASOURCE_IS_SUSPENDED = "the_datasource_is_suspended"
    THE_DATASOURCE_WAS_SUSPENDED_MEANWHILE = "the_datasource_was_suspended_meanwhile"
    THIS_AUTHORIZATION_TOOK_TOO_LONG = "this_authorization_took_too_long"
    THE_DATASOURCE_IS_GONE = "the_datasource_is_gone"
    THE_PARAMETERS_WERE_CHANGED_MEANWHILE = "the_parameters_were_changed_meanwhile"
    THE_CREDENTIAL_WAS_CLEARED_MEANWHILE = "the_credential_was_cleared_meanwhile"
    SOMEBODY_ELSE_WAS_FIRST = "somebody_else_was_first"
    THE_CREDENTIAL_WAS_DROPPED = "the_credential_was_dropped"
    TOO_MANY_AT_ONCE = "too_many_at_once"
    THE_DATASOURCE_IS_NOT_READY_FOR_THIS = "the_datasource_is_not_ready_for_this"
    A_SECRET_IS_IN_THE_WAY = "a_secret_is_in_the_way"  # noqa: S105
    THE_CREDENTIAL_COULD_NOT_BE_STORED = "the_credential_could_not_be_stored"
    THE_SERVICE_REFUSED_THE_REQUEST = "the_service_refused_the_request"
    STORE_WAS_REFUSED = "store_was_refused"
    CONSENT_WAS_DENIED = "consent_was_denied"
    THE_ANSWER_COMES_FROM_SOMEBODY_ELSE = "the_answer_comes_from_somebody_else"
    METADATA_CANNOT_BE_READ = "metadata_cannot_be_read"
    PUSHED_REQUEST_WAS_REFUSED = "pushed_request_was_refused"
    THE_SERVICE_DOES_NOT_ACCEPT_THE_CLIENT = "the_service_does_not_accept_the_client"
    THE_SERVICE_DOES_NOT_ACCEPT_THE_CODE = "the_service_does_not_accept_the_code"
    THE_TOKEN_URL_MAY_NOT_BE_CALLED = "the_token_url_may_not_be_called"  # noqa: S105
    THE_SERVICE_DOES_NOT_ANSWER = "the_service_does_not_answer"
    THE_SERVICES_ANSWER_CANNOT_BE_USED = "the_services_answer_cannot_be_used"
    ID_TOKEN_CANNOT_BE_USED = "id_token_cannot_be_used"  # noqa: S105
    WHO_AUTHORIZES_CANNOT_BE_VERIFIED = "who_authorizes_cannot_be_verified"
    WHO_AUTHORIZED_IS_UNKNOWN = "who_authorized_is_unknown"
    SOMEBODY_ELSE_IS_EXPECTED = "somebody_else_is_expected"


@dataclass(eq=False)
class Refused(Exception):
    """Shown as a page of its own, or, once there is a flow record, as the outcome of the flow."""

    kind: Kind
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
        Kind.THERE_IS_NO_SUCH_PAGE,
        "There is no such page",
        "The link that leads to a Datasource's page stands in its status:",
        HTTPStatus.NOT_FOUND,
        command=_FIND_THE_LINK,
        is_miss=True,
    )


def link_has_ended() -> Refused:
    """One answer for every link that is not live, so that a stranger learns nothing from it."""
    return Refused(
        Kind.THIS_LINK_HAS_ENDED,
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
        Kind.TOO_MANY_REQUESTS_THAT_LEAD_NOWHERE,
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
        Kind.TOO_MUCH_AT_ONCE,
        "Too much at once",
        "More authorizations are going on at this moment than this server takes on. Nothing was changed and nothing is lost: "
        f"reload this page in {max(1, round(retry_after.total_seconds()))} s.",
        HTTPStatus.TOO_MANY_REQUESTS,
        retry_after,
    )


def try_again_later() -> Refused:
    """The API server does not answer."""
    return Refused(
        Kind.THE_CLUSTER_DOES_NOT_ANSWER,
        "The cluster does not answer",
        "The Kubernetes API server could not be reached, so nothing was changed. Try again in a minute.",
        HTTPStatus.SERVICE_UNAVAILABLE,
        timedelta(seconds=30),
    )


def may_not_read_yet(what: str, namespace: str) -> Refused:
    """The operator has not given us the right yet, or cannot."""
    return Refused(
        Kind.RIGHTS_ARE_NOT_THERE_YET,
        "Not ready yet",
        f"The callback server may not read {what} in namespace {namespace} yet. The operator gives it that right, usually "
        "within seconds. Nothing was changed, no code was used, and your link stays good: reload this page in a minute. If that "
        "does not help, ask whoever runs the cluster to look at the installation:",
        HTTPStatus.SERVICE_UNAVAILABLE,
        timedelta(seconds=30),
        command="kubectl datasource doctor",
    )


def something_went_wrong() -> Refused:
    """A bug of ours."""
    return Refused(
        Kind.SOMETHING_WENT_WRONG,
        "Something went wrong",
        "This should not happen. Look at the Datasource's state before you try again; the logs of the callback server have "
        "details.",
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )


def cookie_is_missing() -> Refused:
    """Without our cookie nobody can tell whether the same browser comes back."""
    return Refused(
        Kind.THIS_IS_NOT_THE_BROWSER_THAT_BEGAN,
        "This is not the browser that began",
        "An authorization must be finished in the browser in which it began, with cookies allowed. "
        "Open the Datasource's link again and go through it in one browser.",
        HTTPStatus.FORBIDDEN,
        is_miss=True,
    )


def cookie_is_not_ours() -> Refused:
    """The browser sends our cookie's name twice or in another spelling: whose authorization this is cannot be told."""
    return Refused(
        Kind.A_COOKIE_OF_ANOTHER_SITE_IS_IN_THE_WAY,
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
        Kind.THIS_PAGE_IS_OUT_OF_DATE,
        "This page is out of date",
        "The request did not come from a current page of ours: the Datasource was changed since the page was opened, or "
        "another site tried to start it for you. Nothing was started. Open the Datasource's link again.",
        HTTPStatus.FORBIDDEN,
        is_miss=True,
    )


def unknown_flow() -> Refused:
    """No record, or not one of that state."""
    return Refused(
        Kind.THIS_AUTHORIZATION_IS_NOT_KNOWN,
        "This authorization is not known",
        "It was never begun here, or it is over: an authorization must be finished within 10 minutes. "
        "Nothing was stored. Open the Datasource's link again.",
        is_miss=True,
    )


def not_an_authorization_response(what: str) -> Refused:
    """The callback's query is none that a provider sends."""
    return Refused(
        Kind.THE_ANSWER_CANNOT_BE_USED,
        "The answer cannot be used",
        f"{what} Nothing was stored. Open the Datasource's link again.",
        is_miss=True,
    )


def suspended() -> Refused:
    """A link that was offered before `spec.suspend` was set."""
    return Refused(
        Kind.THE_DATASOURCE_IS_SUSPENDED,
        "The Datasource is suspended",
        "Its spec.suspend is true, so no credential can be got. Nothing was changed. Once it is resumed (spec.suspend false "
        "or left out), its current link stands in its status:",
        HTTPStatus.CONFLICT,
        command=_FIND_THE_LINK,
    )


def suspended_meanwhile() -> Refused:
    """Somebody set `spec.suspend` while the person was at the provider."""
    return Refused(
        Kind.THE_DATASOURCE_WAS_SUSPENDED_MEANWHILE,
        "The Datasource was suspended meanwhile",
        "Somebody set spec.suspend to true while the authorization was under way. The code was not used and nothing was "
        "stored. Open the Datasource's link again when it is resumed.",
        HTTPStatus.CONFLICT,
    )


def flow_has_expired() -> Refused:
    """Its 10 minutes are over."""
    return Refused(
        Kind.THIS_AUTHORIZATION_TOOK_TOO_LONG,
        "This authorization took too long",
        "It must be finished within 10 minutes. The code was not used and nothing was stored. "
        "Open the Datasource's link again.",
    )


def datasource_is_gone() -> Refused:
    """Deleted, or another one of the same name by now."""
    return Refused(
        Kind.THE_DATASOURCE_IS_GONE,
        "The Datasource is gone",
        "It was deleted while the authorization was under way. The code was not used and nothing was stored.",
        HTTPStatus.GONE,
    )


def parameters_changed_meanwhile() -> Refused:
    """What the person agreed to is not what stands there now."""
    return Refused(
        Kind.THE_PARAMETERS_WERE_CHANGED_MEANWHILE,
        "The parameters were changed meanwhile",
        "Somebody changed the OAuth2 parameters while the authorization was under way. The code was not used and nothing "
        "was stored. Open the Datasource's new link and look at the parameters again.",
        HTTPStatus.CONFLICT,
    )


def cleared_meanwhile() -> Refused:
    """A clear request is newer than the flow."""
    return Refused(
        Kind.THE_CREDENTIAL_WAS_CLEARED_MEANWHILE,
        "The credential was cleared meanwhile",
        "Somebody asked to clear the credential while the authorization was under way. The code was not used and nothing "
        "was stored. Open the Datasource's new link if a new credential is wanted.",
        HTTPStatus.CONFLICT,
    )


def another_was_first() -> Refused:
    """Two people at once."""
    return Refused(
        Kind.SOMEBODY_ELSE_WAS_FIRST,
        "Somebody else was first",
        "Another credential was stored while this authorization was under way; it stays, and this one was dropped. "
        "Look at the Datasource's state: nothing may be left to do.",
        HTTPStatus.CONFLICT,
    )


def dropped_after_exchange() -> Refused:
    """What the flow was to replace is not there any more; the newer one stays."""
    return Refused(
        Kind.THE_CREDENTIAL_WAS_DROPPED,
        "The credential was dropped",
        "While the service was answering, the Datasource's credential was cleared or replaced by somebody else. What stands "
        "now stays; the new tokens were dropped. Open the Datasource's new link if a credential is still wanted.",
        HTTPStatus.CONFLICT,
    )


def too_many_at_once() -> Refused:
    """Every flow record is taken again and again."""
    return Refused(
        Kind.TOO_MANY_AT_ONCE,
        "Too many at once",
        "Too many authorizations of this Datasource are being started at the same time. Try again in a minute.",
        HTTPStatus.SERVICE_UNAVAILABLE,
        timedelta(seconds=60),
    )


def not_configured(message: str) -> Refused:
    """The spec, or the client Secret that it names, cannot be used as it is."""
    return Refused(
        Kind.THE_DATASOURCE_IS_NOT_READY_FOR_THIS, "The Datasource is not ready for this", message, HTTPStatus.CONFLICT
    )


def name_is_taken(secret: str) -> Refused:
    """Somebody else's Secret has the name under which the credential would be kept."""
    return Refused(
        Kind.A_SECRET_IS_IN_THE_WAY,
        "A Secret is in the way",
        f"Secret {secret} exists and is not ours. It was not touched, the code was not used and nothing was stored. "
        "Rename or delete that Secret, then open the Datasource's link again.",
        HTTPStatus.CONFLICT,
    )


def write_is_refused(secret: str, why: str) -> Refused:
    """A dry run showed that the credential could not be stored."""
    return Refused(
        Kind.THE_CREDENTIAL_COULD_NOT_BE_STORED,
        "The credential could not be stored",
        f"The API server would not accept Secret {secret} ({why}). The code was not used. "
        "Ask whoever runs the cluster to look at the rights of the callback server and at quotas.",
        HTTPStatus.CONFLICT,
    )


def store_was_refused(secret: str, why: str) -> Refused:
    """The rehearsal went well, and the write itself was refused until the flow was over."""
    return Refused(
        Kind.STORE_WAS_REFUSED,
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
        return Refused(
            Kind.CONSENT_WAS_DENIED, "Consent was denied", f"The service answered {said}. Nothing was stored."
        )
    return Refused(
        Kind.THE_SERVICE_REFUSED_THE_REQUEST,
        "The service refused the request",
        f"The service answered {said}. Nothing was stored. "
        "If it names a parameter, correct it in spec.oauth2 or in the application's registration.",
    )


def issuer_is_another(what: str) -> Refused:
    """RFC 9207: another authorization server may be playing a trick."""
    return Refused(
        Kind.THE_ANSWER_COMES_FROM_SOMEBODY_ELSE,
        "The answer comes from somebody else",
        f"{what} The code was not used and nothing was stored.",
    )


def provider_is_silent(what: str) -> Refused:
    """The provider's metadata, on which an endpoint depends, cannot be read now."""
    return Refused(
        Kind.METADATA_CANNOT_BE_READ,
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
        Kind.PUSHED_REQUEST_WAS_REFUSED,
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
                Kind.THE_SERVICE_DOES_NOT_ACCEPT_THE_CLIENT,
                "The service does not accept the client",
                f"{error}. Compare spec.oauth2.clientID, the client Secret and spec.oauth2.clientAuthentication with the "
                "application's registration, then try again.",
                HTTPStatus.BAD_GATEWAY,
            )
        case InvalidGrant():
            return Refused(
                Kind.THE_SERVICE_DOES_NOT_ACCEPT_THE_CODE,
                "The service does not accept the code",
                f"{error}. A code works once and for a short time, and the redirect URI must be registered exactly as "
                "shown. Try again.",
                HTTPStatus.BAD_GATEWAY,
            )
        case EgressDenied():
            return Refused(
                Kind.THE_TOKEN_URL_MAY_NOT_BE_CALLED,
                "The token URL may not be called",
                f"spec.oauth2.tokenURL: {error} Nothing was stored.",
                HTTPStatus.BAD_GATEWAY,
            )
        case NotDelivered() | Throttled() | OutcomeUnknown():
            return Refused(
                Kind.THE_SERVICE_DOES_NOT_ANSWER,
                "The service does not answer",
                f"{error} Nothing was stored. Check spec.oauth2.tokenURL, or try again in a minute.",
                HTTPStatus.BAD_GATEWAY,
            )
        case _:
            return Refused(
                Kind.THE_SERVICES_ANSWER_CANNOT_BE_USED,
                "The service's answer cannot be used",
                f"{_sentence(error)} Nothing was stored. Check spec.oauth2.tokenURL and the application's registration.",
                HTTPStatus.BAD_GATEWAY,
            )


def identity_does_not_fit(what: str) -> Refused:
    """The id_token is not for us."""
    return Refused(
        Kind.ID_TOKEN_CANNOT_BE_USED,
        "The service's answer cannot be used",
        f"{what} Nothing was stored. Check spec.oauth2.issuer and spec.oauth2.clientID, then try again.",
        HTTPStatus.BAD_GATEWAY,
    )


def identity_cannot_be_verified(what: str) -> Refused:
    """Before the code was spent: the issuer's keys are not to be had."""
    return Refused(
        Kind.WHO_AUTHORIZES_CANNOT_BE_VERIFIED,
        "Who authorizes cannot be verified",
        f"{what} The code was not used and nothing was stored. Check spec.oauth2.issuer, or try again in a minute.",
        HTTPStatus.BAD_GATEWAY,
    )


def identity_is_unknown() -> Refused:
    """spec.oauth2.expectedIdentity is set, and the service told nothing."""
    return Refused(
        Kind.WHO_AUTHORIZED_IS_UNKNOWN,
        "Who authorized is unknown",
        "The service sent no id_token, so it cannot be told whether you are the one that spec.oauth2.expectedIdentity names. "
        "Nothing was stored. Check that the application may use the scope openid.",
        HTTPStatus.FORBIDDEN,
    )


def somebody_else_authorized(expected: Mapping[str, str]) -> Refused:
    """Says what the spec says, which the dialog's reader may know, and nothing of whoever came."""
    wanted = ", ".join(f"{claim} {value}" for claim, value in expected.items())
    return Refused(
        Kind.SOMEBODY_ELSE_IS_EXPECTED,
        "Somebody else is expected",
        f"This Datasource may only be authorized by: {wanted}. You are signed in at the service as somebody else, or the "
        "service does not say that you are that one. Nothing was stored, and the access you gave was taken back where the "
        "service allows that. Sign out there, sign in with the right account, and open the Datasource's link again.",
        HTTPStatus.FORBIDDEN,
    )


def _sentence(error: OAuth2Error) -> str:
    """What a provider said ends as it likes; a sentence of ours may follow."""
    return f"{str(error).rstrip('.')}."
