"""Refusals for people who sign in: a sign-in that fails, and what a person who signed in may not do."""

import hashlib
import shlex
from datetime import timedelta
from http import HTTPStatus

from callback_server.language import Words, text
from callback_server.refusals.refused import Kind, Refused, worded
from datasource.cluster.page_requests import NotAsked
from datasource.oauth2.kubernetes_user import Why
from datasource.outbound.printable import sentence


def unknown_sign_in() -> Refused:
    """The sign-in began in another browser, or more than ten minutes ago, or never."""
    return worded(Kind.THIS_SIGN_IN_IS_NOT_KNOWN, HTTPStatus.FORBIDDEN, can_try_again=True, is_miss=True)


def sign_in_is_not_ready() -> Refused:
    """A part of the installation is missing. The log says which."""
    return worded(
        Kind.SIGN_IN_IS_NOT_READY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        timedelta(seconds=30),
        command="kubectl datasource doctor",
        can_try_again=True,
    )


def sign_in_was_refused(error: str, description: str | None) -> Refused:
    """The issuer sent an error instead of a code (RFC 6749 section 4.1.2.1)."""
    said = Words(sentence(f"{error}: {description}" if description else error))
    return worded(Kind.SIGN_IN_WAS_REFUSED, HTTPStatus.FORBIDDEN, can_try_again=True, said=said)


def sign_in_does_not_answer() -> Refused:
    """The issuer cannot be asked now; the log says why."""
    return worded(Kind.SIGN_IN_DOES_NOT_ANSWER, HTTPStatus.BAD_GATEWAY, timedelta(seconds=30), can_try_again=True)


def sign_in_cannot_be_verified(what: str) -> Refused:
    """The answer is not from the issuer, not for us, or not for this sign-in."""
    return worded(Kind.SIGN_IN_CANNOT_BE_VERIFIED, HTTPStatus.FORBIDDEN, can_try_again=True, what=Words(what))


def sign_in_names_nobody(why: Why, claim: str) -> Refused:
    """The claims name no user, or none that the cluster can know."""
    kind = Kind.SIGN_IN_NAMES_NOBODY
    return worded(kind, HTTPStatus.FORBIDDEN, what=text(f"{kind}.{why.name.lower()}", claim=claim))


def not_allowed(user: str, verb: str, namespace: str) -> Refused:
    """The person may not do that. The answer is the same whether the object exists or not."""
    return worded(
        Kind.NOT_ALLOWED,
        HTTPStatus.FORBIDDEN,
        command=role_binding(user, verb, namespace),
        user=user,
        verb=_what(verb),
        namespace=namespace,
    )


def not_allowed_everywhere(user: str, verb: str) -> Refused:
    """The person may not do that in all namespaces, but perhaps in some."""
    command = role_binding(user, verb, None)
    return worded(Kind.NOT_ALLOWED_EVERYWHERE, HTTPStatus.FORBIDDEN, command=command, user=user, verb=_what(verb))


def right_was_taken_away(user: str, verb: str, namespace: str) -> Refused:
    """The person lost the right between the button and the return from the provider."""
    return worded(
        Kind.THE_RIGHT_WAS_TAKEN_AWAY,
        HTTPStatus.FORBIDDEN,
        user=user,
        verb=_what(verb),
        namespace=namespace,
    )


def another_person_is_signed_in() -> Refused:
    """Another person began the authorization. It can still end: that person has to come back."""
    return worded(Kind.ANOTHER_PERSON_IS_SIGNED_IN, HTTPStatus.FORBIDDEN)


def another_person_authorized() -> Refused:
    """Another person began the authorization. Only that person may see how it ended."""
    return worded(Kind.ANOTHER_PERSON_AUTHORIZED, HTTPStatus.FORBIDDEN)


def no_such_datasource(namespace: str, name: str) -> Refused:
    """There is no such Datasource. Only a person who may read in that namespace sees this."""
    return worded(Kind.THERE_IS_NO_SUCH_DATASOURCE, HTTPStatus.NOT_FOUND, namespace=namespace, name=name)


def nothing_to_ask(why: NotAsked) -> Refused:
    """The operator could do nothing with that request."""
    kind = Kind.NOTHING_WAS_ASKED_FOR
    return worded(kind, HTTPStatus.CONFLICT, what=text(f"{kind}.{why.name.lower()}"))


def _what(verb: str) -> str:
    return text(f"not_allowed.{verb}")


_ROLES = {"get": "datasource-viewer", "list": "datasource-viewer", "authorize": "datasource-authorizer"}
"""The smallest role that has the verb. For every other verb, it is the editor's role."""

_LONGEST_SHOWN = 256


def role_binding(user: str, verb: str, namespace: str | None) -> str | None:
    """The command that gives a user that right; None where the name is not safe to copy from a page into a shell.

    Without a namespace, the right is for all namespaces. A person who may give rights has to run the command.
    """
    if not (user.isascii() and user.isprintable() and len(user) <= _LONGEST_SHOWN):
        return None
    role = _ROLES.get(verb, "datasource-editor")
    # The name is the same for one user and role, so running it twice makes one binding. A user's name may be no object name.
    name = f"{role}-{hashlib.sha256(user.encode()).hexdigest()[:8]}"
    given = f"{name} --clusterrole={role} --user={shlex.quote(user)}"
    if namespace is None:
        return f"kubectl create clusterrolebinding {given}"
    return f"kubectl create rolebinding {given} --namespace={shlex.quote(namespace)}"
