"""As the Datasource and its Secrets stand, no credential can be asked for or stored."""

from http import HTTPStatus

from callback_server.refusals.refused import TELL, Kind, Refused


def not_configured(message: str) -> Refused:
    """The spec, or the client Secret that it names, cannot be used as it is."""
    return Refused(
        Kind.THE_DATASOURCE_IS_NOT_READY_FOR_THIS,
        "The Datasource is not ready for this",
        message,
        HTTPStatus.CONFLICT,
        advice=TELL,
        can_try_again=True,
    )


def name_is_taken(secret: str) -> Refused:
    """Somebody else's Secret has the name under which the credential would be kept."""
    return Refused(
        Kind.A_SECRET_IS_IN_THE_WAY,
        "A Secret is in the way",
        f"Secret {secret} already exists and does not belong to this Datasource. The code was not used and nothing was stored. "
        "Rename or delete that Secret, then open the Datasource's link again.",
        HTTPStatus.CONFLICT,
        advice=TELL,
    )


def write_is_refused(secret: str, why: str) -> Refused:
    """A dry run showed that the credential could not be stored."""
    return Refused(
        Kind.THE_CREDENTIAL_COULD_NOT_BE_STORED,
        "The credential could not be stored",
        f"The API server would not accept Secret {secret}. It says: {_words(why)}. The code was not used. "
        "Ask the platform team to check the rights of the callback server and the quotas.",
        HTTPStatus.CONFLICT,
        advice=TELL,
    )


def store_was_refused(secret: str, why: str) -> Refused:
    """The rehearsal went well, and the write itself was refused until the flow was over."""
    return Refused(
        Kind.STORE_WAS_REFUSED,
        "The credential could not be stored",
        f"The API server did not accept Secret {secret} during the whole authorization. It says: {_words(why)}. The new "
        "tokens were dropped. Ask the platform team to check the rights of the callback server and the quotas. Then open the "
        "Datasource's link again.",
        HTTPStatus.CONFLICT,
        advice=TELL,
    )


_LONGEST_WORDS = 1024


def _words(why: str) -> str:
    """What the API server says: a quota, a webhook or a policy tells nobody else what it wants."""
    return why[:_LONGEST_WORDS].strip().rstrip(".") or "nothing"
