"""What the pages show while a refresh token is imported, and after it was refused: in Chromium, in each language."""

import asyncio
import base64
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

import callback_server
from callback_server.language import LANGUAGES
from tests.e2e.conftest import Shoot, heading, violations
from tests.support.hostile_provider import HostileProvider, ReceivedRequest, consents_at_once, replies, served
from tests.support.user import User

pytestmark = pytest.mark.e2e

TOKEN = "rt-of-a-script"


def words(language: str) -> dict[str, Any]:
    """The texts of the pages in a language."""
    folder = Path(callback_server.__file__).parent / "languages"
    return tomllib.loads((folder / f"{language}.toml").read_text())


@dataclass
class Service:
    """Answers a refresh as it is told to, and takes each code."""

    provider: HostileProvider
    is_busy: bool = True

    async def tokens(self, request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        """The token endpoint."""
        if request.form.get("grant_type") == "authorization_code":
            answer = replies(200)
        elif self.is_busy:
            answer = replies(503, b"busy")
        else:
            answer = replies(400, b'{"error": "invalid_grant"}')
        await answer(request, writer)


@pytest.fixture
def service() -> Iterator[Service]:
    """It cannot be asked for tokens at first."""
    made = Service(HostileProvider())
    made.provider.behaviours = (consents_at_once(made.tokens),)
    with served(made.provider):
        yield made


def imported(status: dict[str, Any]) -> str | None:
    """The reason of the condition Imported."""
    return next((each["reason"] for each in status.get("conditions", []) if each["type"] == "Imported"), None)


def brought(user: User, name: str, value: bytes, **more: Any) -> dict[str, Any]:
    """An import Secret as somebody writes it by hand."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "datasource.dev/oauth2-import",
        "metadata": {"name": f"{name}-oauth2-import", "namespace": user.namespace},
        "data": {key: base64.b64encode(each).decode() for key, each in {"refresh_token": value, **more}.items()},
        "immutable": True,
    }


def at(service: Service, user: User, name: str) -> dict[str, Any]:
    oauth2 = {
        "clientID": user.client_id,
        "authorizeURL": f"{service.provider.origin}/authorize",
        "tokenURL": service.provider.url,
        "scopes": ["read"],
    }
    return user.datasource(oauth2, name=name)


def test_link_ends_while_an_import_is_tried_and_another_one_is_offered_once_it_is_refused(
    user: User, browser: Browser, service: Service, shoot: Shoot
) -> None:
    links = {}
    for language in LANGUAGES:
        user.apply(at(service, user, language))
        user.wait_for_link(language)
        links[language] = user.link(language)
        user.api.create(brought(user, language, f"{TOKEN}\n".encode(), note=b"of Nango"))
    for language in LANGUAGES:
        user.wait_for_status("it is tried", lambda status: imported(status) == "BeingTried", language)
    people = {language: browser.new_context(locale=language) for language in LANGUAGES}

    for language, person in people.items():
        # Nobody has to do anything while the service decides.
        assert "authorizationLink" not in user.status(language)
        page = person.new_page()
        page.goto(links[language])
        shoot(page, f"tried-{language}")
        assert page.locator("html").get_attribute("lang") == language
        assert heading(page) == words(language)["this_link_has_ended"]["title"]
        assert TOKEN not in page.content()
        assert violations(page) == ""

    service.is_busy = False
    for language, person in people.items():
        user.annotate("refresh", "1", language)
        user.wait_for_status("it is refused", lambda status: imported(status) == "Refused", language)
        user.wait_for_link(language)
        page = person.new_page()
        page.goto(user.link(language))
        shoot(page, f"refused-{language}")
        assert TOKEN not in page.content()
        assert violations(page) == ""
        page.get_by_role("button", name=words(language)["dialog"]["button"]).click()
        page.wait_for_url("**/done/*")
        shoot(page, f"done-{language}")
        assert heading(page) == words(language)["done"]["stored"]
        user.wait_for_reason("Authorized", language)
        user.wait_for_status("the import waits", lambda status: imported(status) == "CredentialExists", language)
        # It is immutable, and has a key that nobody asked for: a clear takes it over all the same.
        assert user.decoded(f"{language}-oauth2-import", "refresh_token") == f"{TOKEN}\n"


@pytest.mark.parametrize(
    ("value", "words_of_it"),
    [
        pytest.param(b"\xff\xfer\x00t\x00", "is not text in UTF-8", id="UTF-16"),
        pytest.param(b"rt\0", "has characters that no refresh token has", id="NUL"),
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"x" * 1_000_000, "is longer than 65,536 bytes", id="a megabyte"),
        pytest.param(b"a\r\nb", "has more than one line", id="CRLF within"),
    ],
)
def test_import_without_a_token_is_told_and_the_link_goes_on(
    user: User, service: Service, value: bytes, words_of_it: str
) -> None:
    user.apply(at(service, user, "odd"))
    user.wait_for_link("odd")
    user.api.create(brought(user, "odd", value))
    user.wait_for_status("it is told", lambda status: imported(status) == "Invalid", "odd")
    (said,) = [each["message"] for each in user.status("odd")["conditions"] if each["type"] == "Imported"]
    assert words_of_it in said
    user.wait_for_link("odd")
    assert all("refresh" not in str(request.form) for request in service.provider.requests)
