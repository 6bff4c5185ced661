"""spec.probe through the whole stack: the service is asked with the token, and kubectl shows what it said."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.hostile_provider import (
    HostileProvider,
    ReceivedRequest,
    endless_body,
    redirects,
    replies,
    served,
    stays_silent,
)
from tests.support.person import Person
from tests.support.user import User, eventually

pytestmark = pytest.mark.cluster


async def service(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
    """An API of which one part takes every token, one takes none, and one sends everybody to the first; others are odd."""
    answers = {
        "/good": replies(200, b"{}"),
        "/bad": replies(401, b"{}"),
        "/forbidden": replies(403, b"{}"),
        "/endless": endless_body(),
        "/silent": stays_silent(),
    }
    part = request.target.removesuffix("/me")
    await answers.get(part, redirects("/good/me"))(request, writer)


@pytest.fixture
def api() -> Iterator[HostileProvider]:
    with served(HostileProvider(service)) as listening:
        yield listening


def accepted(user: User, name: str) -> tuple[str, str]:
    """Status and reason of the condition Accepted."""
    found = [each for each in user.status(name).get("conditions", []) if each["type"] == "Accepted"]
    return (found[0]["status"], found[0]["reason"]) if found else ("", "")


def authorize(user: User, name: str, url: str) -> None:
    user.apply(user.datasource(user.oauth2(), name=name, url=url, probe={"path": "/me"}))
    user.wait_for_link(name)
    with Person() as person:
        person.authorize(user.link(name))
    user.wait_for_reason("Authorized", name)


def test_what_the_service_makes_of_the_token_is_a_condition_and_never_a_state(user: User, api: HostileProvider) -> None:
    user.register_application()
    user.create_client_secret()
    names = ("good", "bad", "moved", "forbidden", "endless", "silent")
    for name in names:
        authorize(user, name, f"{api.origin}/{name}")

    # As a pipeline waits for it.
    user.kubectl("wait", "--for=condition=Accepted", "dsrc/good", "--timeout=60s")
    eventually("a redirect is told", lambda: accepted(user, "moved")[0] != "")

    assert accepted(user, "good") == ("True", "TokenAccepted")
    assert accepted(user, "moved") == ("Unknown", "Redirected")
    shown = user.kubectl("get", "dsrc", "good", "-o", 'jsonpath={.status.conditions[?(@.type=="Accepted")].message}')
    assert shown == "127.0.0.1 answered 200: it accepts the access token."
    first = {each.target: each.headers["authorization"] for each in reversed(api.requests)}
    assert first["/good/me"] == f"Bearer {user.decoded('good-token', 'access_token')}"
    # A redirect is not followed with the token: whoever asked for /good/me had the token of that Datasource.
    assert {each.headers["authorization"] for each in api.requests if each.target == "/good/me"} == {first["/good/me"]}

    def was_refreshed() -> bool:
        credential = user.credential("bad")
        return credential is not None and credential["metadata"]["annotations"]["datasource.dev/revision"] == "2"

    eventually("a 401 asks for one refresh", was_refreshed)
    eventually("the status of an endless answer counts", lambda: accepted(user, "endless") == ("True", "TokenAccepted"))
    eventually("so does a 403", lambda: accepted(user, "forbidden") == ("False", "Forbidden"))
    eventually("no answer is told", lambda: accepted(user, "silent") == ("Unknown", "NoAnswer"))
    assert {user.state(name) for name in names} == {"AUTHORIZED"}
    asked = [each.target for each in api.requests]
    assert asked.count("/forbidden/me") == 1, "a 403 asks for no refresh and for no other token"
