"""Whoever authorized is not who is expected, or it cannot be told who that is."""

from collections.abc import Mapping
from http import HTTPStatus

from callback_server.refusals.refused import AGAIN, TELL, Kind, Refused


def identity_does_not_fit(what: str) -> Refused:
    """The id_token is not for us."""
    return Refused(
        Kind.ID_TOKEN_CANNOT_BE_USED,
        "The service's answer cannot be used",
        f"{what} Nothing was stored. Check spec.oauth2.issuer and spec.oauth2.clientID, then try again.",
        HTTPStatus.BAD_GATEWAY,
        advice=TELL,
    )


def identity_cannot_be_verified(what: str) -> Refused:
    """Before the code was spent: the issuer's keys are not to be had."""
    return Refused(
        Kind.WHO_AUTHORIZES_CANNOT_BE_VERIFIED,
        "Your account cannot be verified",
        f"{what} The code was not used and nothing was stored. If this does not help, check spec.oauth2.issuer.",
        HTTPStatus.BAD_GATEWAY,
        advice=AGAIN,
    )


def identity_is_unknown() -> Refused:
    """spec.oauth2.expectedIdentity is set, and the service told nothing."""
    return Refused(
        Kind.WHO_AUTHORIZED_IS_UNKNOWN,
        "Your account is unknown",
        "The service sent no id_token, so your account cannot be compared with spec.oauth2.expectedIdentity. Nothing was "
        "stored. Check that the application may use the scope openid.",
        HTTPStatus.FORBIDDEN,
        advice=TELL,
    )


def somebody_else_authorized(expected: Mapping[str, str]) -> Refused:
    """Says what the spec says, which the dialog's reader may know, and nothing of whoever came."""
    wanted = ", ".join(f"{claim} {value}" for claim, value in expected.items())
    of_email = "An e-mail address counts only if the service says that it is verified. " if "email" in expected else ""
    return Refused(
        Kind.SOMEBODY_ELSE_IS_EXPECTED,
        "Another account is expected",
        f"Only this account may authorize the Datasource: {wanted}. You signed in with a different account, or the service "
        f"did not confirm your account. {of_email}Nothing was stored. The access that you gave was revoked if the service "
        "allows that.",
        HTTPStatus.FORBIDDEN,
        advice=f"Sign out of the service. Sign in as {next(iter(expected.values()), 'the right person')}. Then open the link "
        "again.",
    )
