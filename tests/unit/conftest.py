"""What every unit test stands on."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from tests.support.hostile_provider import self_signed
from tests.unit.walks import walks

_FROM_OUTSIDE = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "NETRC")

settings.register_profile("unit", walks(12, 100))
settings.load_profile("unit")


def pytest_configure() -> None:
    """Log exceptions as Python prints them.

    structlog draws each traceback with rich where rich is installed, with every local variable. That takes seconds a test.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ]
    )


def pytest_collection() -> None:
    """Leave garbage alone while 200 modules are imported and thousands of tests made: next to nothing of it is garbage."""
    gc.disable()


def pytest_collection_finish() -> None:
    """From here on the collector looks at what tests make, and at nothing that was there before them."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def only_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one certificate that is trusted by default: nobody shows it."""
    return self_signed("authority.example.com").write_into(tmp_path_factory.mktemp("authority"))[0]


@pytest.fixture(scope="session", autouse=True)
def nothing_from_outside(only_authority: Path) -> Iterator[None]:
    """Proxies and authorities of the machine that runs the tests would come between a client and its loopback server.

    One authority also loads a hundred times faster than those of a whole machine, and every client loads them.
    """
    with pytest.MonkeyPatch.context() as environment:
        for name in _FROM_OUTSIDE:
            environment.delenv(name, raising=False)
            environment.delenv(name.lower(), raising=False)
        environment.delenv("SSL_CERT_DIR", raising=False)
        environment.setenv("SSL_CERT_FILE", str(only_authority))
        yield
