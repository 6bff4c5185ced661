"""The Datasource is not what it was when the person began."""

from datetime import timedelta
from http import HTTPStatus

from callback_server.refusals.refused import AGAIN, ASK, FIND_THE_LINK, STILL_NEEDED, Kind, Refused, worded


def suspended() -> Refused:
    """A link that was offered before `spec.suspend` was set."""
    return worded(Kind.THE_DATASOURCE_IS_SUSPENDED, HTTPStatus.CONFLICT, command=FIND_THE_LINK)


def suspended_meanwhile() -> Refused:
    """Somebody set `spec.suspend` while the person was at the provider."""
    return worded(Kind.THE_DATASOURCE_WAS_SUSPENDED_MEANWHILE, HTTPStatus.CONFLICT)


def flow_has_expired() -> Refused:
    """Its 10 minutes are over."""
    return worded(Kind.THIS_AUTHORIZATION_TOOK_TOO_LONG)


def datasource_is_gone() -> Refused:
    """Deleted, or another one of the same name by now."""
    return worded(Kind.THE_DATASOURCE_IS_GONE, HTTPStatus.GONE)


def parameters_changed_meanwhile() -> Refused:
    """What the person agreed to is not what stands there now."""
    return worded(Kind.THE_PARAMETERS_WERE_CHANGED_MEANWHILE, HTTPStatus.CONFLICT, advice=ASK)


def cleared_meanwhile() -> Refused:
    """A clear request is newer than the flow."""
    return worded(Kind.THE_CREDENTIAL_WAS_CLEARED_MEANWHILE, HTTPStatus.CONFLICT)


def another_was_first() -> Refused:
    """Two people at once."""
    return worded(Kind.SOMEBODY_ELSE_WAS_FIRST, HTTPStatus.CONFLICT)


def imported_meanwhile() -> Refused:
    """A refresh token that somebody brought along is in use, or is being tried."""
    return worded(Kind.A_TOKEN_WAS_IMPORTED_MEANWHILE, HTTPStatus.CONFLICT)


def dropped_after_exchange() -> Refused:
    """What the flow was to replace is not there any more; the newer one stays."""
    return worded(Kind.THE_CREDENTIAL_WAS_DROPPED, HTTPStatus.CONFLICT, advice=STILL_NEEDED)


def too_many_at_once() -> Refused:
    """Every flow record is taken again and again."""
    return worded(
        Kind.TOO_MANY_AT_ONCE,
        HTTPStatus.SERVICE_UNAVAILABLE,
        timedelta(seconds=60),
        advice=AGAIN,
        can_try_again=True,
    )
