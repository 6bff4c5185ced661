"""People who sign in: what keeps somebody from it, and what somebody who did may not do."""

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
    """It began in another browser, or more than ten minutes ago, or never."""
    return worded(Kind.THIS_SIGN_IN_IS_NOT_KNOWN, HTTPStatus.FORBIDDEN, can_try_again=True, is_miss=True)


def sign_in_is_not_ready() -> Refused:
    """Something of the installation is missing; the log says what."""
    return worded(
        Kind.SIGN_IN_IS_NOT_READY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        timedelta(seconds=30),
        command="kubectl datasource doctor",
        can_try_again=True,
    )


def sign_in_was_refused(error: str, description: str | None) -> Refused:
    """The issuer says no (RFC 6749 section 4.1.2.1)."""
    said = Words(sentence(f"{error}: {description}" if description else error))
    return worded(Kind.SIGN_IN_WAS_REFUSED, HTTPStatus.FORBIDDEN, can_try_again=True, said=said)


def sign_in_does_not_answer() -> Refused:
    """The issuer cannot be asked now; the log says why."""
    return worded(Kind.SIGN_IN_DOES_NOT_ANSWER, HTTPStatus.BAD_GATEWAY, timedelta(seconds=30), can_try_again=True)


def sign_in_cannot_be_verified(what: str) -> Refused:
    """The answer is not the issuer's, or not for us, or not to what was asked."""
    return worded(Kind.SIGN_IN_CANNOT_BE_VERIFIED, HTTPStatus.FORBIDDEN, can_try_again=True, what=Words(what))


def sign_in_names_nobody(why: Why, claim: str) -> Refused:
    """Whoever signed in has no name, or none that the cluster could know."""
    kind = Kind.SIGN_IN_NAMES_NOBODY
    return worded(kind, HTTPStatus.FORBIDDEN, what=text(f"{kind}.{why.name.lower()}", claim=claim))


def not_allowed(user: str, verb: str, namespace: str) -> Refused:
    """The same answer whether there is such an object or not: whoever may not look learns nothing of it."""
    return worded(
        Kind.NOT_ALLOWED,
        HTTPStatus.FORBIDDEN,
        command=role_binding(user, verb, namespace),
        user=user,
        verb=_what(verb),
        namespace=namespace,
    )


def not_allowed_everywhere(user: str, verb: str) -> Refused:
    """Who may do that in some namespaces may not do it in all of them at once."""
    command = role_binding(user, verb, None)
    return worded(Kind.NOT_ALLOWED_EVERYWHERE, HTTPStatus.FORBIDDEN, command=command, user=user, verb=_what(verb))


def right_was_taken_away(user: str, verb: str, namespace: str) -> Refused:
    """Between the button and the way back."""
    return worded(
        Kind.THE_RIGHT_WAS_TAKEN_AWAY,
        HTTPStatus.FORBIDDEN,
        user=user,
        verb=_what(verb),
        namespace=namespace,
    )


def another_person_is_signed_in() -> Refused:
    """An authorization ends with the person it began with; this one can still end."""
    return worded(Kind.ANOTHER_PERSON_IS_SIGNED_IN, HTTPStatus.FORBIDDEN)


def another_person_authorized() -> Refused:
    """How it ended is told to the one who began it, and to nobody else who signs in with that browser."""
    return worded(Kind.ANOTHER_PERSON_AUTHORIZED, HTTPStatus.FORBIDDEN)


def no_such_datasource(namespace: str, name: str) -> Refused:
    """Told only to who may look into the namespace."""
    return worded(Kind.THERE_IS_NO_SUCH_DATASOURCE, HTTPStatus.NOT_FOUND, namespace=namespace, name=name)


def nothing_to_ask(why: NotAsked) -> Refused:
    """There is nothing that the operator could do."""
    kind = Kind.NOTHING_WAS_ASKED_FOR
    return worded(kind, HTTPStatus.CONFLICT, what=text(f"{kind}.{why.name.lower()}"))


def _what(verb: str) -> str:
    return text(f"not_allowed.{verb}")


_ROLES = {"get": "datasource-viewer", "list": "datasource-viewer", "authorize": "datasource-authorizer"}
"""The least that has a verb; for all others it is the editor's."""

_LONGEST_SHOWN = 256


def role_binding(user: str, verb: str, namespace: str | None) -> str | None:
    """What gives that right, to be typed by who may; None for a name that nobody should copy from a page into a shell.

    No namespace means in all of them.
    """
    if not (user.isascii() and user.isprintable() and len(user) <= _LONGEST_SHOWN):
        return None
    role = _ROLES.get(verb, "datasource-editor")
    # One name for each user and role: the same command twice makes one binding. A user's own name is none for an object.
    name = f"{role}-{hashlib.sha256(user.encode()).hexdigest()[:8]}"
    given = f"{name} --clusterrole={role} --user={shlex.quote(user)}"
    if namespace is None:
        return f"kubectl create clusterrolebinding {given}"
    return f"kubectl create rolebinding {given} --namespace={shlex.quote(namespace)}"
