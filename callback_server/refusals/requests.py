"""A request that leads to nothing of ours: a wrong link, another browser, too many at a time, or a fault of ours."""

from datetime import timedelta
from http import HTTPStatus

from callback_server.refusals.refused import FIND_THE_LINK, Kind, Refused


def page_not_found() -> Refused:
    """There is no such page."""
    return Refused(
        Kind.THERE_IS_NO_SUCH_PAGE,
        "There is no such page",
        "The link that leads to a Datasource's page stands in its status:",
        HTTPStatus.NOT_FOUND,
        command=FIND_THE_LINK,
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
        command=FIND_THE_LINK,
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
        command=FIND_THE_LINK,
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
        "within seconds. Nothing was changed, no code was used, and your link stays good: reload this page in a minute. "
        "If that does not help, ask whoever runs the cluster to look at the installation:",
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
    """No provider sends a query like that of this callback."""
    return Refused(
        Kind.THE_ANSWER_CANNOT_BE_USED,
        "The answer cannot be used",
        f"{what} Nothing was stored. Open the Datasource's link again.",
        is_miss=True,
    )
