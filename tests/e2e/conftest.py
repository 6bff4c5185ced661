"""A real browser."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, Route

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.browser import allow, chromium
from tests.conftest import ARTEFACTS
from tests.support.api import SECRETS
from tests.support.user import User

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


def heading(page: Page) -> str:
    """What a page of ours says first."""
    return page.locator("h1, .banner h2").first.inner_text()


def violations(page: Page) -> str:
    """What axe finds wrong with the page; empty if nothing."""
    results = Axe().run(page)
    return results.generate_report() if results.violations_count else ""


def flows(user: User) -> int:
    """How many flow records there are for this user's Datasource."""
    secrets = user.api.all_of(SECRETS, SYSTEM_NAMESPACE, fields="type=datasource.dev/oauth2-flow")
    owner = f"{user.namespace}/calendar"
    return sum(each["metadata"]["annotations"]["datasource.dev/datasource"] == owner for each in secrets)


def allow_but_stay(page: Page) -> str:
    """Consent, but keep the browser from coming back; returns the URL that it would have opened."""
    stopped: list[str] = []

    def stop(route: Route) -> None:
        # Routes do not see the redirects of a request: follow them by hand, with the browser's cookies.
        response = route.fetch(max_redirects=0)
        while "/callback/" not in (target := urljoin(response.url, response.headers["location"])):
            response = page.context.request.get(target, max_redirects=0)
        stopped.append(target)
        route.fulfill(body="stays here")

    pattern = "**/interaction/**"
    page.route(pattern, stop)
    allow(page)
    page.get_by_text("stays here").wait_for()
    page.unroute(pattern)
    return stopped[0]
