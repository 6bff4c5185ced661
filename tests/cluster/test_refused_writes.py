"""Somebody's policy refuses our Secrets, with whatever status it likes: people read its words, and no code is spent."""

import json
from collections.abc import Iterator

import pytest

from tests.support.person import Person
from tests.support.somebodys_policy import Rule, Validation, in_force
from tests.support.user import User

pytestmark = pytest.mark.cluster

SECRETS = Rule("", "secrets", ("CREATE", "UPDATE"))
WORDS = "secrets need a cost centre"
REASONS = ["Unauthorized", "Forbidden", "Invalid", "RequestEntityTooLarge"]


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


def none_of(type_: str, reason: str) -> Validation:
    return Validation(f"object.type != '{type_}'", WORDS, reason)


@pytest.mark.parametrize("reason", REASONS)
def test_policy_against_credentials_is_told_on_the_page_and_costs_no_code(
    user: User, person: Person, reason: str
) -> None:
    link = user.ready_to_authorize()
    back = person.consent(person.begin(link))
    type_ = "datasource.dev/oauth2-credential"
    with in_force(user, SECRETS, none_of(type_, reason), lambda: is_refused(user, type_)):
        page = person.come_back(back)
    assert "The credential could not be stored" in page.text, page.text
    assert WORDS in page.text
    assert not [each for each in user.provider.token_requests() if each.client_id == user.client_id]


@pytest.mark.parametrize("reason", REASONS)
def test_policy_against_token_secrets_is_told_in_the_status_and_costs_no_grant(
    user: User, person: Person, reason: str
) -> None:
    link = user.ready_to_authorize()
    type_ = "datasource.dev/oauth2-token"
    with in_force(user, SECRETS, none_of(type_, reason), lambda: is_refused(user, type_)):
        person.authorize(link)
        user.wait_for_message(WORDS)
        assert user.credential() is not None
    user.annotate("refresh", "1")
    user.wait_for_reason("Authorized")
