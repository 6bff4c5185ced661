"""The Datasource is not what it was when the person began."""

from datetime import timedelta
from http import HTTPStatus

from callback_server.refusals.refused import AGAIN, ASK, FIND_THE_LINK, Kind, Refused


def suspended() -> Refused:
    """A link that was offered before `spec.suspend` was set."""
    return Refused(
        Kind.THE_DATASOURCE_IS_SUSPENDED,
        "The Datasource is suspended",
        "Its spec.suspend is true, so nobody can get a credential. Nothing was changed. Once spec.suspend is false or left "
        "out, the status holds a link again.",
        HTTPStatus.CONFLICT,
        command=FIND_THE_LINK,
        advice="Whoever sent you the link has paused this. Ask them when it goes on.",
    )


def suspended_meanwhile() -> Refused:
    """Somebody set `spec.suspend` while the person was at the provider."""
    return Refused(
        Kind.THE_DATASOURCE_WAS_SUSPENDED_MEANWHILE,
        "The Datasource was suspended meanwhile",
        "Somebody set spec.suspend to true while the authorization was under way. The code was not used and nothing was "
        "stored.",
        HTTPStatus.CONFLICT,
        advice="Whoever sent you the link has paused this. Ask them when it goes on, and open the link again then.",
    )


def flow_has_expired() -> Refused:
    """Its 10 minutes are over."""
    return Refused(
        Kind.THIS_AUTHORIZATION_TOOK_TOO_LONG,
        "This authorization took too long",
        "It must be finished within 10 minutes. The code was not used and nothing was stored.",
        advice="Please open the link again and finish within 10 minutes.",
    )


def datasource_is_gone() -> Refused:
    """Deleted, or another one of the same name by now."""
    return Refused(
        Kind.THE_DATASOURCE_IS_GONE,
        "The Datasource is gone",
        "It was deleted while the authorization was under way. The code was not used and nothing was stored.",
        HTTPStatus.GONE,
        advice="Ask whoever sent you the link whether it is still needed.",
    )


def parameters_changed_meanwhile() -> Refused:
    """What the person agreed to is not what stands there now."""
    return Refused(
        Kind.THE_PARAMETERS_WERE_CHANGED_MEANWHILE,
        "The parameters were changed meanwhile",
        "Somebody changed the OAuth2 parameters while the authorization was under way. The code was not used and nothing "
        "was stored. The status holds a new link.",
        HTTPStatus.CONFLICT,
        advice=ASK,
    )


def cleared_meanwhile() -> Refused:
    """A clear request is newer than the flow."""
    return Refused(
        Kind.THE_CREDENTIAL_WAS_CLEARED_MEANWHILE,
        "The credential was cleared meanwhile",
        "Somebody asked to clear the credential while the authorization was under way. The code was not used and nothing "
        "was stored. The status holds a new link.",
        HTTPStatus.CONFLICT,
        advice="Ask whoever sent you the link whether they still need a credential, and for a new link.",
    )


def another_was_first() -> Refused:
    """Two people at once."""
    return Refused(
        Kind.SOMEBODY_ELSE_WAS_FIRST,
        "Somebody else was first",
        "Another credential was stored while this authorization was under way. It stays, and this one was dropped.",
        HTTPStatus.CONFLICT,
        advice="Most likely there is nothing left to do. Ask whoever sent you the link.",
    )


def dropped_after_exchange() -> Refused:
    """What the flow was to replace is not there any more; the newer one stays."""
    return Refused(
        Kind.THE_CREDENTIAL_WAS_DROPPED,
        "The credential was dropped",
        "While the service was answering, the Datasource's credential was cleared or replaced by somebody else. What stands "
        "now stays, and the new tokens were dropped.",
        HTTPStatus.CONFLICT,
        advice="Ask whoever sent you the link whether they still need a credential.",
    )


def too_many_at_once() -> Refused:
    """Every flow record is taken again and again."""
    return Refused(
        Kind.TOO_MANY_AT_ONCE,
        "Too many at once",
        "Too many authorizations of this Datasource are being started at the same time.",
        HTTPStatus.SERVICE_UNAVAILABLE,
        timedelta(seconds=60),
        advice=AGAIN,
        can_try_again=True,
    )
