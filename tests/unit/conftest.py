"""What every unit test stands on."""

import structlog


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
