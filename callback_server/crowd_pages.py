"""The pages that send a crowd away (429), rendered once: they are what junk is answered with, and cost as much as all else.

What is of one visitor, the names in the command and the link to begin again, is filled in afterwards.
Whoever has signed in gets a page of their own instead, with their name: there are no more of those than sessions may be read.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field

from markupsafe import escape
from starlette.responses import HTMLResponse

from callback_server.pages import refusal_page
from callback_server.presentation import PRESENTATION
from callback_server.refusals import Refused
from datasource.concurrency.token_bucket import LatestKeys
from datasource.process.branding import Branding

MOST_PAGES = 256
"""By kind, language and the seconds that they tell."""

_AGAIN = "https://again.invalid/"
"""Stands for the link."""


@dataclass(frozen=True, slots=True)
class _Rendered:
    html: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class CrowdPages:
    """Those of one installation."""

    branding: Branding
    _rendered: LatestKeys[Hashable, _Rendered] = field(default_factory=lambda: LatestKeys(MOST_PAGES))

    def page(
        self, refused: Refused, place: tuple[str, str] | None, again: str | None, *, reloads: bool
    ) -> HTMLResponse:
        """The page that `refusal_page` makes of the same."""
        told = refused.about(*place) if place else refused
        key = (refused.kind, refused.retry_after, PRESENTATION.get().language, again is None, reloads)
        rendered = self._rendered.of(key, lambda: self._render(refused, again, reloads=reloads))
        html = rendered.html
        for standing, meant in ((_AGAIN, again), (refused.command, told.command)):
            if standing and meant and standing != meant:
                html = html.replace(str(escape(standing)), str(escape(meant)))
        return HTMLResponse(html, refused.status, rendered.headers)

    def _render(self, refused: Refused, again: str | None, *, reloads: bool) -> _Rendered:
        page = refusal_page(refused, again=again and _AGAIN, branding=self.branding, reloads=reloads)
        headers = {name: text for name, text in page.headers.items() if not name.startswith("content-")}
        # Its own headers are those of the page; length and type are told anew.
        headers |= {name: page.headers[name] for name in ("content-security-policy", "content-language")}
        return _Rendered(bytes(page.body).decode(), headers)
