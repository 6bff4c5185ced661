"""A request that leads to nothing of ours: a wrong link, another browser, too many at a time, or a fault of ours."""

from datetime import timedelta
from http import HTTPStatus

from callback_server.refusals.refused import AGAIN, ASK, FIND_THE_LINK, OPEN_AGAIN, Kind, Refused


def page_not_found() -> Refused:
    """There is no such page."""
    return Refused(
        Kind.THERE_IS_NO_SUCH_PAGE,
        "There is no such page",
        "Only the link of a Datasource opens a page. The status of the Datasource has that link.",
        HTTPStatus.NOT_FOUND,
        command=FIND_THE_LINK,
        advice="Check the address, or ask the person who sent it to you.",
        is_miss=True,
    )


def link_has_ended() -> Refused:
    """One answer for every link that is not live, so that a stranger learns nothing from it."""
    return Refused(
        Kind.THIS_LINK_HAS_ENDED,
        "This link is no longer valid",
        "A link works once. It also stops working when the credential is cleared and when the OAuth2 parameters change. If "
        "the Datasource still needs a person, its status has a new link.",
        HTTPStatus.NOT_FOUND,
        command=FIND_THE_LINK,
        advice=ASK,
        is_miss=True,
    )


def too_many_misses(retry_after: timedelta) -> Refused:
    """Links and answers that are not valid come in great numbers, from whomever."""
    return Refused(
        Kind.TOO_MANY_REQUESTS_THAT_LEAD_NOWHERE,
        "Too many invalid requests",
        "This link or answer is not valid, and many more such requests are coming in. A valid link still works. The status of "
        "the Datasource has the current one.",
        HTTPStatus.TOO_MANY_REQUESTS,
        retry_after,
        command=FIND_THE_LINK,
        advice=ASK,
    )


def busy(retry_after: timedelta) -> Refused:
    """More at one time than this server does."""
    return Refused(
        Kind.TOO_MUCH_AT_ONCE,
        "Too much at once",
        "Too many people authorize at this moment. Nothing was changed and nothing is lost.",
        HTTPStatus.TOO_MANY_REQUESTS,
        retry_after,
        advice=f"Please reload this page in {max(1, round(retry_after.total_seconds()))} s.",
        can_try_again=True,
    )


def try_again_later() -> Refused:
    """The API server does not answer."""
    return Refused(
        Kind.THE_CLUSTER_DOES_NOT_ANSWER,
        "The cluster does not answer",
        "The Kubernetes API server could not be reached, so nothing was changed.",
        HTTPStatus.SERVICE_UNAVAILABLE,
        timedelta(seconds=30),
        advice=AGAIN,
        can_try_again=True,
    )


def may_not_read_yet(what: str, namespace: str) -> Refused:
    """The operator has not given us the right yet, or cannot."""
    return Refused(
        Kind.RIGHTS_ARE_NOT_THERE_YET,
        "Not ready yet",
        f"The callback server may not read {what} in namespace {namespace} yet. The operator gives it that right, usually "
        "within seconds. Nothing was changed and no code was used. If this does not help, check the installation.",
        HTTPStatus.SERVICE_UNAVAILABLE,
        timedelta(seconds=30),
        command="kubectl datasource doctor",
        advice="Please reload this page in a minute. Your link stays valid.",
        can_try_again=True,
    )


def something_went_wrong() -> Refused:
    """A bug of ours."""
    return Refused(
        Kind.SOMETHING_WENT_WRONG,
        "Something went wrong",
        "This should not happen. Perhaps a credential was stored: the state of the Datasource shows it. The log of the "
        "callback server has the details.",
        HTTPStatus.INTERNAL_SERVER_ERROR,
        advice="Before you try again, ask the person who sent you the link whether it worked.",
    )


def cookie_is_missing() -> Refused:
    """Without our cookie nobody can tell whether the same browser comes back."""
    return Refused(
        Kind.THIS_IS_NOT_THE_BROWSER_THAT_BEGAN,
        "Please finish in the browser where you started",
        "You must finish an authorization in the browser where you started it, with cookies allowed. Nothing was stored.",
        HTTPStatus.FORBIDDEN,
        advice="Open the link again. Start and finish in one browser, with cookies allowed.",
        is_miss=True,
    )


def cookie_is_not_ours() -> Refused:
    """The browser sends our cookie's name twice or in another spelling: whose authorization this is cannot be told."""
    return Refused(
        Kind.A_COOKIE_OF_ANOTHER_SITE_IS_IN_THE_WAY,
        "A cookie of another site blocks this page",
        "Another site of the domain set a cookie that looks like ours. With it, an attacker could make you authorize a "
        "request that is not yours. Nothing was started and nothing was stored. Tell the platform team: an attacker may "
        "control that site.",
        HTTPStatus.FORBIDDEN,
        advice="Delete this browser's cookies for this site and for its whole domain, or use a private window. Then open the "
        "link again.",
        is_miss=True,
    )


def form_is_not_ours() -> Refused:
    """Another site's form, or a page that is out of date."""
    return Refused(
        Kind.THIS_PAGE_IS_OUT_OF_DATE,
        "This page is out of date",
        "The request did not come from a current page. The Datasource changed after you opened the page, or another site "
        "tried to start the authorization for you. Nothing was started.",
        HTTPStatus.FORBIDDEN,
        advice=OPEN_AGAIN,
        can_try_again=True,
        is_miss=True,
    )


def unknown_flow() -> Refused:
    """No record, or not one of that state."""
    return Refused(
        Kind.THIS_AUTHORIZATION_IS_NOT_KNOWN,
        "This authorization is unknown",
        "It was never started here, or it is over. You have 10 minutes to finish an authorization. Nothing was stored.",
        advice=OPEN_AGAIN,
        is_miss=True,
    )


def not_an_authorization_response(what: str) -> Refused:
    """No provider sends a query like that of this callback."""
    return Refused(
        Kind.THE_ANSWER_CANNOT_BE_USED,
        "The answer cannot be used",
        f"{what} Nothing was stored.",
        advice=OPEN_AGAIN,
        is_miss=True,
    )
