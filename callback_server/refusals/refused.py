"""The type of a refusal: what its page shows, and the kind that metrics count."""

import dataclasses
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus

from callback_server.language import text


class Kind(StrEnum):
    """One word for a refusal, for metrics and logs. Dashboards count by it, so it must not change. A heading may change."""

    THERE_IS_NO_SUCH_PAGE = "there_is_no_such_page"
    THIS_LINK_HAS_ENDED = "this_link_has_ended"
    TOO_MANY_REQUESTS_THAT_LEAD_NOWHERE = "too_many_requests_that_lead_nowhere"
    TOO_MUCH_AT_ONCE = "too_much_at_once"
    THE_AUTHORIZATION_GOES_ON = "the_authorization_goes_on"
    THE_SERVICE_TAKES_LONG = "the_service_takes_long"
    THE_CLUSTER_DOES_NOT_ANSWER = "the_cluster_does_not_answer"
    THE_CLUSTER_REFUSED = "the_cluster_refused"
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
    A_TOKEN_WAS_IMPORTED_MEANWHILE = "a_token_was_imported_meanwhile"  # noqa: S105
    THE_CREDENTIAL_WAS_DROPPED = "the_credential_was_dropped"
    TOO_MANY_AT_ONCE = "too_many_at_once"
    THE_DATASOURCE_IS_NOT_READY_FOR_THIS = "the_datasource_is_not_ready_for_this"
    THE_AUTHORIZATION_COULD_NOT_BEGIN = "the_authorization_could_not_begin"
    A_SECRET_IS_IN_THE_WAY = "a_secret_is_in_the_way"  # noqa: S105
    THE_CREDENTIAL_COULD_NOT_BE_STORED = "the_credential_could_not_be_stored"
    THE_SERVICE_REFUSED_THE_REQUEST = "the_service_refused_the_request"
    STORE_WAS_REFUSED = "store_was_refused"
    CONSENT_WAS_DENIED = "consent_was_denied"
    THE_ANSWER_COMES_FROM_SOMEBODY_ELSE = "the_answer_comes_from_somebody_else"
    METADATA_CANNOT_BE_READ = "metadata_cannot_be_read"
    PUSHED_REQUEST_WAS_REFUSED = "pushed_request_was_refused"
    THE_SERVICE_DOES_NOT_ACCEPT_THE_CLIENT = "the_service_does_not_accept_the_client"
    THE_SERVICE_REFUSED_WITHOUT_STATE = "the_service_refused_without_state"
    THE_SERVICE_DOES_NOT_ACCEPT_THE_REQUEST = "the_service_does_not_accept_the_request"
    THE_SERVICE_ASKS_FOR_PATIENCE = "the_service_asks_for_patience"
    THE_SERVICE_DOES_NOT_ACCEPT_THE_CODE = "the_service_does_not_accept_the_code"
    THE_TOKEN_URL_MAY_NOT_BE_CALLED = "the_token_url_may_not_be_called"  # noqa: S105
    THE_SERVICE_DOES_NOT_ANSWER = "the_service_does_not_answer"
    THE_SERVICES_ANSWER_CANNOT_BE_USED = "the_services_answer_cannot_be_used"
    ID_TOKEN_CANNOT_BE_USED = "id_token_cannot_be_used"  # noqa: S105
    WHO_AUTHORIZES_CANNOT_BE_VERIFIED = "who_authorizes_cannot_be_verified"
    WHO_AUTHORIZED_IS_UNKNOWN = "who_authorized_is_unknown"
    SOMEBODY_ELSE_IS_EXPECTED = "somebody_else_is_expected"
    THIS_SIGN_IN_IS_NOT_KNOWN = "this_sign_in_is_not_known"
    SIGN_IN_IS_NOT_READY = "sign_in_is_not_ready"
    SIGN_IN_WAS_REFUSED = "sign_in_was_refused"
    SIGN_IN_DOES_NOT_ANSWER = "sign_in_does_not_answer"
    SIGN_IN_CANNOT_BE_VERIFIED = "sign_in_cannot_be_verified"
    SIGN_IN_NAMES_NOBODY = "sign_in_names_nobody"
    NOT_ALLOWED = "not_allowed"
    NOT_ALLOWED_EVERYWHERE = "not_allowed_everywhere"
    THE_RIGHT_WAS_TAKEN_AWAY = "the_right_was_taken_away"
    ANOTHER_PERSON_IS_SIGNED_IN = "another_person_is_signed_in"
    ANOTHER_PERSON_AUTHORIZED = "another_person_authorized"
    THERE_IS_NO_SUCH_DATASOURCE = "there_is_no_such_datasource"
    NOTHING_WAS_ASKED_FOR = "nothing_was_asked_for"


@dataclass(eq=False)
class Refused(Exception):
    """A refusal. It is shown as a page of its own or, once there is a flow record, as the outcome of the flow."""

    kind: Kind
    title: str
    message: str
    status: HTTPStatus = HTTPStatus.BAD_REQUEST
    retry_after: timedelta | None = None
    command: str | None = None
    """A command to type."""
    advice: str = ""
    """What the person can do. It comes first on the page, because the person may know nothing about clusters."""
    can_try_again: bool = False
    """Whether the same link may work in a moment."""
    is_miss: bool = False
    """Whether a stranger can cause it by guessing. Such requests have a rate limit."""
    reload_after: timedelta | None = None
    """After how long the same page may have another answer. The page of a GET then reloads itself."""

    def about(self, namespace: str, name: str) -> "Refused":
        """The same refusal, with namespace and name filled into its command.

        Both are from the visitor's own URL, so a stranger learns nothing new. Both are Kubernetes names, which are safe in a
        shell.
        """
        if self.command != FIND_THE_LINK:
            return self
        command = self.command.replace("NAMESPACE", namespace).replace("NAME", name)
        return dataclasses.replace(self, command=command)


FIND_THE_LINK = "kubectl get dsrc NAME -n NAMESPACE -o jsonpath='{.status.authorizationLink}'"
"""Shows the current link."""

ASK = text("common.ask")
TELL = text("common.tell")
AGAIN = text("common.again")
AGAIN_OR_TELL = text("common.again_or_tell")
TRY_OR_TELL = text("common.try_or_tell")
OPEN_AGAIN = text("common.open_again")
STILL_NEEDED = text("common.still_needed")
CORRECT_IT = text("common.correct_it")


def worded(
    kind: Kind,
    status: HTTPStatus = HTTPStatus.BAD_REQUEST,
    retry_after: timedelta | None = None,
    *,
    advice: str | None = None,
    command: str | None = None,
    can_try_again: bool = False,
    is_miss: bool = False,
    **values: str,
) -> Refused:
    """A refusal with the texts that the languages have for its kind. `values` are filled into the message."""
    return Refused(
        kind,
        text(f"{kind}.title"),
        text(f"{kind}.message", **values),
        status,
        retry_after,
        command,
        text(f"{kind}.advice") if advice is None else advice,
        can_try_again,
        is_miss,
    )
