"""The done page tells how it ended as soon as that is known, waits a moment for the operator, and promises nothing else."""

import json
from base64 import b64decode
from itertools import count
from typing import Any

import pytest

from callback_server.done import LOOKS, PAUSE
from datasource.api.names import Annotation
from datasource.api.objects import encoded_data
from tests.support.hostile_provider import replies
from tests.support.person import STORED
from tests.unit.callback_server.test_callback import GRANTS
from tests.unit.callback_server.visits import DATASOURCE, new_cookie_jar, visit


def flow_in(record: dict[str, Any]) -> dict[str, Any]:
    """What a flow record says."""
    read: dict[str, Any] = json.loads(b64decode(record["data"]["flow"]))
    return read


TAKEN_UP = "The Datasource is AUTHORIZED. There is nothing more to do."


async def test_page_waits_for_the_operator_and_says_when_it_has_taken_the_credential_up() -> None:
    async with visit(GRANTS) as came:
        came.meanwhile = [lambda: None, lambda: None, came.take_up]
        page = await came.authorize()
        assert TAKEN_UP in page.text
        assert came.sleeps == [PAUSE] * 3, "and no longer"


async def test_page_that_waited_in_vain_says_so() -> None:
    async with visit(GRANTS) as came:
        page = await came.authorize()
        assert len(came.sleeps) == LOOKS - 1
    assert STORED in page.text
    assert "The operator has not used it yet." in page.text
    assert "The Datasource is AUTHORIZED" not in page.text


async def test_page_over_a_slow_api_server_looks_less_often() -> None:
    """Each look takes as long as the API server does: twelve of them were half a minute of white page."""
    clock = count(step=LOOKS * PAUSE / 2)
    async with visit(GRANTS, monotonic=lambda: next(clock)) as came:
        page = await came.authorize()
        assert len(came.sleeps) < LOOKS / 2
    assert STORED in page.text
    assert "The operator has not used it yet." in page.text


async def test_authorized_of_before_is_not_taken_for_the_news() -> None:
    """The link that was used stands in the status for as long as the operator has not seen the credential."""
    async with visit(GRANTS) as came:
        came.datasource["status"]["state"] = "AUTHORIZED"
        page = await came.authorize()
    assert "The operator has not used it yet." in page.text


async def test_failure_is_told_at_once_with_the_link_to_begin_again() -> None:
    async with visit(replies(400, b'{"error": "invalid_grant"}')) as came:
        link = came.datasource["status"]["authorizationLink"]
        page = await came.authorize()
        assert came.sleeps == []
    assert STORED not in page.text
    assert link.replace("&", "&amp;") in page.text


async def test_link_that_is_not_offered_any_more_is_not_handed_out_again() -> None:
    async with visit(replies(400, b'{"error": "invalid_grant"}')) as came:
        link = came.datasource["status"]["authorizationLink"]
        state = await came.begin()
        returned = await came.come_back(state)
        came.datasource["status"]["authorizationLink"] = None
        page = await came.end(returned)
    assert link not in page.text


async def test_outcome_that_could_not_be_recorded_is_told_by_the_credential_itself() -> None:
    async with visit(GRANTS) as came:
        returned = await came.come_back(await came.begin())
        (record,) = came.flow_records
        flow = flow_in(record) | {"outcome": "under-way"}
        record["data"] = encoded_data({"flow": json.dumps(flow)})
        page = await came.end(returned)
    assert STORED in page.text


async def test_datasource_that_cannot_be_shown_any_more_does_not_hide_how_it_ended() -> None:
    async with visit(GRANTS) as came:
        returned = await came.come_back(await came.begin())
        came.datasource["spec"] = {"url": "https://api.example.com"}
        page = await came.end(returned)
        assert came.sleeps == [], "there is nothing to wait for"
    assert STORED in page.text
    assert "kubectl describe" in page.text


@pytest.mark.parametrize("gone", [True, False], ids=["deleted", "another of that name"])
async def test_nothing_is_told_of_a_datasource_that_is_not_the_one_it_was(gone: bool) -> None:
    async with visit(GRANTS) as came:
        returned = await came.come_back(await came.begin())
        if gone:
            del came.kube.objects[DATASOURCE]
        else:
            came.datasource["metadata"]["uid"] = "another"
        page = await came.end(returned)
    assert page.status_code >= 400
    assert STORED not in page.text


async def test_page_is_for_the_browser_that_began() -> None:
    async with visit(GRANTS) as came:
        returned = await came.come_back(await came.begin())
        new_cookie_jar(came)
        page = await came.end(returned)
    assert page.status_code == 403
    assert "calendar" not in page.text


@pytest.mark.parametrize("change", [lambda text: text[:-1], lambda text: text + "A", lambda text: text.swapcase()])
async def test_page_that_nobody_made_is_none(change: object) -> None:
    assert callable(change)
    async with visit(GRANTS) as came:
        returned = await came.come_back(await came.begin())
        place, _, done_id = returned.headers["location"].rpartition("/")
        page = await came.client.get(f"{place}/{change(done_id)}")
    assert page.status_code in {400, 404}


async def test_annotation_of_the_credential_names_the_flow_that_made_it() -> None:
    """Which is how the page knows it."""
    async with visit(GRANTS) as came:
        await came.authorize()
        assert came.credential is not None
        made = came.credential["metadata"]["annotations"][Annotation.CREDENTIAL_ID]
        assert made == flow_in(came.flow_records[0])["claim"]
