"""Advisories about other software, replayed against ours on a real API server and a real provider.

Those that need no cluster stand in tests/unit: `grep -rn test_cve_ tests`.
"""

import json
import re
from collections.abc import Iterator

import pytest

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.cluster import Cluster
from deploy.local.stack import Process
from tests.support.api import SECRETS
from tests.support.person import STORED, Person, parameters_of
from tests.support.user import CLIENT_SECRET, User

pytestmark = pytest.mark.cluster


@pytest.fixture
def attacker() -> Iterator[Person]:
    """Somebody with cookies of their own."""
    with Person() as somebody:
        yield somebody


@pytest.fixture
def victim() -> Iterator[Person]:
    """Somebody else, with other cookies."""
    with Person() as somebody:
        yield somebody


def token_requests(user: User) -> int:
    return sum(each.client_id == user.client_id for each in user.provider.token_requests())


def test_cve_2025_68158_callback_of_an_attacker_is_nothing_in_a_browser_without_our_cookie(
    user: User, attacker: Person, victim: Person
) -> None:
    """Authlib kept `state` in a cache that was not bound to the session: anybody's callback URL worked for everybody."""
    callback = attacker.consent(attacker.begin(user.ready_to_authorize()))

    answer = victim.get(callback)

    assert answer.status_code == 403
    assert (token_requests(user), user.credential_id()) == (0, "")


def test_cve_2026_41425_callback_of_an_attacker_is_nothing_in_a_browser_with_a_flow_of_its_own(
    user: User, attacker: Person, victim: Person
) -> None:
    """The same for a victim who is authorizing at that moment: the cookie that is there must be the one of this state."""
    link = user.ready_to_authorize()
    of_the_victim = victim.consent(victim.begin(link))
    of_the_attacker = attacker.consent(attacker.begin(link))

    assert victim.get(of_the_attacker).status_code == 403
    assert token_requests(user) == 0
    assert STORED in victim.come_back(of_the_victim).text


@pytest.mark.parametrize("strip", ["state", "cookie", "state and cookie", "code", "iss and state"])
def test_cve_2023_27490_check_that_is_stripped_is_a_check_that_failed(user: User, victim: Person, strip: str) -> None:
    """NextAuth skipped the checks whose cookies or parameters an intermediary had taken away."""
    callback = victim.consent(victim.begin(user.ready_to_authorize()))
    stripped = callback
    for name in ("state", "code", "iss"):
        if name in strip:
            stripped = re.sub(rf"(?<=[?&]){name}=[^&]*&?", "", stripped)
    cookie = victim.cookie
    if "cookie" in strip:
        victim.cookie = None

    answer = victim.get(stripped)

    assert answer.status_code in {400, 403}
    assert (token_requests(user), user.credential_id()) == (0, "")
    victim.cookie = cookie
    assert STORED in victim.come_back(callback).text


def test_cve_2022_39222_code_of_a_victim_is_worth_nothing_to_whoever_sees_it(
    user: User, attacker: Person, victim: Person
) -> None:
    """Dex: whoever began a flow that a victim finished could fetch the code. Here state, code and browser belong together."""
    link = user.ready_to_authorize()
    own_state = parameters_of(attacker.begin(link))["state"]
    stolen = victim.consent(victim.begin(link))
    code = parameters_of(stolen)["code"]

    assert attacker.get(stolen).status_code == 403
    with_own_state = f"{user.external_url}/callback/{user.namespace}?code={code}&state={own_state}"
    page = attacker.come_back(f"{with_own_state}&iss={user.provider.issuer}").text

    # The code is spent on the victim's verifier, which the attacker's flow does not have (PKCE).
    assert "The service does not accept the code" in page
    assert user.credential_id() == ""


def test_cve_2026_54305_another_tenants_client_cannot_be_paired_with_a_token_url_of_ones_own(
    user: User, cluster: Cluster, attacker: Person, victim: Person
) -> None:
    """With one redirect URI for all tenants, B could name A's client and be handed A's codes. The namespace stands in it."""
    user.register_application()
    other = User(cluster, f"{user.namespace}-b", user.provider, user.external_url)
    cluster.kubectl("create", "namespace", other.namespace)
    try:
        other.create_client_secret("guess")
        other.apply(other.datasource(other.oauth2(clientID=user.client_id, tokenURL="https://evil.example.com/token")))
        other.wait_for_reason("AuthorizationRequired")
        page = victim.get(other.link())
        assert "evil.example.com" in page.text  # the dialog names the host that the code goes to
        at_the_provider = attacker.begin(other.link())
        parameters = parameters_of(at_the_provider)

        assert parameters["redirect_uri"] == f"{user.external_url}/callback/{other.namespace}"
        refused = attacker.get(at_the_provider)
        assert refused.status_code == 400
        assert "redirect_uri" in refused.text
        in_the_other_place = f"{user.external_url}/callback/{user.namespace}?code=x&state={parameters['state']}"
        assert attacker.get(in_the_other_place).status_code == 400
    finally:
        cluster.kubectl("delete", "namespace", other.namespace, "--wait=false")


def test_cve_2022_31186_failed_exchange_leaves_no_secret_in_a_log(
    user: User, victim: Person, operator: Process, callback_server: Process
) -> None:
    """NextAuth logged the whole provider configuration, client secret included, when something failed."""
    link = user.ready_to_authorize()
    user.provider.fault(client_id=user.client_id, status=500)
    callback = victim.consent(victim.begin(link))
    victim.come_back(callback)
    user.provider.fault(client_id=user.client_id, drop_after=True)
    again = victim.consent(victim.begin(link))
    victim.come_back(again)

    logs = operator.child.log.read_text() + callback_server.child.log.read_text()
    assert "the exchange failed" in logs
    said = {parameters_of(url)[name] for url in (callback, again) for name in ("code", "state")}
    ticket = link.partition("ticket=")[2]
    for secret in {CLIENT_SECRET, ticket, victim.cookie or ticket, *said, *user.provider.secrets().all()}:
        assert secret not in logs


def test_cve_2023_40029_no_secret_stands_in_an_annotation_that_keeps_what_was_applied(
    user: User, victim: Person
) -> None:
    """Argo CD's cluster Secrets carried their values in last-applied-configuration, for whoever may read metadata."""
    victim.authorize(user.ready_to_authorize())
    user.wait_for_reason("Authorized")
    user.annotate("refresh", "1")
    user.wait_for_handled("refresh", "1")

    secrets = user.provider.secrets().all() | {CLIENT_SECRET}
    for namespace in (user.namespace, SYSTEM_NAMESPACE):
        for stored in user.api.all_of(SECRETS, namespace):
            if stored["type"].startswith("datasource.dev/"):
                metadata = json.dumps(stored["metadata"])
                assert "last-applied-configuration" not in metadata
                assert [secret for secret in secrets if secret in metadata] == []
    whole = json.dumps(user.get())
    assert [secret for secret in secrets if secret in whole] == []
