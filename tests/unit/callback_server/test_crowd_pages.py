"""The pages that send a crowd away are those that would be rendered for each."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from starlette.responses import HTMLResponse

from callback_server import refusals
from callback_server.crowd_pages import CrowdPages
from callback_server.language import LANGUAGES
from callback_server.pages import refusal_page
from callback_server.presentation import DELIVERED, PRESENTATION
from callback_server.refusals import Refused
from datasource.process.branding import Branding

LINK = "https://c.example.com/authorize/shop/calendar?ticket=a-b_c&x=<y>"
BRANDED = Branding(name="Example & Sons", support_address="help@example.com")


def told(page: HTMLResponse) -> tuple[int, bytes, dict[str, str]]:
    return page.status_code, bytes(page.body), dict(page.headers)


@pytest.fixture(params=LANGUAGES)
def _language(request: pytest.FixtureRequest) -> Iterator[None]:
    token = PRESENTATION.set(DELIVERED[request.param])
    yield
    PRESENTATION.reset(token)


@pytest.mark.usefixtures("_language")
@pytest.mark.parametrize("branding", [Branding(), BRANDED], ids=["plain", "branded"])
@pytest.mark.parametrize("make", [refusals.busy, refusals.too_many_misses])
def test_page_is_the_one_that_would_be_rendered_for_this_visitor(
    make: Callable[[timedelta], Refused], branding: Branding
) -> None:
    pages = CrowdPages(branding)
    for seconds in (1, 3, 1):
        refused = make(timedelta(seconds=seconds))
        for place in (None, ("shop", "calendar"), ("shop-2", "a.b")):
            for again in (None, LINK, LINK + "2"):
                about = refused.about(*place) if place else refused
                for reloads in (False, True):
                    expected = refusal_page(about, again=again, branding=branding, reloads=reloads)
                    assert told(pages.page(refused, place, again, reloads=reloads)) == told(expected)


def test_however_many_seconds_are_told_few_pages_are_kept() -> None:
    pages = CrowdPages(Branding())
    for seconds in range(1000):
        pages.page(refusals.too_many_misses(timedelta(seconds=seconds)), None, None, reloads=False)
    assert len(pages._rendered) == 256
