"""Metrics that both processes have: which version runs, and how long providers take to answer.

No label takes whatever users write: what they name gets series of its own up to a limit, and beyond it is `other`.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version

from prometheus_client import Counter, Gauge, Histogram

MOST_HOSTS = 50
"""Providers that get series of their own."""

OTHER = "other"

BUILD = Gauge("datasource_build_info", "Always 1: which process of which version this is.", ["component", "version"])

PROVIDER_SECONDS = Histogram(
    "datasource_provider_request_duration_seconds",
    "Seconds from a request to a provider to its whole reply (answered) or to its failure (failed).",
    ["host", "outcome"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60),
)


LEFT_OUT = Counter(
    "datasource_left_out",
    "Log lines and Kubernetes Events that were not written, since their namespace or object had too many of them.",
    ["what"],
)
for _what in ("log line", "Event"):
    # There from the start: a rate needs a zero to rise from.
    LEFT_OUT.labels(_what)


@dataclass(slots=True)
class BoundedLabel:
    """The first values as they are, what comes after them as `other`."""

    limit: int
    _known: set[str] = field(default_factory=set)

    def admit(self, value: str) -> str:
        """The label for a value that may get series of its own."""
        if len(self._known) < self.limit:
            self._known.add(value)
        return self.of(value)

    def of(self, value: str) -> str:
        """The label for a value that is not worth series of its own."""
        return value if value in self._known else OTHER


_HOSTS = BoundedLabel(MOST_HOSTS)


@contextmanager
def provider_timed(host: str | None, hosts: BoundedLabel = _HOSTS) -> Iterator[None]:
    """Time a request to a provider."""
    began = time.monotonic()
    try:
        yield
    except BaseException:
        PROVIDER_SECONDS.labels(hosts.of(host or ""), "failed").observe(time.monotonic() - began)
        raise
    # Only who answers gets series of its own: made-up hosts do not use the places up.
    PROVIDER_SECONDS.labels(hosts.admit(host or ""), "answered").observe(time.monotonic() - began)


def show_build(component: str) -> None:
    """Tell which process this is."""
    BUILD.labels(component, version("datasource-operator")).set(1)
