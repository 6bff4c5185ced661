"""The Datasource is not what it was when the person began."""

from datetime import timedelta
from http import HTTPStatus

from callback_server.refusals.refused import AGAIN, ASK, FIND_THE_LINK, Kind, Refused


def suspended() -> Refused:
    """A link that was offered before `spec.suspend` was set."""
    return Refused(
        Kind.THE_DATASOURCE_IS_SUSPENDED,
        "The Datasource is suspended",
        "Its spec.suspend is true, so the Datasource offers no link. Nothing was changed. When spec.suspend is false or "
        "removed, the status has a link again.",
        HTTPStatus.CONFLICT,
        command=FIND_THE_LINK,
        advice="The team that sent you the link has paused this. Ask them when it continues.",
    )


def suspended_meanwhile() -> Refused:
    """Somebody set `spec.suspend` while the person was at the provider."""
    return Refused(
        Kind.THE_DATASOURCE_WAS_SUSPENDED_MEANWHILE,
        "The Datasource was suspended",
        "spec.suspend was set to true during the authorization. The code was not used and nothing was stored.",
        HTTPStatus.CONFLICT,
        advice="The team that sent you the link has paused this. Ask them when it continues, and open the link again then.",
    )


def flow_has_expired() -> Refused:
    """Its 10 minutes are over."""
    return Refused(
        Kind.THIS_AUTHORIZATION_TOOK_TOO_LONG,
        "This authorization took too long",
        "You have 10 minutes to finish an authorization. The code was not used and nothing was stored.",
        advice="Please open the link again and finish within 10 minutes.",
    )


def datasource_is_gone() -> Refused:
    """Deleted, or another one of the same name by now."""
    return Refused(
        Kind.THE_DATASOURCE_IS_GONE,
        "The Datasource was deleted",
        "It was deleted during the authorization. The code was not used and nothing was stored.",
        HTTPStatus.GONE,
        advice="Ask the person who sent you the link whether it is still needed.",
    )


def parameters_changed_meanwhile() -> Refused:
    """What the person agreed to is not what stands there now."""
    return Refused(
        Kind.THE_PARAMETERS_WERE_CHANGED_MEANWHILE,
        "The parameters have changed",
        "The OAuth2 parameters changed during the authorization. The code was not used and nothing was stored. The status "
        "has a new link.",
        HTTPStatus.CONFLICT,
        advice=ASK,
    )


def cleared_meanwhile() -> Refused:
    """A clear request is newer than the flow."""
    return Refused(
        Kind.THE_CREDENTIAL_WAS_CLEARED_MEANWHILE,
        "The credential was cleared",
        "A request to clear the credential came during the authorization. The code was not used and nothing was stored. The "
        "status has a new link.",
        HTTPStatus.CONFLICT,
        advice="Ask the person who sent you the link whether they still need this, and for a new link.",
    )


def another_was_first() -> Refused:
    """Two people at once."""
    return Refused(
        Kind.SOMEBODY_ELSE_WAS_FIRST,
        "Another person was faster",
        "Another credential was stored during this authorization. It stays, and the new one was dropped.",
        HTTPStatus.CONFLICT,
        advice="Most likely there is nothing left to do. Ask the person who sent you the link.",
    )


def dropped_after_exchange() -> Refused:
    """What the flow was to replace is not there any more; the newer one stays."""
    return Refused(
        Kind.THE_CREDENTIAL_WAS_DROPPED,
        "The credential was dropped",
        "The Datasource's credential was cleared or replaced while the service was answering. The current one stays, and the "
        "new tokens were dropped.",
        HTTPStatus.CONFLICT,
        advice="Ask the person who sent you the link whether they still need this.",
    )


def too_many_at_once() -> Refused:
    """Every flow record is taken again and again."""
    return Refused(
        Kind.TOO_MANY_AT_ONCE,
        "Too many at once",
        "Too many people start an authorization of this Datasource at the same time.",
        HTTPStatus.SERVICE_UNAVAILABLE,
        timedelta(seconds=60),
        advice=AGAIN,
        can_try_again=True,
    )
