"""I/O: what each command does, from the options to the exit code. What it decides with is in the pure modules."""

import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from datasource.api import link_ticket
from datasource.api.clock import rfc3339
from datasource.api.names import Annotation, SecretType, ticket_in
from datasource.process.clock import utc_now
from datasource.process.installation import SYSTEM_NAMESPACE
from kubectl_datasource import asking, authorizing
from kubectl_datasource.asking import Request
from kubectl_datasource.exits import Exit, Misused, Problem, Refused
from kubectl_datasource.forwarding import forwarded
from kubectl_datasource.kubectl import Kubectl
from kubectl_datasource.objects import Datasource
from kubectl_datasource.screen import Screen, may_open_browser, open_browser
from kubectl_datasource.waiting import Ended, Going, Judge, wait_for
from kubectl_datasource.words import Cell, counted, printable

T = TypeVar("T")

SUSPENDED_WITHIN = timedelta(seconds=60)
SETTLES_WITHIN = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Authorization:
    """The options of `authorize`."""

    name: str
    new: bool
    no_browser: bool
    wait: bool
    seconds: int
    system_namespace: str = SYSTEM_NAMESPACE


def authorize(kubectl: Kubectl, wanted: Authorization, output: str | None) -> Exit:
    """Print the link, open it, wait until the credential is stored."""
    screen = Screen.of_process()
    deadline = time.monotonic() + wanted.seconds

    def look_until(judge: Judge[T]) -> T | Ended:
        left = timedelta(seconds=max(0.0, deadline - time.monotonic()))
        return wait(screen, lambda: kubectl.datasource(wanted.name), judge, left)

    # Once without patience: a cluster that is not there, or knows no such Datasource, is no reason to wait.
    kubectl.datasource(wanted.name)
    first: authorizing.AskForNew | authorizing.Open | Ended
    found: authorizing.Open | Ended
    first = look_until(partial(authorizing.beginning, new=wanted.new))
    if isinstance(first, authorizing.AskForNew):
        kubectl.annotate(wanted.name, Annotation.NEW_CREDENTIAL, _value())
        found = look_until(authorizing.link_is_offered)
    else:
        found = first
    if isinstance(found, authorizing.Open) and not wanted.wait:
        return _hand_over(screen, _whole_link(kubectl, wanted.name, found.link), output)
    with ExitStack() as until_done:
        if isinstance(found, authorizing.Open):
            until_done.enter_context(forwarded(kubectl, found.link, wanted.system_namespace, screen.note))
        while isinstance(found, authorizing.Open):
            _lead_to(screen, _whole_link(kubectl, wanted.name, found.link), wanted, output)
            # Another link takes its place where parameters are changed or the credential is cleared meanwhile.
            found = look_until(authorizing.authorized(found))
    tell(screen, {wanted.name: found}, output)
    return found.exit


def _whole_link(kubectl: Kubectl, name: str, link: str) -> str:
    """The link, with a ticket where the Datasource asks for that and people sign in: it is printed here and nowhere else."""
    if ticket_in(link) is not None:
        return link
    metadata = kubectl.datasource(name).metadata
    ticket = link_ticket.new_ticket(secrets.token_bytes)
    whole = link_ticket.with_ticket(link, metadata.namespace, metadata.name, ticket)
    if whole is None or not link_ticket.is_asked_for(metadata.annotations):
        return link
    kubectl.annotate(name, Annotation.LINK_TICKET, link_ticket.kept(ticket, metadata.generation))
    return whole


def _hand_over(screen: Screen, link: str, output: str | None) -> Exit:
    if output == "json":
        screen.show_json({"authorizationLink": link})
    else:
        screen.show(printable(link))
    return Exit.FINE


def _lead_to(screen: Screen, link: str, wanted: Authorization, output: str | None) -> None:
    if output == "json":
        screen.note(printable(link))
    else:
        screen.show(printable(link))
    may = may_open_browser(sys.stdout, os.environ, sys.platform) and authorizing.is_web_link(link)
    if not wanted.no_browser and may and open_browser(link):
        screen.note("It opens in your browser. Choose Get new credential there, and consent.")
    else:
        screen.note("Open this link in a browser, choose Get new credential, and consent. It works once.")


def clear(kubectl: Kubectl, names: Sequence[str], *, sure: bool, seconds: int | None, output: str | None) -> Exit:
    """Ask to clear, and wait until it is done; `seconds` None does not wait."""
    screen = Screen.of_process()
    if not sure:
        _confirm(kubectl, names)
    return _ask(kubectl, screen, names, lambda datasource: asking.clear(datasource, _value()), seconds, output)


def refresh(kubectl: Kubectl, names: Sequence[str], *, seconds: int | None, output: str | None) -> Exit:
    """Ask to refresh, and tell what came of it; `seconds` None does not wait."""
    return _ask(kubectl, Screen.of_process(), names, _refresh_of, seconds, output)


def _refresh_of(datasource: Datasource) -> Request | Ended:
    # refreshedAt has whole seconds: a refresh within the second of the last one could not be told from none.
    while datasource.status.refreshed_at == rfc3339(utc_now()):
        time.sleep(0.1)
    return asking.refresh(datasource, _value(), utc_now)


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """The options of `export`."""

    names: tuple[str, ...]
    path: str
    with_client_secrets: bool
    suspend: bool


def export(kubectl: Kubectl, wanted: ExportOptions) -> Exit:
    """Write the file, and say what its keeper must know."""
    from kubectl_datasource import export as exporting
    from kubectl_datasource.files import write_private

    screen = Screen.of_process()
    format_ = exporting.format_of(wanted.path)
    if wanted.path == "-" and sys.stdout.isatty():
        raise Misused("Refresh tokens are not for a screen.", "Redirect stdout, or name a file.")
    if wanted.names and kubectl.all_namespaces:
        raise Misused("Names cannot be given together with -A.", "Leave one of the two out.")
    datasources = kubectl.raw_datasources(wanted.names)
    if not datasources:
        raise Problem("There are no Datasources to export.")
    suspended = _suspend(kubectl, screen, datasources) if wanted.suspend else frozenset[str]()
    credentials = _credentials(kubectl, wanted.names, datasources)
    client_secrets = [
        secret
        for namespace, names in (
            exporting.client_secrets_by_namespace(datasources).items() if wanted.with_client_secrets else ()
        )
        for secret in kubectl.raw_secrets_named(namespace, names)
    ]
    written = exporting.export(datasources, credentials, client_secrets, suspended=suspended)
    text = exporting.rendered(written.manifest, format_)
    if wanted.path == "-":
        sys.stdout.write(text)
    else:
        write_private(Path(wanted.path), text)
        count = len(written.items) - len(datasources)
        screen.note(f"Wrote {counted(len(datasources), 'Datasource')} and {counted(count, 'Secret')} to {wanted.path}.")
    for warning in written.warnings:
        screen.note(f"Warning: {printable(warning)}", "yellow")
    return Exit.FINE


def _credentials(kubectl: Kubectl, names: Sequence[str], datasources: list[Any]) -> list[Any]:
    """By name where names were given, for which the right to get is enough; else with a LIST."""
    from kubectl_datasource.export import names_by_namespace

    if not names:
        return kubectl.raw_secrets(f"type={SecretType.CREDENTIAL}")
    return [
        secret
        for namespace, found in names_by_namespace(datasources).items()
        for secret in kubectl.credentials_of(namespace, found)
    ]


def _suspend(kubectl: Kubectl, screen: Screen, datasources: list[Any]) -> frozenset[str]:
    """Set spec.suspend, and wait until the operator has seen it and no refresh is under way."""
    from kubectl_datasource.export import place_of

    suspended: list[str] = []
    for each in datasources:
        name, namespace = each["metadata"]["name"], each["metadata"]["namespace"]
        there = kubectl.at(namespace)
        if there.suspend(name).get("spec", {}).get("suspend") is not True:
            raise Problem(
                "The Datasources of this cluster have no spec.suspend.",
                "Stop the operator instead while you export and restore: kubectl scale "
                f"-n {SYSTEM_NAMESPACE} deployment/datasource-operator --replicas=0",
            )
        ended = wait(screen, partial(there.datasource, name), partial(_is_quiet, there), SUSPENDED_WITHIN)
        if ended.exit is not Exit.FINE:
            done = f"Suspended already: {', '.join(suspended)}." if suspended else ""
            raise Problem(f"{place_of(each)} could not be suspended, and nothing was written. {ended.text}", done)
        suspended.append(place_of(each))
    # A refresh that had looked at the spec just before shows on the Secret by then, as an intent or as a new revision.
    time.sleep(SETTLES_WITHIN.total_seconds())
    return frozenset(suspended)


def _is_quiet(kubectl: Kubectl, datasource: Datasource) -> Going | Ended:
    """Whether the operator has seen the suspension, and no refresh is on its way."""
    from kubectl_datasource.export import refresh_is_under_way

    if not datasource.is_looked_at:
        return Going(f"waiting for the operator to suspend {datasource.place}")
    credentials = kubectl.credentials_of(datasource.metadata.namespace, [datasource.metadata.name])
    if any(refresh_is_under_way(each) for each in credentials):
        return Going(f"waiting for the end of a refresh of {datasource.place}")
    return Ended(Exit.FINE, "")


def wait(screen: Screen, look: Callable[[], Datasource], judge: Judge[T], timeout: timedelta) -> T | Ended:
    """Look again and again until the judge says that it is over, and show what is waited for."""
    with screen.progress() as show:
        return wait_for(look, judge, timeout=timeout, monotonic=time.monotonic, sleep=time.sleep, show=show)


def _value() -> str:
    return asking.new_value(utc_now(), secrets.token_bytes(4))


def _confirm(kubectl: Kubectl, names: Sequence[str]) -> None:
    """Ask before something is taken away, and say where: the context may be another than one thinks.

    Raises:
        Misused: there is nobody to ask.
        Abort: the answer is no.
    """
    if not sys.stdin.isatty():
        raise Misused("Cannot ask you: stdin is not a terminal.", "Add --yes, and it does not ask.")
    places = ", ".join(kubectl.datasource(name).place for name in names)
    context = kubectl.current_context()
    where = "" if context is None else f" in context {context}"
    question = (
        f"Delete the stored tokens of {places}{where}? New pods do not start then. Running apps keep the old token until it "
        "expires or is revoked."
    )
    click.confirm(printable(question), abort=True, err=True)


def _ask(
    kubectl: Kubectl,
    screen: Screen,
    names: Sequence[str],
    request: Callable[[Datasource], Request | Ended],
    seconds: int | None,
    output: str | None,
) -> Exit:
    """Ask for the same of each, then wait for all of them; what one runs into does not keep the others from it."""
    asked = {name: _asked(kubectl, name, request) for name in dict.fromkeys(names)}
    deadline = time.monotonic() + (seconds or 0)
    ends: dict[str, Ended] = {}
    for name, each in asked.items():
        if isinstance(each, Ended):
            ends[name] = each
        elif seconds is None:
            ends[name] = Ended(Exit.FINE, f"{each.before.place}: asked for.")
        else:
            left = timedelta(seconds=max(0.0, deadline - time.monotonic()))
            ends[name] = wait(screen, partial(kubectl.datasource, name), each.judge, left)
    tell(screen, ends, output)
    return next((code for code in (Exit.NOT_AS_WANTED, Exit.TIMED_OUT) if code in _codes(ends)), Exit.FINE)


def _asked(kubectl: Kubectl, name: str, request: Callable[[Datasource], Request | Ended]) -> Request | Ended:
    try:
        asked = request(kubectl.datasource(name))
        if isinstance(asked, Request):
            kubectl.annotate(name, asked.annotation, asked.value)
    except Refused as error:
        return Ended(error.exit, error.what)
    return asked


def _codes(ends: Mapping[str, Ended]) -> set[Exit]:
    return {each.exit for each in ends.values()}


def tell(screen: Screen, ends: Mapping[str, Ended], output: str | None) -> None:
    """Good news to stdout, bad news to stderr; all of it to stdout for programs."""
    if output == "json":
        told = [{"name": name, "exitCode": int(end.exit), "message": end.text} for name, end in ends.items()]
        screen.show_json({"items": told})
        return
    for end in ends.values():
        if end.exit is Exit.FINE:
            screen.show((Cell(printable(end.text), "green"),))
        else:
            screen.note(printable(end.text), "red")
