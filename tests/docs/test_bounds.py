"""docs/admin.md tells the bounds that the code has."""

import re
from datetime import timedelta

import pytest

from callback_server import fair_reads
from callback_server.limits import Denials
from callback_server.signed_in.sessions import PER_SESSION
from datasource.cluster import kube, streaming_lists
from datasource.process import journal, logs
from datasource.providers import connections, discovery, resolver, transport, verifier
from datasource_operator import (
    bounded_lists,
    controller,
    event_rates,
    handlers,
    notifier,
    observer,
    probing,
    provider_lookups,
    reachability,
    refresh_pool,
    revocations,
    secret_poller,
)
from datasource_operator.decisions import notices
from deploy.local.cache import REPOSITORY

MIB = 2**20


def seconds(pause: timedelta) -> int:
    return int(pause.total_seconds())


TOLD: dict[str, tuple[list[int], list[int]]] = {
    "reconciliations at a time": (
        [controller.WORKERS_AT_FIRST, controller.WORKERS_PER_NAMESPACE],
        [controller.WORKERS],
    ),
    "refreshes at a time": ([refresh_pool.PER_NAMESPACE, refresh_pool.PER_PROVIDER], [refresh_pool.IN_ALL]),
    "revocations at a time": ([revocations.WORKERS_PER_NAMESPACE], [revocations.WORKERS]),
    "looks at providers at a time": (
        [provider_lookups.PER_NAMESPACE, provider_lookups.PER_PROVIDER],
        [provider_lookups.IN_ALL],
    ),
    "tries to connect to providers (`ProviderReachable`) at a time": (
        [reachability.PER_NAMESPACE, reachability.PER_PROVIDER],
        [reachability.IN_ALL],
    ),
    "probes (`spec.probe`) at a time": ([probing.PER_NAMESPACE, probing.PER_PROVIDER], [probing.IN_ALL]),
    "lookups of names at a time": ([resolver.MOST_OF_A_TENANT, resolver.MOST_OF_A_DOMAIN], [resolver.MOST_IN_ALL]),
    "connections to one provider at a time": ([], [connections.CONNECTIONS_TO_ONE_PROVIDER]),
    "looks for missing Secrets, each half second": ([secret_poller.LOOKS_PER_NAMESPACE], [secret_poller.IN_FLIGHT]),
    "parsed specs in memory": (
        [observer.PARSED_SPECS_PER_NAMESPACE // MIB],
        [observer.PARSED_SPECS_IN_ALL // MIB],
    ),
    "providers' metadata in memory": ([discovery.KEPT_PER_NAMESPACE // MIB], [discovery.KEPT_IN_ALL // MIB]),
    "providers' keys in memory": ([verifier.KEPT_PER_NAMESPACE // MIB], [verifier.KEPT_IN_ALL // MIB]),
    "CA bundles that are ready for use": ([transport.TRUST_PER_NAMESPACE // MIB], [transport.TRUST_IN_ALL // MIB]),
    "log lines with one message": (
        [logs.LINES_AT_ONCE, seconds(logs.THEN_A_LINE_EVERY)],
        [logs.IN_ALL_AT_ONCE, int(timedelta(seconds=1) / logs.THEN_ONE_OF_ALL_EVERY)],
    ),
    "Normal Events": (
        [event_rates.NORMAL_AT_ONCE, seconds(event_rates.THEN_EVERY)],
        [event_rates.NORMAL_AT_ONCE, seconds(event_rates.THEN_EVERY)],
    ),
    "Warning Events": (
        [
            event_rates.WARNINGS_AT_ONCE,
            seconds(event_rates.THEN_EVERY),
            event_rates.WARNINGS_OF_AN_OBJECT_AT_ONCE,
            seconds(event_rates.THEN_A_WARNING_OF_AN_OBJECT_EVERY) // 60,
        ],
        [],
    ),
    "reads for pages, in the callback server": (
        [fair_reads.PER_NAMESPACE, fair_reads.AT_ONCE // MIB, fair_reads.PER_SECOND // MIB],
        [fair_reads.IN_ALL],
    ),
    "notifications": ([len(notices.Kind), notices.MOST_NAMED], [notifier.IN_FLIGHT]),
    "replies that wait in the journal after a minute": (
        [journal.MOST_UNCLAIMED_PER_NAMESPACE],
        [journal.LARGEST_IN_ALL // MIB],
    ),
    "lists that are read as streams, an object at a time": (
        [],
        [streaming_lists.AT_A_TIME, bounded_lists.LISTS_AT_A_TIME],
    ),
    "a page of a list of Secrets in memory": ([], [kube.LARGEST_PAGE // MIB, kube.PAGES_AT_A_TIME]),
    "a page of a list of Datasources in memory": (
        [],
        [handlers.PAGE, kube.LARGEST_PAGE // MIB, bounded_lists.LISTS_AT_A_TIME],
    ),
    "Datasources, with spec, status and request annotations in memory": ([], []),
    "Secrets of ours in memory, by their metadata": ([], []),
}


def rows() -> dict[str, list[str]]:
    page = (REPOSITORY / "docs" / "admin.md").read_text()
    section = page.partition("### What tenants share\n")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in cells[2:]}


def numbers(cell: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", cell)]


def test_each_bound_has_a_row() -> None:
    assert list(rows()) == list(TOLD)


@pytest.mark.parametrize("what", TOLD)
def test_a_row_tells_the_bounds_of_the_code(what: str) -> None:
    of_one_namespace, in_all, beyond, _ = rows()[what]
    assert (numbers(of_one_namespace), numbers(in_all)) == TOLD[what]
    assert beyond


def test_page_tells_what_somebody_who_signed_in_may_ask_and_be_denied() -> None:
    page = " ".join((REPOSITORY / "docs" / "admin.md").read_text().split())
    (pages, pages_at_once), (here, here_at_once), (in_all, in_all_at_once) = (
        PER_SESSION,
        Denials.PER_NAMESPACE,
        Denials.IN_ALL,
    )
    assert f"a session may open {pages_at_once} pages at once, then {pages:g} a second" in page
    assert f"denied something {here_at_once} times at once in one namespace, then once in {1 / here:g} seconds" in page
    assert f"together it is {in_all_at_once} times at once, then once a second" in page
    assert in_all == 1


def test_whoever_may_send_at_all_finds_a_connection() -> None:
    """At one provider, whatever its Datasources do at the same time."""
    at_once = refresh_pool.PER_PROVIDER + provider_lookups.PER_PROVIDER + revocations.WORKERS
    assert at_once < connections.CONNECTIONS_TO_ONE_PROVIDER
