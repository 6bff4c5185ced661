"""The API server hangs while people wait before a page: they are told, nothing is spent, and the page goes on by itself."""

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from datasource.process.installation import SYSTEM_NAMESPACE
from tests.faults.api_proxy import Call, CallIs, everything
from tests.faults.stage import Stage
from tests.support.person import STORED, Person

pytestmark = pytest.mark.cluster

FOR_EVER = timedelta(days=1)


@pytest.fixture
def person() -> Iterator[Person]:
    """Somebody whose browser waits as long as it takes, so that only the server ends the waiting."""
    with Person() as somebody:
        somebody.client.timeout = httpx.Timeout(60.0)
        yield somebody


def link_of_a_new_one(stage: Stage) -> str:
    """The link of a Datasource that waits for a person."""
    stage.user.apply(stage.user.datasource(stage.user.oauth2()))
    stage.user.wait_for_reason("AuthorizationRequired")
    return stage.user.link()


def waits(page: httpx.Response) -> bool:
    """Whether a page says that it looks again, and does."""
    return page.status_code == 503 and "tries again by itself" in page.text and int(page.headers["Refresh"]) > 0


def ends_well(person: Person, address: str) -> None:
    """The browser looks again by itself."""
    assert STORED in person.come_back(address).text


def exchanges(stage: Stage) -> int:
    return sum(each.client_id == stage.user.client_id for each in stage.user.provider.token_requests())


def writes_a_claim(call: Call) -> bool:
    return call.verb == "patch" and call.resource == "secrets" and call.namespace == SYSTEM_NAMESPACE


def stores(call: Call) -> bool:
    return call.counts_as_write and call.resource == "secrets" and call.name.endswith("-oauth2-credential")


def test_person_before_an_api_server_that_hangs_is_told_and_spends_nothing(stage: Stage, person: Person) -> None:
    link = link_of_a_new_one(stage)
    proxy = stage.callback_server.proxy
    with proxy.delay(everything, FOR_EVER):
        assert waits(person.get(link))
    address = person.consent(person.begin(link))
    with proxy.delay(everything, FOR_EVER):
        assert waits(person.get(address))
        assert waits(person.get(address))
    assert exchanges(stage) == 0
    ends_well(person, address)
    assert exchanges(stage) == 1


@pytest.mark.parametrize("hangs_at", [writes_a_claim, stores], ids=["the claim", "the store"])
def test_code_that_came_goes_on_while_the_page_waits(stage: Stage, person: Person, hangs_at: CallIs) -> None:
    address = person.consent(person.begin(link_of_a_new_one(stage)))
    with stage.callback_server.proxy.delay(hangs_at, FOR_EVER) as hang:
        assert waits(person.get(address))
        person.get(address)
        assert hang.met
    ends_well(person, address)
    assert exchanges(stage) == 1
