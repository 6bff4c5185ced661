"""A refresh token that somebody brings along, through the whole stack: kubectl's plugin, policies, operator and provider."""

import base64
import subprocess

import pytest

from deploy.local.cluster import Cluster
from tests.support.api import api_of, refusal
from tests.support.person import STORED, Person
from tests.support.plugin import Plugin, editor
from tests.support.user import User, eventually

pytestmark = pytest.mark.cluster

IMPORT = "diary-oauth2-import"


def grant_of_a_script(user: User) -> str:
    """A refresh token that somebody got in another way: from here on, nobody but them uses it."""
    user.ready_to_authorize()
    with Person() as person:
        person.authorize(user.link())
    user.wait_for_reason("Authorized")
    token = user.decoded("calendar-oauth2-credential", "refresh_token")
    assert token is not None
    # Without a revocation: the grant goes on.
    user.kubectl("delete", "datasource", "calendar")
    return token


def piped(plugin: Plugin, *arguments: str, content: str) -> "subprocess.CompletedProcess[str]":
    """Run the plugin with something on its standard input."""
    return subprocess.run(  # noqa: S603
        plugin.command(*arguments, "-n", plugin.namespace),
        env=plugin.environ(),
        input=content,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def brought(user: User, token: str, name: str = "diary") -> dict[str, object]:
    """An import Secret as somebody writes it by hand."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "datasource.dev/oauth2-import",
        "metadata": {"name": f"{name}-oauth2-import", "namespace": user.namespace},
        "data": {"refresh_token": base64.b64encode(token.encode()).decode()},
    }


def test_refresh_token_of_another_tool_is_taken_over_by_whoever_may_patch_the_datasource(
    user: User, cluster: Cluster
) -> None:
    token = grant_of_a_script(user)
    user.apply(user.datasource(user.oauth2(), name="diary"))
    user.wait_for_reason("AuthorizationRequired", "diary")
    # Who may only write and read Secrets decides nothing about the Datasource.
    user.kubectl("create", "serviceaccount", "eve")
    user.kubectl("create", "role", "eve", "--verb=create,get", "--resource=secrets")
    user.kubectl("create", "rolebinding", "eve", "--role=eve", f"--serviceaccount={user.namespace}:eve")
    eve = api_of(cluster.kubeconfig_for(user.namespace, "eve"))
    eventually("her rights are in force", lambda: eve.may("create", "secrets", user.namespace))
    said = refusal(eve.create, brought(user, token), dry_run=True)
    assert "eve may not patch that Datasource" in said

    # While it is suspended nothing is sent, and that is said.
    user.apply(user.datasource(user.oauth2(), name="diary", suspend=True))
    user.apply(brought(user, "rt-of-nobody"))
    user.wait_for_status("it waits", lambda status: imported(status) == "Waiting", "diary")
    user.apply(user.datasource(user.oauth2(), name="diary"))
    user.wait_for_reason("GrantRevoked", "diary")
    user.wait_for_status("it was refused", lambda status: imported(status) == "Refused", "diary")
    eventually("an Event says so", lambda: any(each["reason"] == "ImportRefused" for each in user.events("diary")))
    user.kubectl("delete", "secret", IMPORT)

    ada = editor(cluster, user.namespace, secrets=("get", "create"))
    done = piped(ada, "import", "diary", content=f"{token}\n")

    assert done.returncode == 0, done.stderr
    assert "is AUTHORIZED as" in done.stdout
    assert user.secret(IMPORT) is None
    assert user.decoded("diary-oauth2-credential", "refresh_token") not in {None, token}
    assert user.decoded("diary-token", "access_token")
    second = piped(ada, "import", "diary", content="another")
    assert second.returncode == 1
    assert "clear it first" in second.stderr
    assert user.state("diary") == "AUTHORIZED"


def at_the_provider(user: User, person: Person, name: str) -> str:
    """A Datasource whose link somebody opened, and consented; returns where their browser is sent back to, not opened yet."""
    user.apply(user.datasource(user.oauth2(), name=name))
    user.wait_for_reason("AuthorizationRequired", name)
    return person.consent(person.begin(user.link(name)))


def codes_spent(user: User) -> int:
    """Codes that the provider was sent for the application of this namespace."""
    sent = user.provider.token_requests()
    return sum(each.grant_type == "authorization_code" and each.client_id == user.client_id for each in sent)


def test_import_and_the_consent_of_a_person_take_nothing_from_each_other(user: User) -> None:
    token = grant_of_a_script(user)
    with Person() as person:
        # While they are at the provider, and it is of no use: their consent is.
        back = at_the_provider(user, person, "diary")
        user.apply(brought(user, "rt-of-nobody"))
        user.wait_for_reason("GrantRevoked", "diary")
        assert STORED in person.come_back(back).text
        user.wait_for_reason("Authorized", "diary")
        user.wait_for_status("it is told", lambda status: imported(status) == "CredentialExists", "diary")
        assert user.decoded(IMPORT, "refresh_token") == "rt-of-nobody"

        # While they are at the provider, and it works: it stays, they read so, and their code is not spent.
        back = at_the_provider(user, person, "ledger")
        user.apply(brought(user, token, "ledger"))
        user.wait_for_reason("Authorized", "ledger")
        before, spent = user.decoded("ledger-oauth2-credential", "refresh_token"), codes_spent(user)
        page = person.come_back(back)
        assert "A refresh token was imported for this Datasource" in page.text
        assert (codes_spent(user), user.state("ledger")) == (spent, "AUTHORIZED")
        assert user.decoded("ledger-oauth2-credential", "refresh_token") == before

        # Right behind the callback: the consent stands, and the import waits for a clear.
        moved = user.decoded("ledger-oauth2-credential", "refresh_token")
        assert moved is not None
        user.kubectl("delete", "datasource", "ledger")
        back = at_the_provider(user, person, "planner")
        done = person.come_back(back)
        user.apply(brought(user, moved, "planner"))
        assert STORED in done.text
        user.wait_for_status("it is told", lambda status: imported(status) == "CredentialExists", "planner")
        assert (user.state("planner"), user.decoded("planner-oauth2-import", "refresh_token")) == ("AUTHORIZED", moved)
        user.annotate("clear-credential", "1", "planner")
        user.wait_for_status("the import is over", lambda status: imported(status) is None, "planner")
        user.wait_for_reason("Authorized", "planner")
        assert user.secret("planner-oauth2-import") is None


def imported(status: dict[str, object]) -> str | None:
    """The reason of the condition Imported."""
    conditions = status.get("conditions")
    assert isinstance(conditions, list)
    return next((each["reason"] for each in conditions if each["type"] == "Imported"), None)
