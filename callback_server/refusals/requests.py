"""Requests that cannot be answered: a wrong link, another browser, too many requests, or a fault of ours."""

import dataclasses
from datetime import timedelta
from http import HTTPStatus

from callback_server.language import Words, text
from callback_server.refusals.refused import AGAIN, AGAIN_OR_TELL, ASK, FIND_THE_LINK, OPEN_AGAIN, Kind, Refused, worded

SOON = timedelta(seconds=5)
"""After how long a waiting page looks again. A provider's code may be valid for no longer than a minute."""


def page_not_found() -> Refused:
    """There is no such page."""
    return worded(Kind.THERE_IS_NO_SUCH_PAGE, HTTPStatus.NOT_FOUND, command=FIND_THE_LINK, is_miss=True)


def link_has_ended() -> Refused:
    """The link is not valid. The answer is the same for every such link, so that a stranger learns nothing from it."""
    return worded(Kind.THIS_LINK_HAS_ENDED, HTTPStatus.NOT_FOUND, command=FIND_THE_LINK, advice=ASK, is_miss=True)


def too_many_misses(retry_after: timedelta) -> Refused:
    """Too many requests with invalid links or answers are coming in, from all clients together."""
    kind = Kind.TOO_MANY_REQUESTS_THAT_LEAD_NOWHERE
    return worded(kind, HTTPStatus.TOO_MANY_REQUESTS, retry_after, command=FIND_THE_LINK, advice=ASK)


def busy(retry_after: timedelta) -> Refused:
    """There are more requests at one time than this server handles."""
    seconds = str(max(1, round(retry_after.total_seconds())))
    advice = text("too_much_at_once.advice", seconds=seconds)
    refused = worded(
        Kind.TOO_MUCH_AT_ONCE, HTTPStatus.TOO_MANY_REQUESTS, retry_after, advice=advice, can_try_again=True
    )
    return dataclasses.replace(refused, reload_after=max(SOON, retry_after))


def try_again_later() -> Refused:
    """The API server does not answer."""
    return _looks_again(worded(Kind.THE_CLUSTER_DOES_NOT_ANSWER, HTTPStatus.SERVICE_UNAVAILABLE, advice=AGAIN))


def goes_on() -> Refused:
    """An authorization takes longer than a person waits for a page. The server continues with it."""
    return _looks_again(worded(Kind.THE_AUTHORIZATION_GOES_ON, HTTPStatus.SERVICE_UNAVAILABLE, advice=AGAIN))


def provider_takes_long() -> Refused:
    """The provider's metadata takes long. The server continues to wait, and keeps the result for the reload."""
    return _looks_again(worded(Kind.THE_SERVICE_TAKES_LONG, HTTPStatus.SERVICE_UNAVAILABLE, advice=AGAIN))


def _looks_again(refused: Refused) -> Refused:
    return dataclasses.replace(refused, retry_after=SOON, reload_after=SOON, can_try_again=True)


def cluster_refused() -> Refused:
    """The API server refused a request. Its message names accounts and rights, so strangers must not see it."""
    return worded(
        Kind.THE_CLUSTER_REFUSED,
        HTTPStatus.SERVICE_UNAVAILABLE,
        timedelta(seconds=30),
        advice=AGAIN_OR_TELL,
        can_try_again=True,
    )


def may_not_read_yet(what: str, namespace: str) -> Refused:
    """The callback server lacks a right. The operator has not given it yet, or cannot give it."""
    refused = worded(
        Kind.RIGHTS_ARE_NOT_THERE_YET,
        HTTPStatus.SERVICE_UNAVAILABLE,
        command="kubectl datasource doctor",
        what=Words(what),
        namespace=namespace,
    )
    return _looks_again(refused)


def something_went_wrong() -> Refused:
    """A bug of ours."""
    return worded(Kind.SOMETHING_WENT_WRONG, HTTPStatus.INTERNAL_SERVER_ERROR)


def cookie_is_missing() -> Refused:
    """The browser sent no cookie of ours. Without it, we cannot know whether the same browser comes back."""
    return worded(Kind.THIS_IS_NOT_THE_BROWSER_THAT_BEGAN, HTTPStatus.FORBIDDEN, is_miss=True)


def cookie_is_not_ours() -> Refused:
    """The browser sent our cookie's name twice or in another spelling. So we cannot know whose authorization this is."""
    return worded(Kind.A_COOKIE_OF_ANOTHER_SITE_IS_IN_THE_WAY, HTTPStatus.FORBIDDEN, is_miss=True)


def form_is_not_ours() -> Refused:
    """The form is from another site, or from a page that is out of date."""
    return worded(
        Kind.THIS_PAGE_IS_OUT_OF_DATE, HTTPStatus.FORBIDDEN, advice=OPEN_AGAIN, can_try_again=True, is_miss=True
    )


def unknown_flow() -> Refused:
    """There is no flow record that fits the `state`, or the ID of the done page."""
    return worded(Kind.THIS_AUTHORIZATION_IS_NOT_KNOWN, advice=OPEN_AGAIN, is_miss=True)


def not_an_authorization_response(what: str) -> Refused:
    """The query is no authorization response: no provider sends such a query."""
    return worded(Kind.THE_ANSWER_CANNOT_BE_USED, advice=OPEN_AGAIN, is_miss=True, what=Words(what))
