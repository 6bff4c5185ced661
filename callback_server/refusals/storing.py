"""The Datasource or its Secrets do not allow a credential to be requested or stored."""

from http import HTTPStatus

from callback_server.language import Words, text
from callback_server.refusals.refused import TELL, Kind, Refused, worded


def not_configured(message: str) -> Refused:
    """The spec, or the client Secret that it names, cannot be used as it is."""
    return worded(
        Kind.THE_DATASOURCE_IS_NOT_READY_FOR_THIS,
        HTTPStatus.CONFLICT,
        advice=TELL,
        can_try_again=True,
        what=Words(message),
    )


def name_is_taken(secret: str) -> Refused:
    """A Secret that is not ours has the name of the credential Secret."""
    return worded(Kind.A_SECRET_IS_IN_THE_WAY, HTTPStatus.CONFLICT, advice=TELL, secret=secret)


def write_is_refused(secret: str, why: str) -> Refused:
    """A dry run showed that the credential could not be stored."""
    kind = Kind.THE_CREDENTIAL_COULD_NOT_BE_STORED
    return worded(kind, HTTPStatus.CONFLICT, advice=TELL, secret=secret, words=_words(why))


def record_is_refused(why: str) -> Refused:
    """The API server refuses the flow record, because of a quota in our own namespace or a webhook."""
    kind = Kind.THE_AUTHORIZATION_COULD_NOT_BEGIN
    return worded(kind, HTTPStatus.SERVICE_UNAVAILABLE, advice=TELL, words=_words(why), can_try_again=True)


def store_was_refused(secret: str, why: str) -> Refused:
    """The dry run succeeded, but the API server refused the write itself until the flow was over."""
    return worded(Kind.STORE_WAS_REFUSED, HTTPStatus.CONFLICT, advice=TELL, secret=secret, words=_words(why))


_LONGEST_WORDS = 1024


def _words(why: str) -> str:
    """The API server's message. Nothing else says what a quota, a webhook or a policy wants."""
    said = why[:_LONGEST_WORDS].strip().rstrip(".")
    return Words(said) if said else text("store_was_refused.nothing")
