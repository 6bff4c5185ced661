"""Chromium, driven by Playwright: what `make demo AUTO=1` and the browser tests do as a person would."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from deploy.local import tools

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

BUTTON = "Get new credential"


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """A headless Chromium, closed when the block ends."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(tools.chromium()), args=[*FLAGS, *flags])
        try:
            yield browser
        finally:
            browser.close()


def wait_for_sign_in(page: Page) -> None:
    """Until our page between led on to the provider's sign-in page."""
    page.get_by_label("User name").wait_for()


def sign_in(page: Page, login: str, password: str) -> None:
    """Fill in and send the provider's sign-in page."""
    page.get_by_label("User name").fill(login)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def allow(page: Page) -> None:
    """Consent on the provider's page."""
    page.get_by_role("button", name="Allow").click()


def deny(page: Page) -> None:
    """Refuse on the provider's page."""
    page.get_by_role("button", name="Deny").click()


def authorize(page: Page, link: str, login: str, password: str, screenshots: Path | None = None) -> None:
    """All that a person does: open the link, get a new credential, sign in, consent, and come back."""
    page.goto(link)
    _keep(page, screenshots, "1-dialog")
    page.get_by_role("button", name=BUTTON).click()
    wait_for_sign_in(page)
    _keep(page, screenshots, "2-sign-in")
    sign_in(page, login, password)
    _keep(page, screenshots, "3-consent")
    allow(page)
    page.wait_for_url("**/done/*")
    _keep(page, screenshots, "4-done")


def _keep(page: Page, folder: Path | None, name: str) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"{name}.png", full_page=True)
