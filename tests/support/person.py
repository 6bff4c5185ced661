"""A person without a browser: follows links, fills in forms, keeps cookies. For what must be tried often or precisely."""

import time
from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx

from deploy.local.provider import DEMO_LOGIN, DEMO_PASSWORD
from tests.support.patience import PATIENCE
from tests.support.refresh import leads_on_to

OUR_COOKIE = "__Host-datasource-browser"
STORED = "The new credential was stored"
"""What the done page says to a person whose authorization went well."""


@dataclass
class Form:
    """A form of a page: where it goes, what it carries, and its buttons by their text."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: dict[str, tuple[str, str]] = field(default_factory=dict)


class _FormParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._button: tuple[str, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(attributes.get("action", "")))
        elif tag == "input" and self.forms:
            self.forms[-1].fields[attributes.get("name", "")] = attributes.get("value", "")
        elif tag == "button" and self.forms:
            self._button = (attributes.get("name", ""), attributes.get("value", ""))
            self._action = attributes.get("formaction")

    def handle_data(self, data: str) -> None:
        if self._button is not None and data.strip():
            self.forms[-1].buttons[data.strip()] = self._button

    def handle_endtag(self, tag: str) -> None:
        if tag == "button":
            self._button = None


def forms_in(page: str) -> list[Form]:
    """The forms of a page."""
    parser = _FormParser()
    parser.feed(page)
    return parser.forms


class Person:
    """One browser's worth of cookies. Use it as a context manager."""

    def __init__(self, login: str = DEMO_LOGIN, password: str = DEMO_PASSWORD) -> None:
        self.login, self.password = login, password
        self.client = httpx.Client(follow_redirects=False, timeout=30.0)
        self.cookie: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()

    def get(self, url: str, **headers: str) -> httpx.Response:
        """Open a URL, without following a redirect."""
        return self._keep_cookie(self.client.get(url, headers=self._headers(url, headers)))

    def post(self, url: str, fields: dict[str, str], **headers: str) -> httpx.Response:
        """Send a form."""
        return self._keep_cookie(self.client.post(url, data=fields, headers=self._headers(url, headers)))

    def submit(self, page: httpx.Response, button: str, **filled: str) -> httpx.Response:
        """Fill in the form that has the button, and press it."""
        form = next((each for each in forms_in(page.text) if button in each.buttons), None)
        assert form is not None, f"no button {button}: {page.status_code} {page.text}"
        name, value = form.buttons[button]
        pressed = {name: value} if name else {}
        return self.post(urljoin(str(page.url), form.action), {**form.fields, **filled, **pressed})

    def begin(self, link: str) -> str:
        """Open the link and choose Get new credential; returns the URL at the provider."""
        page = self.get(link)
        assert page.status_code == 200, page.text
        return self.press(page)

    def press(self, page: httpx.Response) -> str:
        """Choose Get new credential on the page behind a link; returns the URL at the provider."""
        answer = self.submit(page, "Get new credential")
        target = leads_on_to(answer.text)
        assert target is not None, f"{answer.status_code}: {answer.text}"
        return target

    def consent(self, provider_url: str, button: str = "Allow", back_at: str = "/callback/") -> str:
        """Sign in and consent at the provider; returns the URL that leads back to us, not opened yet."""
        response = self.get(provider_url)
        while True:
            if response.is_redirect:
                target = urljoin(str(response.url), response.headers["location"])
                if back_at in urlsplit(target).path:
                    return target
                response = self.get(target)
            elif "Sign in" in response.text and "password" in response.text:
                response = self.submit(response, "Sign in", login=self.login, password=self.password)
            else:
                response = self.submit(response, button)

    def come_back(self, callback_url: str) -> httpx.Response:
        """Open the callback URL and follow it to the page that it leads to; one that looks again by itself is waited for."""
        response = self.looks_until_ready(callback_url)
        while response.is_redirect:
            response = self.looks_until_ready(urljoin(str(response.url), response.headers["location"]))
        return response

    def looks_until_ready(self, url: str) -> httpx.Response:
        """Open a URL; where the page says that it will look again by itself, wait with it, as a browser does."""
        last = time.monotonic() + PATIENCE
        while "refresh" in (response := self.get(url)).headers and time.monotonic() < last:
            time.sleep(1)
        return response

    def authorize(self, link: str) -> httpx.Response:
        """The whole way; returns the done page."""
        return self.come_back(self.consent(self.begin(link)))

    def _headers(self, url: str, headers: dict[str, str]) -> dict[str, str]:
        """httpx does not send Secure cookies over http, which browsers do on loopback."""
        ours = (
            {"Cookie": f"{OUR_COOKIE}={self.cookie}"} if self.cookie and urlsplit(url).hostname == "localhost" else {}
        )
        return ours | {name.replace("_", "-"): value for name, value in headers.items()}

    def _keep_cookie(self, response: httpx.Response) -> httpx.Response:
        for line in response.headers.get_list("set-cookie"):
            name, _, rest = line.partition("=")
            if name == OUR_COOKIE:
                self.cookie = rest.partition(";")[0]
        return response


def parameters_of(url: str) -> dict[str, str]:
    """The query of a URL, each parameter once."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query, keep_blank_values=True).items()}
