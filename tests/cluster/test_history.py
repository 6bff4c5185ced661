"""What is asked for at a page, and what people did, on a real API server under the rights of deploy/."""

from base64 import b64encode

import msgspec
import pytest

from datasource.api.names import LINK_KEYS_SECRET, credential_secret_name
from datasource.api.objects import Secret
from datasource.process.clock import utc_now
from datasource.process.installation import SYSTEM_NAMESPACE
from datasource.records.link_keys import LinkKeys, read_link_keys
from datasource.records.page_request import PageRequest, RequestKind, page_request
from tests.support.api import SECRETS, api_of
from tests.support.person import Person
from tests.support.user import User, eventually

pytestmark = pytest.mark.cluster


def keys_of(user: User) -> LinkKeys:
    """Those by which the operator knows what the callback server wrote."""
    found = api_of(user.cluster.kubeconfig).get(SECRETS, LINK_KEYS_SECRET, SYSTEM_NAMESPACE)
    return read_link_keys(msgspec.convert(found, Secret))


def ask(user: User, kind: RequestKind, *, named: str = "") -> PageRequest:
    """Write a request as the callback server does; with `named` somebody alters whom it names."""
    now = utc_now()
    request = page_request(
        kind,
        user="ada@example.com",
        credential_id=user.credential_id(),
        now=now,
        token_bytes=lambda size: b64encode(now.isoformat().encode())[-size:],
    ).marked(keys_of(user), (user.namespace, "calendar"))
    if named:
        request = msgspec.structs.replace(request, user=named)
    annotation = f"datasource.dev/page-request={request.encode()}"
    user.kubectl("annotate", "--overwrite", "secret", credential_secret_name("calendar"), annotation)
    return request


def told(user: User) -> list[tuple[str, str, str]]:
    return [(each["what"], each["by"], each["result"]) for each in user.status().get("history", [])]


def test_what_people_did_is_told_whoever_did_it_and_outlives_a_clear_and_a_new_credential(user: User) -> None:
    with Person() as person:
        person.authorize(user.ready_to_authorize())
    user.wait_for_reason("Authorized")
    expected = [("NewCredential", "link", "Succeeded")]
    eventually("the new credential is told", lambda: told(user) == expected, user.status)

    refresh = ask(user, RequestKind.REFRESH)
    expected += [("Refresh", "ada@example.com", "Succeeded")]
    eventually("the refresh is told", lambda: told(user) == expected, user.status)
    assert user.status()["history"][-1]["id"] == refresh.id

    ask(user, RequestKind.CLEAR, named="the.boss@example.com")
    user.wait_for_reason("CredentialCleared")
    expected += [("ClearCredential", "unproven", "Succeeded")]
    eventually("the clear is told", lambda: told(user) == expected, user.status)
    eventually("no token is left", lambda: user.tokens() == {}, user.credential)

    with Person() as person:
        person.authorize(user.link())
    user.wait_for_reason("Authorized")
    expected += [("NewCredential", "link", "Succeeded")]
    eventually("it is carried over", lambda: told(user) == expected, user.status)
    assert "datasource.dev/page-request" not in (user.credential() or {})["metadata"]["annotations"]
