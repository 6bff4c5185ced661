"""I/O: `import`, from standard input to the end of the wait."""

import json
import sys
from datetime import timedelta
from functools import partial

import click

from datasource.api.names import SecretType, import_secret_name
from datasource.api.states import IMPORTED
from datasource.oauth2.reply_members import LONGEST_TOKEN
from datasource.records.import_secret import UnusableImport, imported_token
from kubectl_datasource.commands import tell, wait
from kubectl_datasource.exits import Exit, Misused, Problem, Refused
from kubectl_datasource.importing import earlier_one_is_gone, imported, manifest, not_now
from kubectl_datasource.kubectl import FIELD_MANAGER, Kubectl
from kubectl_datasource.screen import Screen, question
from kubectl_datasource.waiting import Ended

SEES_WITHIN = timedelta(seconds=20)
"""How long the operator may take to see that an earlier import was deleted. If one is still there, the API server says so."""


def import_token(kubectl: Kubectl, name: str, *, seconds: int | None, output: str | None) -> Exit:
    """Bring a refresh token along, and tell what came of it; `seconds` None does not wait.

    Raises:
        Misused: what was read is no refresh token.
        Problem: the Secret cannot be made.
    """
    screen = Screen.of_process()
    before = kubectl.datasource(name)
    ended = not_now(before)
    if ended is None:
        token = _token()
        if before.status.condition(IMPORTED) is not None:
            wait(screen, partial(kubectl.datasource, name), earlier_one_is_gone, SEES_WITHIN)
        _create(kubectl.at(before.metadata.namespace), name, json.dumps(manifest(before, token)))
        if seconds is None:
            ended = Ended(Exit.FINE, f"{before.place}: the refresh token waits for the operator.")
        else:
            ended = wait(screen, partial(kubectl.datasource, name), imported(before), timedelta(seconds=seconds))
    tell(screen, {name: ended}, output)
    return ended.exit


def _token() -> str:
    """What is typed, or piped in.

    Raises:
        Misused: it is no refresh token.
    """
    try:
        return imported_token(_typed() if sys.stdin.isatty() else _piped())
    except UnusableImport as error:
        raise Misused(str(error), "Nothing was sent. Pipe it in: kubectl datasource import NAME < FILE") from None


def _typed() -> str:
    with question():
        return str(click.prompt("Refresh token (not shown)", hide_input=True, err=True, default="", show_default=False))


def _piped() -> str:
    """No more than tells that it is too long: whoever pipes a disk in waits for no more."""
    content = sys.stdin.buffer.read(4 * LONGEST_TOKEN)
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UnusableImport(
            "Standard input is not text in UTF-8. Pipe the refresh token in, and nothing else."
        ) from None


def _create(kubectl: Kubectl, name: str, content: str) -> None:
    try:
        kubectl.run("create", "-f", "-", f"--field-manager={FIELD_MANAGER}", *kubectl.scope, stdin=content)
    except Refused as error:
        if "already exists" not in error.what:
            raise
        raise _in_the_way(kubectl, name) from None


def _in_the_way(kubectl: Kubectl, name: str) -> Problem:
    """Why the Secret cannot be made: the import before, or a Secret that is none and has its name."""
    secret, scope = import_secret_name(name), " ".join(kubectl.scope)
    try:
        type_ = kubectl.run("get", "secret", secret, "-o", "jsonpath={.type}", *kubectl.scope)
    except Refused:
        type_ = SecretType.IMPORT
    if type_ == SecretType.IMPORT:
        return Problem(
            f"Another import of {name} is there already: Secret {secret}.",
            f"See what it waits for: kubectl datasource status {name}. To take it back: kubectl delete secret {secret} {scope}",
        )
    return Problem(
        f"Secret {secret} is there already, and it is no import: its type is {type_}, not {SecretType.IMPORT}.",
        f"See who uses it: kubectl describe secret {secret} {scope}. Rename or delete it, and import again.",
    )
