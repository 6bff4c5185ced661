"""A link with a ticket where people sign in: for a person without an account, made by who may patch the Datasource."""

import html
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from datasource.api.link_ticket import kept, new_ticket, with_ticket
from datasource.api.names import page_link
from tests.support.hostile_provider import replies
from tests.unit.callback_server.visits import EXTERNAL, Visit, visit

TICKET = new_ticket(lambda size: b"a" * size)


def link_made_apart(came: Visit) -> str:
    """Have the Datasource ask for it, and the plugin make it, where the status has a link without a ticket."""
    page = page_link(EXTERNAL, "shop", "calendar")
    came.datasource["status"]["authorizationLink"] = page
    metadata = came.datasource["metadata"]
    metadata["generation"] = 3
    metadata["annotations"] = {"datasource.dev/link": "Ticket", "datasource.dev/link-ticket": kept(TICKET, 3)}
    link = with_ticket(page, "shop", "calendar", TICKET)
    assert link is not None
    return link


async def opened(came: Visit, link: str) -> int:
    return (await came.client.get(link)).status_code


async def test_ticket_that_was_made_apart_gets_a_credential_once() -> None:
    async with visit(replies(200)) as came:
        link = link_made_apart(came)
        page = await came.client.get(link)
        assert page.status_code == 200, page.text
        found = re.findall(r'name="(ticket|token)" value="([^"]*)"', page.text)
        fields = {name: html.unescape(value) for name, value in found}
        onward = await came.client.post(urlsplit(link).path, data=fields, headers={"Origin": EXTERNAL})
        said = onward.headers.get("location", "") + onward.text
        url = re.search(r"https://login\.example\.com/authorize[^\"<]*", said)
        assert url is not None, onward.text
        state = parse_qs(urlsplit(html.unescape(url[0])).query)["state"][0]
        done = await came.end(await came.come_back(state))
        assert done.status_code == 200, done.text
        assert came.credential is not None
        assert await opened(came, link) == 404, "it works once, whatever the status says"


def another_was_made(datasource: dict[str, Any]) -> None:
    another = kept(new_ticket(lambda size: b"n" * size), 3)
    datasource["metadata"]["annotations"]["datasource.dev/link-ticket"] = another


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda it: it["metadata"]["annotations"].pop("datasource.dev/link"), id="asked for no more"),
        pytest.param(lambda it: it["metadata"].update(generation=9), id="the spec was edited"),
        pytest.param(lambda it: it["status"].pop("authorizationLink"), id="no link is offered"),
        pytest.param(another_was_made, id="another was made"),
    ],
)
async def test_ticket_that_was_made_apart_ends(change: Callable[[dict[str, Any]], object]) -> None:
    async with visit() as came:
        link = link_made_apart(came)
        assert await opened(came, link) == 200
        change(came.datasource)
        assert await opened(came, link) == 404
