"""I/O: logs of both processes, as JSON for machines or as text for people.

Each namespace may say each thing so often, and all of them together so much: whoever makes endless errors drowns nobody else's
lines, with however many namespaces. What a namespace says for the first time has a bound of its own, which a crowd does not use
up. The next line that is written says how many were left out; lines that name no namespace are all written.
"""

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from datasource.concurrency.fair_rate import Admitted, FairRate
from datasource.process.metrics import LEFT_OUT
from datasource.process.settings import LogFormat

LINES_AT_ONCE = 100
"""Lines with the same message about one namespace that are written however fast they come."""

THEN_A_LINE_EVERY = timedelta(seconds=1)

IN_ALL_AT_ONCE = 1_000
"""Lines about all namespaces that are written however fast they come; as many again that are the first of their kind."""

THEN_ONE_OF_ALL_EVERY = timedelta(milliseconds=50)


@dataclass(frozen=True, slots=True)
class FairLines:
    """A structlog processor that leaves out what one namespace, or all of them together, say too often."""

    monotonic: Callable[[], float] = time.monotonic
    _rate: FairRate[tuple[str, str]] = field(default_factory=lambda: FairRate(LINES_AT_ONCE, THEN_A_LINE_EVERY))
    _in_all: FairRate[bool] = field(default_factory=lambda: FairRate(IN_ALL_AT_ONCE, THEN_ONE_OF_ALL_EVERY))
    """By whether it is the first of its kind after a silence."""

    def __call__(self, _: object, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """The line, perhaps with how many were left out before it.

        Raises:
            structlog.DropEvent: it is left out.
        """
        namespace = _namespace_of(line)
        if namespace is None:
            return line
        admitted = self._admit((namespace, str(line.get("event"))), self.monotonic())
        if admitted is None:
            LEFT_OUT.labels("log line").inc()
            raise structlog.DropEvent
        if admitted.left_out:
            line["left_out"] = admitted.left_out
        return line

    def _admit(self, key: tuple[str, str], now: float) -> Admitted | None:
        admitted = self._rate.admit(key, now)
        if admitted is not None and self._in_all.admit(admitted.is_first, now) is None:
            self._rate.take_back(key, admitted, now)
            return None
        return admitted


def _namespace_of(line: structlog.typing.EventDict) -> str | None:
    """Whom a line is about."""
    about = line.get("datasource") or line.get("secret")
    if isinstance(about, str) and "/" in about:
        return about.partition("/")[0]
    namespace = line.get("namespace")
    return namespace if isinstance(namespace, str) else None


def configure_logging(log_format: LogFormat) -> None:
    """Send structlog and the standard library's logging (kopf, uvicorn, ours) to stderr in one format."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        # First of all: what is left out costs next to nothing.
        processors=[
            structlog.stdlib.filter_by_level,
            FairLines(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for name in ("httpx", "httpcore", "kopf.objects", "kopf.activities"):
        # The first two log whole URLs at INFO; the others a line for each event.
        logging.getLogger(name).setLevel(logging.WARNING)
