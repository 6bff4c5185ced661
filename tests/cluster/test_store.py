"""Storing a credential whose code is spent already: nothing is lost, and nothing newer is overwritten."""

import threading
from collections.abc import Callable

import httpx
import pytest

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.build import KUBE_APISERVER
from deploy.local.controlplane import ControlPlane
from deploy.local.provider import LONGEST_HOLD
from deploy.local.stack import CALLBACK_SERVER
from tests.support.audit import WRITES, requests_by
from tests.support.person import STORED, Person
from tests.support.user import User, eventually

pytestmark = pytest.mark.cluster


def token_requests(user: User) -> int:
    return sum(each.client_id == user.client_id for each in user.provider.token_requests())


def was_answered(user: User, before: int) -> bool:
    """Whether the provider has acted on one more request; its reply may be held back."""
    ours = [each for each in user.provider.token_requests() if each.client_id == user.client_id]
    return len(ours) == before + 1 and ours[-1].status is not None


def meanwhile(user: User, link: str, action: Callable[[], object]) -> httpx.Response:
    """Get a credential, and do something while the provider holds its reply back; returns the done page."""
    with Person() as person:
        callback = person.consent(person.begin(link))
        before = token_requests(user)
        user.provider.fault(client_id=user.client_id, hold_reply=LONGEST_HOLD)
        pages: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: pages.append(person.come_back(callback)))
        thread.start()
        eventually("the code is being exchanged", lambda: was_answered(user, before))
        action()
        user.provider.let_go()
        thread.join()
        return pages[0] if pages else person.come_back(callback)


def authorized(user: User) -> str:
    """Somebody has got a credential; returns the link to get another."""
    link = user.ready_to_authorize()
    with Person() as person:
        person.authorize(link)
    user.wait_for_reason("Authorized")
    user.annotate("new-credential", "1")
    user.wait_for_link()
    return user.link()


def test_label_added_meanwhile_loses_nothing(user: User) -> None:
    link = authorized(user)
    old = user.credential_id()

    page = meanwhile(user, link, lambda: user.kubectl("label", "secret", "calendar-oauth2-credential", "backup=yes"))

    assert STORED in page.text
    assert user.credential_id() != old
    credential = user.credential()
    assert credential is not None
    assert credential["metadata"]["labels"]["backup"] == "yes"


def test_clear_meanwhile_wins(user: User) -> None:
    link = authorized(user)

    def clear() -> None:
        user.clear("1")
        user.wait_for_reason("CredentialCleared")

    page = meanwhile(user, link, clear)

    assert "The credential was dropped" in page.text
    assert user.state() == "NOT AUTHORIZED"
    # One token may wait a moment for its revocation.
    eventually("no token is left", lambda: user.tokens() == {}, user.credential)


def test_deleted_secret_is_not_made_anew_by_a_late_reply(user: User) -> None:
    link = authorized(user)

    page = meanwhile(user, link, lambda: user.kubectl("delete", "secret", "calendar-oauth2-credential"))

    assert "The credential was dropped" in page.text
    assert user.credential_id() == ""


def test_foreign_secret_that_appears_meanwhile_is_not_touched(user: User) -> None:
    name = "calendar-oauth2-credential"

    page = meanwhile(
        user,
        user.ready_to_authorize(),
        lambda: user.kubectl("create", "secret", "generic", name, "--from-literal=keep=me"),
    )

    assert "The credential was dropped" in page.text
    secret = user.secret(name)
    assert secret is not None
    assert secret["type"] == "Opaque"
    assert set(secret["data"]) == {"keep"}


def test_api_server_that_freezes_meanwhile_costs_nothing(user: User, control_plane: ControlPlane) -> None:
    link = user.ready_to_authorize()
    api_server = control_plane.component(KUBE_APISERVER.name)
    thawed = threading.Timer(24.0, api_server.thaw)  # longer than a request is waited for

    def freeze() -> None:
        api_server.freeze()
        thawed.start()

    page = meanwhile(user, link, freeze)
    thawed.join()

    assert page.status_code == 200
    user.wait_for_reason("Authorized")
    assert token_requests(user) == 1
    user_name = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{CALLBACK_SERVER}"
    written = [
        each
        for each in requests_by(user_name, control_plane.audit_log)
        if each.namespace == user.namespace and each.resource == "secrets" and each.verb in WRITES and not each.dry_run
    ]
    # Tried again after an unclear answer, whether the first try had arrived (409 then) or not; stored once either way.
    assert {each.verb for each in written} == {"create"}
    assert [each.status for each in written].count(201) <= 1
    assert user.credential_id() != ""
