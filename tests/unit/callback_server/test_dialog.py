"""Forms, before anything is believed of them; and what is said where an authorization cannot be recorded."""

from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import pytest

from callback_server.dialog import parse_form
from datasource.cluster.api_errors import ApiError, Forbidden, Invalid, Unavailable
from tests.support.kube_in_memory import Call
from tests.support.mortal import MortalKube
from tests.support.person import forms_in
from tests.unit.callback_server.visits import EXTERNAL, SYSTEM, Connection, visit

FORM = "application/x-www-form-urlencoded"


def test_form_is_read_with_its_escapes() -> None:
    assert parse_form(FORM + "; charset=utf-8", b"ticket=a%2Bb&token=c+d") == {"ticket": "a+b", "token": "c d"}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", b"ticket=a"),
        ("application/json", b'{"ticket": "a"}'),
        ("", b"ticket=a"),
        (FORM, b"\xff\xfe"),
        (FORM, b"&".join(b"a=1" for _ in range(11))),
        (FORM, b"ticket=%ff"),
        (FORM, b"ticket=a&ticket=b"),
        (FORM, b"ticket=a&token=b&ticket=a"),
    ],
)
def test_what_is_no_small_form_is_empty(content_type: str, body: bytes) -> None:
    assert parse_form(content_type, body) == {}


@dataclass
class RefusingConnection(MortalKube, Connection):
    """A connection to an API server that takes no Secret in our own namespace."""


QUOTA = Forbidden(403, "Forbidden", "exceeded quota: ours, requested: count/secrets=1")
WEBHOOK = Invalid(422, "Invalid", "admission webhook policy.example.com denied the request")


async def clicked(error: Exception, verbs: set[str]) -> httpx.Response:
    """What somebody sees who opens the link and chooses the button, while those requests about our namespace are refused."""

    def refuses(call: Call) -> Exception | None:
        return error if call.verb in verbs and call.namespace == SYSTEM else None

    async with visit(kube=RefusingConnection(refuses=refuses)) as came:
        link = came.datasource["status"]["authorizationLink"]
        (form,) = forms_in((await came.client.get(link)).text)
        return await came.client.post(urlsplit(link).path, data=form.fields, headers={"Origin": EXTERNAL})


@pytest.mark.parametrize("error", [QUOTA, WEBHOOK], ids=["a quota", "a webhook"])
async def test_record_that_the_api_server_does_not_take_is_told_in_its_own_words(error: ApiError) -> None:
    """It said that the cluster does not answer."""
    page = await clicked(error, {"create"})
    assert page.status_code == 503
    assert "The authorization could not begin" in page.text
    assert error.message in page.text


async def test_refusal_that_strangers_may_see_has_no_words_of_the_api_server() -> None:
    kube = RefusingConnection()
    async with visit(kube=kube) as came:
        state = await came.begin()
        kube.refuses = lambda call: QUOTA if call.namespace == SYSTEM else None
        page = await came.come_back(state)
    assert "The cluster refused this" in page.text
    assert "quota" not in page.text


async def test_api_server_that_is_away_is_said_to_be_away() -> None:
    assert "The cluster does not answer" in (await clicked(Unavailable("no answer"), {"create"})).text
