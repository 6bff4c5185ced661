"""Another account than the expected one authorized, or the account cannot be verified."""

from collections.abc import Mapping
from http import HTTPStatus

from callback_server.language import Words, text
from callback_server.refusals.refused import AGAIN, TELL, Kind, Refused, worded


def identity_does_not_fit(what: str) -> Refused:
    """The id_token is not for us."""
    return worded(Kind.ID_TOKEN_CANNOT_BE_USED, HTTPStatus.BAD_GATEWAY, advice=TELL, what=Words(what))


def identity_cannot_be_verified(what: str) -> Refused:
    """The issuer's keys cannot be fetched. The code was not spent."""
    return worded(Kind.WHO_AUTHORIZES_CANNOT_BE_VERIFIED, HTTPStatus.BAD_GATEWAY, advice=AGAIN, what=Words(what))


def identity_is_unknown() -> Refused:
    """spec.oauth2.expectedIdentity is set, and the service did not say who authorized."""
    return worded(Kind.WHO_AUTHORIZED_IS_UNKNOWN, HTTPStatus.FORBIDDEN, advice=TELL)


def somebody_else_authorized(expected: Mapping[str, str]) -> Refused:
    """Another account than the expected one authorized.

    The page shows the expected account, which a reader of the dialog may know. It shows nothing about the other account.
    """
    kind = Kind.SOMEBODY_ELSE_IS_EXPECTED
    wanted = ", ".join(f"{claim} {value}" for claim, value in expected.items())
    message = text(f"{kind}.message_email" if "email" in expected else f"{kind}.message", wanted=wanted)
    account = next(iter(expected.values()), None) or text(f"{kind}.the_right_account")
    advice = text(f"{kind}.advice", account=account)
    return Refused(kind, text(f"{kind}.title"), message, HTTPStatus.FORBIDDEN, advice=advice)
