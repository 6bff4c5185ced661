"""The stories that fault tests disturb. A new one is one entry; whatever disturbs takes it up."""

from collections.abc import Callable

from tests.faults.stage import Case, Step, Story
from tests.support.api import DATASOURCES, SECRETS

# What somebody does.


def apply(case: Case) -> None:
    """Apply the Datasource as it is at the beginning."""
    case.apply()


def clear(case: Case) -> None:
    """Ask to clear the credential."""
    case.user.clear("1", case.name)


def ask_for_new_credential(case: Case) -> None:
    """Ask for a link beside the credential there is."""
    case.user.annotate("new-credential", "1", case.name)


def ask_for_refresh(case: Case) -> None:
    """Refresh now."""
    case.user.annotate("refresh", "1", case.name)


def change_parameters(case: Case) -> None:
    """So that the credential fits no more."""
    case.apply(clientID="another-application")


def rename_token_secret(case: Case) -> None:
    """By its name in the spec."""
    case.apply(token_secret=f"{case.name}-renamed")


def delete(case: Case) -> None:
    """Delete the Datasource."""
    case.user.delete(DATASOURCES, case.name)


def ask_to_revoke_on_deletion(case: Case) -> None:
    """By its deletion policy."""
    manifest = case.manifest()
    case.user.apply({**manifest, "spec": {**manifest["spec"], "deletionPolicy": "Revoke"}})


def replace(case: Case) -> None:
    """Delete the Datasource, and make one of the same name at once."""
    delete(case)
    apply(case)


def delete_token_secret(case: Case) -> None:
    """As users should not."""
    case.user.delete(SECRETS, f"{case.name}-token")


def delete_credential(case: Case) -> None:
    """As users should not."""
    case.user.delete(SECRETS, f"{case.name}-oauth2-credential")


# What comes of it.


def becomes(reason: str) -> Callable[[Case], bool]:
    """The operator says so."""
    return lambda case: case.has_reason(reason)


def has_link(case: Case) -> bool:
    """A link is offered."""
    return "authorizationLink" in case.user.status(case.name)


def is_refreshed(case: Case) -> bool:
    """The operator says that it acted on the request."""
    return bool(case.user.status(case.name).get("handled", {}).get("refresh") == "1")


def has_no_link(case: Case) -> bool:
    """No link is offered."""
    return not has_link(case)


def has_token_secret(case: Case) -> bool:
    """Apps find a token, under the usual name and no other."""
    return _exists(case, "token") and not _exists(case, "renamed")


def is_renamed(case: Case) -> bool:
    """Apps find a token, under the new name and no other."""
    return _exists(case, "renamed") and not _exists(case, "token")


def has_no_secrets(case: Case) -> bool:
    """Nothing is left."""
    return not any(_exists(case, what) for what in ("oauth2-credential", "token", "renamed"))


def is_held(case: Case) -> bool:
    """The credential outlives its Datasource until it is revoked, and the operator has said all that it says of that.

    It says so last: a story that went on before would have one write less.
    """
    credential = case.user.credential(case.name)
    held = credential is not None and "datasource.dev/revoke" in credential["metadata"].get("finalizers", [])
    return held and case.is_observed()


def is_cleared_and_revoked(case: Case) -> bool:
    """The operator says that it is cleared, and no token waits to be revoked any more."""
    credential = case.user.credential(case.name)
    return case.has_reason("CredentialCleared") and credential is not None and not case.user.tokens(case.name)


def is_new(case: Case) -> bool:
    """It has inherited nothing, and waits for a person."""
    return has_no_secrets(case) and case.has_reason("AuthorizationRequired")


def _exists(case: Case, what: str) -> bool:
    return case.user.secret(f"{case.name}-{what}") is not None


STORIES = (
    Story(
        "authorize",
        (
            Step(apply, until=becomes("AuthorizationRequired")),
            Step(Case.get_credential, until=becomes("Authorized")),
        ),
        begins_with_nothing=True,
    ),
    Story(
        "new credential",
        (Step(ask_for_new_credential, until=has_link), Step(Case.get_credential, until=has_no_link)),
    ),
    Story("refresh", (Step(ask_for_refresh, until=is_refreshed),)),
    Story("clear", (Step(clear, until=is_cleared_and_revoked),)),
    Story(
        "parameters change and back",
        (Step(change_parameters, until=becomes("ParametersChanged")), Step(apply, until=becomes("Authorized"))),
    ),
    Story("token Secret renamed", (Step(rename_token_secret, until=is_renamed),)),
    Story("Datasource deleted", (Step(delete, until=has_no_secrets),)),
    Story(
        "Datasource deleted and revoked",
        (Step(ask_to_revoke_on_deletion, until=is_held), Step(delete, until=has_no_secrets)),
    ),
    Story("Datasource replaced by one of the same name", (Step(replace, until=is_new),)),
)

SECRETS_DELETED = (
    Story("token Secret deleted", (Step(delete_token_secret, until=has_token_secret),)),
    Story("credential deleted", (Step(delete_credential, until=becomes("AuthorizationRequired")),)),
)
"""What is easily missed: no change of a Datasource tells of it."""
