"""A real browser."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from deploy.local.browser import chromium
from tests.conftest import ARTEFACTS

Shoot = Callable[[Page, str], None]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. Not for longer than a module: while Playwright runs, this thread has an event loop, and may have no other."""
    with chromium() as started:
        yield started


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One person's browser: cookies of its own."""
    opened = browser.new_context()
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A tab."""
    return context.new_page()


@pytest.fixture
def shoot(request: pytest.FixtureRequest) -> Shoot:
    """Keep a screenshot, named after the test."""

    def keep(page: Page, name: str) -> None:
        folder: Path = ARTEFACTS
        folder.mkdir(parents=True, exist_ok=True)
        test = re.sub(r"\W+", "-", request.node.name.removeprefix("test_"))
        page.screenshot(path=folder / f"{test}.{name}.png", full_page=True)

    return keep
