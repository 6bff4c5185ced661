"""I/O: the commands that look at Datasources, and those that only switch one: suspend, resume."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from datasource.api.names import credential_secret_name
from datasource.process.clock import utc_now
from kubectl_datasource import explaining, history, inspecting, listing, loglines, printing, status_screen, tree
from kubectl_datasource.advice import Advice, Case
from kubectl_datasource.commands import begin_each, conclude, end_each
from kubectl_datasource.exits import Exit, Misused, Refused
from kubectl_datasource.kubectl import RESOURCE, Kubectl
from kubectl_datasource.objects import Datasource, Event
from kubectl_datasource.remedies import advice_for, reads_client_secret
from kubectl_datasource.screen import Screen
from kubectl_datasource.waiting import Ended, Going, Judge, not_looked_at, state_and_reason
from kubectl_datasource.words import Cell, Line, printable, relative

PROCESSES = "app.kubernetes.io/name=datasource-operator"
_MOST_LOGS = 10


@dataclass(frozen=True, slots=True)
class Listing:
    """The options of `list`."""

    names: tuple[str, ...] = ()
    output: str | None = None
    selector: str | None = None
    sort_by: str | None = None
    watch: bool = False


def list_datasources(kubectl: Kubectl, wanted: Listing) -> Exit:
    """Print the table, JSON, YAML, or names; with `watch` a line for each change, for ever."""
    if wanted.names and (kubectl.all_namespaces or wanted.selector):
        raise Misused("Names cannot be given together with -A or -l.", "Leave one of them out.")
    if wanted.watch and wanted.output in {"json", "yaml"}:
        raise Misused("-w prints lines, neither JSON nor YAML.", "For programs: kubectl get dsrc -w -o json")
    if wanted.watch and len(wanted.names) > 1:
        raise Misused("-w watches one Datasource, or all of them.", "Leave the names out, or choose by labels with -l.")
    options = [*wanted.names, *([f"--selector={wanted.selector}"] if wanted.selector else [])]
    screen = Screen.of_process()
    if wanted.watch:
        return _watch(kubectl, screen, wanted, options)
    options += [f"--sort-by={wanted.sort_by}"] if wanted.sort_by else []
    # One name alone gives no list.
    found = [kubectl.datasource(*wanted.names)] if len(wanted.names) == 1 else kubectl.datasources(*options)
    shown = list(found) if wanted.sort_by else listing.by_place(found)
    if wanted.output in {"json", "yaml"}:
        screen.show(printing.rendered({"items": [listing.as_json(each) for each in shown]}, wanted.output))
    elif wanted.output == "name":
        screen.show(*printing.names(shown))
    elif shown:
        wide = wanted.output == "wide"
        screen.show(*listing.table(shown, utc_now(), namespaces=kubectl.all_namespaces, wide=wide))
    else:
        where = "." if kubectl.all_namespaces else " in this namespace."
        screen.note(f"There are no Datasources{' with these labels' if wanted.selector else ''}{where}")
    return Exit.FINE


def _watch(kubectl: Kubectl, screen: Screen, wanted: Listing, options: Sequence[str]) -> Exit:
    told: list[Line] = []
    for event in kubectl.watched(RESOURCE, *options, *kubectl.scope):
        if event["type"] == "BOOKMARK":
            continue
        seen = Datasource.read(event["object"])
        if wanted.output == "name":
            screen.show(*printing.names([seen]))
        else:
            wide = wanted.output == "wide"
            head, row = listing.table([seen], utc_now(), namespaces=kubectl.all_namespaces, wide=wide)
            gone = (Cell("   deleted", "dim"),) if event["type"] == "DELETED" else ()
            screen.show(*([] if told else [head]), (*row, *gone))
            told = [head]
        if not screen.is_read:
            break
    return Exit.FINE


def advised(kubectl: Kubectl, datasource: Datasource) -> Advice:
    """What to do about it, whether its client Secret is there considered."""
    client_secret = reads_client_secret(datasource)
    exists = None if client_secret is None else kubectl.has_secret(datasource.metadata.namespace, client_secret)
    return advice_for(Case(datasource, kubectl.flags, exists))


def _ready(datasource: Datasource) -> Exit:
    is_ready = datasource.ready is not None and datasource.ready.status == "True" and datasource.is_looked_at
    return Exit.FINE if is_ready else Exit.NOT_AS_WANTED


def _events(kubectl: Kubectl, datasource: Datasource) -> tuple[Event, ...] | None:
    try:
        return kubectl.events(datasource)
    except Refused:
        return None


def explain(kubectl: Kubectl, name: str, output: str | None) -> Exit:
    """Tell what is wrong and what to do."""
    screen, datasource = Screen.of_process(), kubectl.datasource(name)
    advice, events = advised(kubectl, datasource), _events(kubectl, datasource)
    if output is None:
        screen.show(*explaining.explained(datasource, advice, events, utc_now()))
    else:
        screen.show(printing.rendered(explaining.explained_json(datasource, advice, events), output))
    return _ready(datasource)


def status(kubectl: Kubectl, name: str, output: str | None) -> Exit:
    """Print all that matters of one Datasource."""
    screen, datasource = Screen.of_process(), kubectl.datasource(name)
    if output == "name":
        screen.show(*printing.names([datasource]))
    elif output is not None:
        screen.show(printing.rendered(status_screen.status_json(datasource, advised(kubectl, datasource)), output))
    else:
        screen.show(*status_screen.screen(datasource, advised(kubectl, datasource), utc_now()))
    return _ready(datasource)


def events(kubectl: Kubectl, name: str, output: str | None) -> Exit:
    """Print the Events about one Datasource, the latest last."""
    screen = Screen.of_process()
    found = explaining.in_order(kubectl.events(kubectl.datasource(name)))
    if output is not None:
        screen.show(printing.rendered({"items": explaining.events_json(found)}, output))
        return Exit.FINE
    for each in found:
        at = "" if each.seen_at is None else f"{relative(each.seen_at, utc_now())}"
        style = "yellow" if each.type == "Warning" else ""
        screen.show((Cell(f"{at:<12} "), Cell(f"{printable(each.type):<8} {printable(each.reason)}", style)))
        screen.show(f"  {printable(each.message)}")
    if not found:
        screen.note("There are no Events: the cluster keeps them for an hour or so.")
    return Exit.FINE


def show_history(kubectl: Kubectl, name: str, output: str | None) -> Exit:
    """Print the last things that people did to the credential, the latest last."""
    screen, entries = Screen.of_process(), kubectl.datasource(name).status.history
    if output is not None:
        screen.show(printing.rendered({"items": history.history_json(entries)}, output))
    elif entries:
        screen.show(*history.table(entries, utc_now()))
    else:
        screen.note(history.NOBODY_YET)
    return Exit.FINE


def show_tree(kubectl: Kubectl, name: str, output: str | None) -> Exit:
    """Print what belongs to a Datasource."""
    screen, datasource = Screen.of_process(), kubectl.datasource(name)
    namespace = datasource.metadata.namespace
    found = [replace(each, is_there=kubectl.has(each.kind, namespace, each.name)) for each in tree.related(datasource)]
    try:
        pods = tree.users_of(
            datasource.token_secret_name, kubectl.json("get", "pods", f"--namespace={namespace}")["items"]
        )
    except Refused:
        pods = None
    if output is None:
        screen.show(*tree.lines(datasource, found, pods))
    else:
        objects = [
            {"kind": each.kind, "name": each.name, "for": each.what_for, "isThere": each.is_there} for each in found
        ]
        screen.show(printing.rendered({"datasource": datasource.place, "objects": objects, "pods": pods}, output))
    return Exit.FINE


def inspect(kubectl: Kubectl, name: str, output: str | None) -> Exit:
    """Print keys, sizes and times of the Secrets of a Datasource. No value leaves this function."""
    screen, datasource = Screen.of_process(), kubectl.datasource(name)
    names = {"Token Secret": datasource.token_secret_name, "Credential": credential_secret_name(name)}
    there = {
        each["metadata"]["name"]: each
        for each in kubectl.raw_secrets_named(datasource.metadata.namespace, [*names.values()])
    }
    found = {what: inspecting.summary(there[each]) if each in there else None for what, each in names.items()}
    if output is None:
        for what, each in found.items():
            screen.show(*inspecting.lines(what, each, utc_now()))
    else:
        screen.show(
            printing.rendered({"tokenSecret": found["Token Secret"], "credential": found["Credential"]}, output)
        )
    return Exit.FINE


def logs(kubectl: Kubectl, name: str, system_namespace: str, seconds: int, *, follow: bool) -> Exit:
    """Print what both processes logged of one Datasource."""
    screen, place = Screen.of_process(), kubectl.datasource(name).metadata
    is_about = loglines.about(place.namespace, place.name)
    words = ["logs", f"--namespace={system_namespace}", f"--selector={PROCESSES}", "--prefix", "--tail=-1"]
    words += [f"--since={seconds}s", f"--max-log-requests={_MOST_LOGS}", *(["--follow"] if follow else [])]
    count = 0
    for line in _of(kubectl.lines(*words)):
        if is_about(line):
            count += 1
            screen.show(loglines.readable(line))
            if not screen.is_read:
                break
    if not count:
        screen.note(f"Nothing was logged of {place.namespace}/{place.name} in that time by pods of {system_namespace}.")
    return Exit.FINE


def _of(lines: Iterator[str]) -> Iterator[str]:
    try:
        yield from lines
    except Refused as error:
        raise type(error)(
            error.what,
            "Logs of the system namespace are for administrators; kubectl datasource explain is for everybody.",
        ) from None


def switch(kubectl: Kubectl, names: Sequence[str], *, suspended: bool, seconds: int | None, output: str | None) -> Exit:
    """Suspend or resume, and wait until the operator has seen it; `seconds` None does not wait."""

    def begin(name: str) -> Judge[Ended] | Ended:
        kubectl.suspend(name, suspended=suspended)
        done = Ended(Exit.FINE, f"{name} is suspended." if suspended else f"{name} is no longer suspended.")
        return done if seconds is None else partial(_switched, done)

    screen = Screen.of_process()
    return conclude(screen, end_each(kubectl, screen, begin_each(names, begin), seconds or 0), output)


def _switched(done: Ended, datasource: Datasource) -> Going | Ended:
    return not_looked_at(datasource) or replace(done, text=f"{done.text} It is {state_and_reason(datasource)}.")


CONDITIONS = ("ready", "authorized", "not-authorized", "deleted")


def wait_until(kubectl: Kubectl, names: Sequence[str], condition: str, seconds: int, output: str | None) -> Exit:
    """Wait until each of them is as wanted."""
    screen, judge = Screen.of_process(), partial(_is_as_wanted, condition)
    ends = end_each(kubectl, screen, dict.fromkeys(names, judge), seconds)
    if condition == "deleted":
        gone = {name: Ended(Exit.FINE, f"{name} is gone.") for name, end in ends.items() if end.is_missing}
        ends |= gone
    return conclude(screen, ends, output)


def _is_as_wanted(condition: str, datasource: Datasource) -> Going | Ended:
    unseen = not_looked_at(datasource)
    if unseen is not None:
        return unseen
    state = (datasource.status.state or "").lower().replace(" ", "-")
    is_ready = datasource.ready is not None and datasource.ready.status == "True"
    if is_ready if condition == "ready" else state == condition:
        return Ended(Exit.FINE, f"{datasource.place} is {state_and_reason(datasource)}.")
    return Going(f"waiting until {datasource.place} is {condition}; it is {state_and_reason(datasource)}")
