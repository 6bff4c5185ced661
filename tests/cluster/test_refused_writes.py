"""Somebody's rule refuses our Secrets, with whatever status it likes: people read its words, and no code is spent."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import pytest

from tests.support.api import DATASOURCES
from tests.support.person import Person
from tests.support.somebodys_policy import Rule, Validation, in_force
from tests.support.somebodys_webhook import refusing
from tests.support.user import User

pytestmark = pytest.mark.cluster

SECRETS = Rule("", "secrets", ("CREATE", "UPDATE"))
WORDS = "secrets need a cost centre"
CREDENTIAL, TOKEN = "datasource.dev/oauth2-credential", "datasource.dev/oauth2-token"
LOOK_GAP = 60.0
"""Seconds after which the operator tries again what was refused."""

InForce = Callable[[User, str], AbstractContextManager[None]]


@pytest.fixture
def person() -> Iterator[Person]:
    """Somebody with cookies of their own."""
    with Person() as somebody:
        yield somebody


def is_refused(user: User, type_: str) -> bool:
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "try", "namespace": user.namespace},
        "type": type_,
    }
    done = user.cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest), check=False)
    return WORDS in done.stderr


def by_policy(reason: str, user: User, type_: str) -> AbstractContextManager[None]:
    """A policy refuses Secrets of a type."""
    no_such = Validation(f"object.type != '{type_}'", WORDS, reason)
    return in_force(user, SECRETS, no_such, partial(is_refused, user, type_))


def by_webhook(code: int, user: User, type_: str) -> AbstractContextManager[None]:
    """A webhook does."""
    status = {"code": code, "message": WORDS}
    return refusing(user, SECRETS, f"object.type == '{type_}'", status, partial(is_refused, user, type_))


RULES: dict[str, InForce] = {
    **{
        f"a policy, {reason}": partial(by_policy, reason)
        for reason in ("Forbidden", "Invalid", "RequestEntityTooLarge")
    },
    # As if somebody had been first, as if the namespace was gone, as if the API server was down.
    **{f"a webhook, {code}": partial(by_webhook, code) for code in (403, 409, 404, 503)},
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_rule_against_credentials_is_told_on_the_page_and_costs_no_code(
    user: User, person: Person, rule: InForce
) -> None:
    link = user.ready_to_authorize()
    back = person.consent(person.begin(link))
    with rule(user, CREDENTIAL):
        page = person.come_back(back)
    assert "The credential could not be stored" in page.text, page.text
    assert WORDS in page.text
    assert not [each for each in user.provider.token_requests() if each.client_id == user.client_id]


@pytest.mark.parametrize("rule", ["a policy, RequestEntityTooLarge", "a webhook, 409", "a webhook, 503"])
def test_rule_against_token_secrets_is_told_in_the_status_and_costs_no_grant(
    user: User, person: Person, rule: str
) -> None:
    link = user.ready_to_authorize()
    with RULES[rule](user, TOKEN):
        person.authorize(link)
        user.wait_for_message(WORDS)
        assert user.credential() is not None

    def is_authorized(seen: dict[str, Any] | None) -> bool:
        conditions = (seen or {}).get("status", {}).get("conditions", [])
        return any(each["type"] == "Ready" and each["reason"] == "Authorized" for each in conditions)

    user.api.wait("it goes on", DATASOURCES, "calendar", is_authorized, user.namespace, seconds=2 * LOOK_GAP)
