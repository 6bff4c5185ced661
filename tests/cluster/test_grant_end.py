"""The end of a grant through the whole stack, with the limits that Keycloak has: a session of 30 days, idle for 30 minutes."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from datasource.api.clock import parse_rfc3339, rfc3339
from tests.support.api import SECRETS
from tests.support.hostile_provider import HostileProvider, ReceivedRequest, consents_at_once, replies, served
from tests.support.person import STORED, Person
from tests.support.user import User, eventually

pytestmark = pytest.mark.cluster

SESSION = timedelta(days=30)
TOLD = {"access_token": "at", "token_type": "Bearer", "expires_in": 300, "refresh_expires_in": 1800}


class Keycloak:
    """Tells in each reply when the session is over if nobody uses it; never when it is over in any case."""

    def __init__(self) -> None:
        self.answers = 0
        self.is_over = False

    async def tokens(self, request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        """The token endpoint."""
        self.answers += 1
        if self.is_over and request.form["grant_type"] == "refresh_token":
            error = {"error": "invalid_grant", "error_description": "Session not active"}
            await replies(400, json.dumps(error).encode())(request, writer)
            return
        body = TOLD | {"access_token": f"at-{self.answers}", "refresh_token": f"rt-{self.answers}"}
        await replies(200, json.dumps(body).encode())(request, writer)


@pytest.fixture
def keycloak() -> Keycloak:
    return Keycloak()


@pytest.fixture
def provider(keycloak: Keycloak) -> Iterator[HostileProvider]:
    with served(HostileProvider(consents_at_once(keycloak.tokens))) as listening:
        yield listening


def expiring(status: dict[str, Any]) -> str | None:
    """The reason of the condition GrantExpiring."""
    return next((each["reason"] for each in status.get("conditions", []) if each["type"] == "GrantExpiring"), None)


def authorize(user: User) -> None:
    user.wait_for_link()
    with Person() as person:
        assert STORED in person.authorize(user.link()).text
    user.wait_for_reason("Authorized")


def was_given(user: User, ago: timedelta) -> datetime:
    """As if the person had consented that long ago; returns when the session is over."""
    given = datetime.now(UTC).replace(microsecond=0) - ago
    change = {"metadata": {"annotations": {"datasource.dev/authorized-at": rfc3339(given)}}}
    user.api.patch(SECRETS, "calendar-oauth2-credential", change, user.namespace)
    return given + SESSION


def refresh(user: User, keycloak: Keycloak, value: str) -> None:
    before = keycloak.answers
    user.annotate("refresh", value)
    eventually("it is refreshed", lambda: keycloak.answers > before)
    user.wait_for_handled("refresh", value)


def test_end_of_a_session_is_announced_though_its_idle_limit_comes_first(
    user: User, keycloak: Keycloak, provider: HostileProvider
) -> None:
    oauth2 = {
        "clientID": user.client_id,
        "authorizeURL": f"{provider.origin}/authorize",
        "tokenURL": provider.url,
        "scopes": ["read"],
        "grantLifetime": "720h",
    }
    user.apply(user.datasource(oauth2, display={"contact": "facilities, ext. 12"}))
    authorize(user)
    told = parse_rfc3339(user.status()["grantExpiresAt"])
    assert timedelta(minutes=28) < told - datetime.now(UTC) <= timedelta(minutes=30)
    assert expiring(user.status()) is None

    ends = {}
    for left, step in ((timedelta(days=2), "EndsSoon"), (timedelta(hours=1), "EndsWithinADay")):
        ends[step] = was_given(user, SESSION - left)
        user.wait_for_status(step, lambda status, step=step: expiring(status) == step)  # type: ignore[misc]
        assert user.status()["grantExpiresAt"] == rfc3339(ends[step])
    (said,) = [each["message"] for each in user.status()["conditions"] if each["type"] == "GrantExpiring"]
    assert f"The grant ends at {rfc3339(ends['EndsWithinADay'])}, and refreshing does not move that." in said
    assert said.endswith("Whom to ask: facilities, ext. 12.")
    assert (user.state(), user.reason()) == ("AUTHORIZED", "Authorized")
    warned = [each for each in user.events() if each["reason"] == "GrantExpiring"]
    assert {each["type"] for each in warned} == {"Warning"}

    # Refreshes go on, and move nothing of it.
    refresh(user, keycloak, "1")
    refresh(user, keycloak, "2")
    assert (expiring(user.status()), user.status()["grantExpiresAt"]) == (
        "EndsWithinADay",
        rfc3339(ends["EndsWithinADay"]),
    )

    # Another person gives the next one, before it is too late.
    user.wait_for_link()
    authorize(user)
    user.wait_for_status("nothing is near", lambda status: expiring(status) is None)
    assert user.status().get("authorizationLink") is None

    # And one day nobody did.
    keycloak.is_over = True
    user.annotate("refresh", "3")
    user.wait_for_reason("GrantRevoked")
    user.wait_for_message("Session not active")
    assert expiring(user.status()) is None
    assert "grantExpiresAt" not in user.status()
