"""The Datasource changed after the person began."""

from datetime import timedelta
from http import HTTPStatus

from callback_server.refusals.refused import AGAIN, ASK, FIND_THE_LINK, STILL_NEEDED, Kind, Refused, worded


def suspended() -> Refused:
    """`spec.suspend` is set. The person came by a link or a page from before."""
    return worded(Kind.THE_DATASOURCE_IS_SUSPENDED, HTTPStatus.CONFLICT, command=FIND_THE_LINK)


def suspended_meanwhile() -> Refused:
    """`spec.suspend` was set while the person was at the provider."""
    return worded(Kind.THE_DATASOURCE_WAS_SUSPENDED_MEANWHILE, HTTPStatus.CONFLICT)


def flow_has_expired() -> Refused:
    """The 10 minutes of the flow are over."""
    return worded(Kind.THIS_AUTHORIZATION_TOOK_TOO_LONG)


def datasource_is_gone() -> Refused:
    """The Datasource was deleted, or another one has its name by now."""
    return worded(Kind.THE_DATASOURCE_IS_GONE, HTTPStatus.GONE)


def parameters_changed_meanwhile() -> Refused:
    """The OAuth2 parameters are not the ones that the person agreed to."""
    return worded(Kind.THE_PARAMETERS_WERE_CHANGED_MEANWHILE, HTTPStatus.CONFLICT, advice=ASK)


def cleared_meanwhile() -> Refused:
    """After the flow began, the credential was cleared, or a clear was requested."""
    return worded(Kind.THE_CREDENTIAL_WAS_CLEARED_MEANWHILE, HTTPStatus.CONFLICT)


def another_was_first() -> Refused:
    """Another write came first after the flow began: most often, another credential was stored."""
    return worded(Kind.SOMEBODY_ELSE_WAS_FIRST, HTTPStatus.CONFLICT)


def imported_meanwhile() -> Refused:
    """A refresh token was imported after the flow began. It is in use, or it is being tried."""
    return worded(Kind.A_TOKEN_WAS_IMPORTED_MEANWHILE, HTTPStatus.CONFLICT)


def dropped_after_exchange() -> Refused:
    """The credential that the flow was to replace is gone. The newer state stays, and the new tokens are dropped."""
    return worded(Kind.THE_CREDENTIAL_WAS_DROPPED, HTTPStatus.CONFLICT, advice=STILL_NEEDED)


def too_many_at_once() -> Refused:
    """No flow record could be written, because other flows took every slot again and again."""
    return worded(
        Kind.TOO_MANY_AT_ONCE,
        HTTPStatus.SERVICE_UNAVAILABLE,
        timedelta(seconds=60),
        advice=AGAIN,
        can_try_again=True,
    )
