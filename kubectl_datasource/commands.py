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
from kubectl_datasource.screen import Screen, may_open_browser, open_browser, question
from kubectl_datasource.waiting import Ended, Going, Judge, wait_for
from kubectl_datasource.words import Cell, counted, printable

T = TypeVar("T")

SUSPENDED_WITHIN = timedelta(seconds=60)
SETTLES_WITHIN = timedelta(seconds=2)

_WORST_FIRST = (Exit.USAGE, Exit.UNREACHABLE, Exit.NOT_AS_WANTED, Exit.TIMED_OUT)


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
    began, timeout = time.monotonic(), timedelta(seconds=wanted.seconds)

    def look_until(judge: Judge[T]) -> T | Ended:
        return wait(screen, lambda: kubectl.datasource(wanted.name), judge, timeout, began)

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
        screen.show_text(text)
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

    places: list[str] = []
    try:
        for each in datasources:
            _set_suspend(kubectl, each)
            places.append(place_of(each))
        for each in datasources:
            there = kubectl.at(each["metadata"]["namespace"])
            look = partial(there.datasource, each["metadata"]["name"])
            ended = wait(screen, look, partial(_is_quiet, there), SUSPENDED_WITHIN)
            if ended.exit is not Exit.FINE:
                raise Problem(f"{place_of(each)} could not be suspended. {ended.text}")
    except Problem as problem:
        done = (
            f"Suspended already: {', '.join(places)}. To go on here: kubectl datasource resume NAME -n NAMESPACE"
            if places
            else ""
        )
        raise type(problem)(f"Nothing was written. {problem.what}", f"{problem.remedy} {done}".strip()) from None
    # A refresh that had looked at the spec just before shows on the Secret by then, as an intent or as a new revision.
    time.sleep(SETTLES_WITHIN.total_seconds())
    return frozenset(places)


def _set_suspend(kubectl: Kubectl, datasource: Any) -> None:
    there = kubectl.at(datasource["metadata"]["namespace"])
    if there.suspend(datasource["metadata"]["name"]).get("spec", {}).get("suspend") is not True:
        raise Problem(
            "The Datasources of this cluster have no spec.suspend.",
            "Stop the operator instead while you export and restore: kubectl scale "
            f"-n {SYSTEM_NAMESPACE} deployment/datasource-operator --replicas=0",
        )


def _is_quiet(kubectl: Kubectl, datasource: Datasource) -> Going | Ended:
    """Whether the operator has seen the suspension, and no refresh is on its way."""
    from kubectl_datasource.export import refresh_is_under_way

    if not datasource.is_looked_at:
        return Going(f"waiting for the operator to suspend {datasource.place}")
    credentials = kubectl.credentials_of(datasource.metadata.namespace, [datasource.metadata.name])
    if any(refresh_is_under_way(each) for each in credentials):
        return Going(f"waiting for the end of a refresh of {datasource.place}")
    return Ended(Exit.FINE, "")


def wait(
    screen: Screen, look: Callable[[], Datasource], judge: Judge[T], timeout: timedelta, began: float | None = None
) -> T | Ended:
    """Look again and again until the judge says that it is over, and show what is waited for."""
    with screen.progress() as show:
        return wait_for(
            look, judge, timeout=timeout, monotonic=time.monotonic, sleep=time.sleep, show=show, began=began
        )


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
    text = (
        f"Delete the stored tokens of {places}{where}? New pods do not start then. Running apps keep the old token until it "
        "expires or is revoked."
    )
    with question():
        click.confirm(printable(text), abort=True, err=True)


def _ask(
    kubectl: Kubectl,
    screen: Screen,
    names: Sequence[str],
    request: Callable[[Datasource], Request | Ended],
    seconds: int | None,
    output: str | None,
) -> Exit:
    """Ask for the same of each, then wait for all of them."""

    def ask(name: str) -> Judge[Ended] | Ended:
        request_ = request(kubectl.datasource(name))
        if isinstance(request_, Ended):
            return request_
        kubectl.annotate(name, request_.annotation, request_.value)
        return Ended(Exit.FINE, f"{request_.before.place}: asked for.") if seconds is None else request_.judge

    return conclude(screen, end_each(kubectl, screen, begin_each(names, ask), seconds or 0), output)


def begin_each(names: Sequence[str], begin: Callable[[str], Judge[Ended] | Ended]) -> dict[str, Judge[Ended] | Ended]:
    """Do the same to each; what one runs into, be it a lost connection, does not keep the others from it."""
    begun: dict[str, Judge[Ended] | Ended] = {}
    for name in names:
        try:
            begun[name] = begin(name)
        except Problem as error:
            # Only an answer of the API server names the object.
            who = "" if isinstance(error, Refused) else f"{name}: "
            begun[name] = Ended(error.exit, f"{who}{error.what} {error.remedy}".strip())
    return begun


def end_each(
    kubectl: Kubectl, screen: Screen, begun: Mapping[str, Judge[Ended] | Ended], seconds: int
) -> dict[str, Ended]:
    """Wait for those that are not over yet, one after another; they share the time."""
    began, timeout = time.monotonic(), timedelta(seconds=seconds)
    return {
        name: each if isinstance(each, Ended) else wait(screen, partial(kubectl.datasource, name), each, timeout, began)
        for name, each in begun.items()
    }


def conclude(screen: Screen, ends: Mapping[str, Ended], output: str | None) -> Exit:
    """Tell what became of each; returns the exit code of all."""
    tell(screen, ends, output)
    codes = {end.exit for end in ends.values()}
    return next((code for code in _WORST_FIRST if code in codes), Exit.FINE)


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
