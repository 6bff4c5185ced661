"""Somebody with an account at the company's issuer, without a browser."""

import httpx

from tests.support.person import Person
from tests.support.refresh import leads_on_to


class Employee(Person):
    """Keeps every cookie of ours."""

    def __init__(self, login: str) -> None:
        super().__init__(login, login)
        self.cookies: dict[str, str] = {}

    def _headers(self, url: str, headers: dict[str, str]) -> dict[str, str]:
        held = "; ".join(f"{name}={value}" for name, value in self.cookies.items() if value)
        ours = {"Cookie": held} if held and url.startswith("http://localhost") else {}
        return ours | {name.replace("_", "-"): value for name, value in headers.items()}

    def _keep_cookie(self, response: httpx.Response) -> httpx.Response:
        for line in response.headers.get_list("set-cookie"):
            name, _, rest = line.partition("=")
            if name.startswith("__Host-datasource-"):
                self.cookies[name] = rest.partition(";")[0]
        return response

    def sign_in(self, page: httpx.Response) -> httpx.Response:
        """From the page that asks for it to the one that it leads to."""
        onward = leads_on_to(self.submit(page, "Sign in").text)
        assert onward is not None
        return self.come_back(self.consent(onward, back_at="/signed-in"))

    def get_credential(self, page_link: str) -> httpx.Response:
        """Sign in at the page of a Datasource and get a credential for it; returns the done page."""
        onward = leads_on_to(self.submit(self.sign_in(self.get(page_link)), "Get new credential").text)
        assert onward is not None
        return self.come_back(self.consent(onward))
