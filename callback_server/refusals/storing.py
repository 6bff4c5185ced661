"""As the Datasource and its Secrets stand, no credential can be asked for or stored."""

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
    """Somebody else's Secret has the name under which the credential would be kept."""
    return worded(Kind.A_SECRET_IS_IN_THE_WAY, HTTPStatus.CONFLICT, advice=TELL, secret=secret)


def write_is_refused(secret: str, why: str) -> Refused:
    """A dry run showed that the credential could not be stored."""
    kind = Kind.THE_CREDENTIAL_COULD_NOT_BE_STORED
    return worded(kind, HTTPStatus.CONFLICT, advice=TELL, secret=secret, words=_words(why))


def record_is_refused(why: str) -> Refused:
    """The API server takes no record of an authorization: a quota of our own namespace, somebody's webhook."""
    kind = Kind.THE_AUTHORIZATION_COULD_NOT_BEGIN
    return worded(kind, HTTPStatus.SERVICE_UNAVAILABLE, advice=TELL, words=_words(why), can_try_again=True)


def store_was_refused(secret: str, why: str) -> Refused:
    """The rehearsal went well, and the write itself was refused until the flow was over."""
    return worded(Kind.STORE_WAS_REFUSED, HTTPStatus.CONFLICT, advice=TELL, secret=secret, words=_words(why))


_LONGEST_WORDS = 1024


def _words(why: str) -> str:
    """What the API server says: a quota, a webhook or a policy tells nobody else what it wants."""
    said = why[:_LONGEST_WORDS].strip().rstrip(".")
    return Words(said) if said else text("store_was_refused.nothing")
