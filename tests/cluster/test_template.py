"""A template that no token Secret can be made of: told, the grant goes on, and nobody else notices."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from datasource.process.installation import LEASE_NAME, SYSTEM_NAMESPACE
from deploy.local.cache import REPOSITORY
from deploy.local.controlplane import ControlPlane
from deploy.local.stack import OPERATOR, Process
from tests.support.api import LEASES
from tests.support.audit import requests_by
from tests.support.hostile_provider import HostileProvider, consents_at_once, replies, served
from tests.support.person import STORED, Person
from tests.support.user import User, eventually

pytestmark = pytest.mark.cluster

LONG_TOKEN = "t" * 65_536
"""As long as one may be."""

SHORT_TOKEN = "t" * 1024

BOMB = {f"key-{number}": "{{access_token}}" * 512 for number in range(7)}
"""As much as the schema lets through: 56 KiB of template, 224 MiB of Secret."""

MODEST = {"header": "Authorization: Bearer {{ access_token }}"}


def issuing(*tokens: str) -> HostileProvider:
    """A provider that consents at once and issues these access tokens, one after the other; the last one is repeated."""
    issued = (
        {"access_token": token, "token_type": "Bearer", "expires_in": 3600, "refresh_token": f"refresh-{number}"}
        for number, token in enumerate(tokens)
    )
    behaviours = [consents_at_once(replies(200, json.dumps(each).encode())) for each in issued]
    # One more in front: the browser is the first to ask.
    return HostileProvider(behaviours[0], *behaviours)


@pytest.fixture
def generous() -> Iterator[HostileProvider]:
    """A provider whose access tokens are very long."""
    with served(issuing(LONG_TOKEN)) as provider:
        yield provider


def memory_limit() -> int:
    """What deploy/ gives the operator, in bytes."""
    objects = yaml.safe_load_all((REPOSITORY / "deploy" / "base" / "operator.yaml").read_text())
    (deployment,) = (each for each in objects if each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    mebibytes = re.fullmatch("([0-9]+)Mi", container["resources"]["limits"]["memory"])
    assert mebibytes is not None
    return int(mebibytes[1]) * 1024 * 1024


def forget_peak(process: Process) -> None:
    """From here on VmHWM is anew what it is now (proc_pid_clear_refs(5))."""
    Path(f"/proc/{process.child.pid}/clear_refs").write_text("5")


def peak_bytes(process: Process) -> int:
    status = Path(f"/proc/{process.child.pid}/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


def lease(user: User) -> dict[str, Any]:
    read = user.api.get(LEASES, LEASE_NAME, SYSTEM_NAMESPACE)["spec"]
    return {name: read[name] for name in ("holderIdentity", "leaseTransitions")}


def at(provider: HostileProvider, user: User, data: dict[str, str], name: str = "calendar") -> dict[str, Any]:
    oauth2 = {
        "clientID": user.client_id,
        "authorizeURL": f"{provider.origin}/authorize",
        "tokenURL": provider.url,
        "scopes": ["read"],
    }
    return user.datasource(oauth2, name, tokenSecret={"template": {"data": data}})


def authorize(user: User, name: str = "calendar") -> None:
    user.wait_for_reason("AuthorizationRequired", name)
    with Person() as person:
        page = person.authorize(user.link(name))
        assert STORED in page.text, page.text


def refreshes(provider: HostileProvider) -> int:
    return sum(each.method == "POST" and each.form["grant_type"] == "refresh_token" for each in provider.requests)


def condition(user: User, type_: str) -> dict[str, Any]:
    return next((each for each in user.status()["conditions"] if each["type"] == type_), {})


def without_times(status: dict[str, Any]) -> dict[str, Any]:
    """Without when the next refresh is due, and when people asked for one: each refresh says another time."""
    return {name: value for name, value in status.items() if name not in {"nextRefresh", "history"}}


def test_template_that_makes_too_large_a_secret_is_told_and_costs_nobody_anything(
    user: User, generous: HostileProvider, operator: Process, control_plane: ControlPlane
) -> None:
    leads, begun = lease(user), control_plane.audit_log.stat().st_size
    forget_peak(operator)
    user.apply(at(generous, user, BOMB))
    authorize(user)
    user.wait_for_reason("InvalidConfiguration")

    # Whoever reads it knows what to do.
    assert user.state() == "ERROR"
    assert condition(user, "Stalled")["status"] == "True"
    message = user.ready()["message"]
    assert "spec.tokenSecret.template.data makes a Secret of" in message
    assert "at most 524,288 are allowed" in message
    assert "largest key is key-0" in message
    assert "{{ access_token }} has 65,536 bytes and is used 512 times" in message

    # Refreshing goes on, and somebody else is served meanwhile.
    credential_id = user.credential_id()
    for request in ("1", "2"):
        user.annotate("refresh", request)
        user.wait_for_handled("refresh", request)
    assert refreshes(generous) == 2
    user.apply(at(generous, user, MODEST, "mail"))
    authorize(user, "mail")
    user.wait_for_reason("Authorized", "mail")
    assert user.decoded("mail-token", "header") == f"Authorization: Bearer {LONG_TOKEN}"

    # Nothing was rendered, tried again and again, or written.
    assert user.reason() == "InvalidConfiguration"
    assert user.secret("calendar-token") is None
    assert peak_bytes(operator) < memory_limit() / 2
    assert lease(user) == leads
    account = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{OPERATOR}"
    asked = [
        each
        for each in requests_by(account, control_plane.audit_log, since=begun)
        if each.namespace == user.namespace and each.resource == "secrets"
    ]
    assert {each.status for each in asked} <= {200, 201, 404}
    # A few for each revision of the credential, as many as look at it before what a refresh stored is at hand; no loop.
    reads = [each for each in asked if (each.verb, each.name) == ("get", "calendar-oauth2-credential")]
    revisions = 1 + refreshes(generous)
    assert len(reads) <= 4 * revisions, reads

    # Nor after a restart.
    status = without_times(user.status())
    operator.stop()
    operator.start()
    user.annotate("refresh", "3")
    user.wait_for_handled("refresh", "3")
    assert without_times(user.status()) == status | {"handled": {"refresh": "3"}}
    assert peak_bytes(operator) < memory_limit() / 2

    # Corrected, it works again, without a person.
    user.apply(at(generous, user, MODEST))
    user.wait_for_reason("Authorized")
    assert user.credential_id() == credential_id
    assert user.decoded("calendar-token", "header") == f"Authorization: Bearer {LONG_TOKEN}"


def test_apps_keep_the_token_secret_that_they_have_while_the_template_is_too_large(
    user: User, generous: HostileProvider
) -> None:
    user.apply(at(generous, user, MODEST))
    authorize(user)
    user.wait_for_reason("Authorized")
    before = user.secret("calendar-token")
    assert before is not None

    user.apply(at(generous, user, BOMB))
    user.wait_for_reason("InvalidConfiguration")
    user.annotate("refresh", "1")
    user.wait_for_handled("refresh", "1")

    assert "apps keep the token Secret as it is" in user.ready()["message"]
    assert user.secret("calendar-token") == before

    # What must not be used goes all the same.
    user.clear("1")
    eventually("the token Secret is gone", lambda: user.secret("calendar-token") is None, user.status)


def test_token_that_grew_too_long_for_the_template_is_told_and_mends_itself_when_it_shrinks(user: User) -> None:
    with served(issuing(SHORT_TOKEN, LONG_TOKEN, SHORT_TOKEN)) as provider:
        user.apply(at(provider, user, {"list": "{{ access_token }}," * 10}))
        authorize(user)
        user.wait_for_reason("Authorized")

        user.annotate("refresh", "1")
        user.wait_for_reason("InvalidConfiguration")
        assert user.decoded("calendar-token", "list") == f"{SHORT_TOKEN}," * 10

        user.annotate("refresh", "2")
        user.wait_for_reason("Authorized")
        assert user.decoded("calendar-token", "list") == f"{SHORT_TOKEN}," * 10
        assert refreshes(provider) == 2


def test_wrong_template_stops_no_refresh_and_no_clear(user: User, generous: HostileProvider) -> None:
    user.apply(at(generous, user, MODEST))
    authorize(user)
    user.wait_for_reason("Authorized")

    user.apply(at(generous, user, {"header": "Authorization: Bearer {{ acess_token }}"}))
    user.wait_for_reason("InvalidConfiguration")
    assert "uses the unknown variable {{ acess_token }}" in user.ready()["message"]
    user.annotate("refresh", "1")
    user.wait_for_handled("refresh", "1")

    assert refreshes(generous) == 1
    assert user.decoded("calendar-token", "header") == f"Authorization: Bearer {LONG_TOKEN}"
    user.clear("1")
    eventually("the token Secret is gone", lambda: user.secret("calendar-token") is None, user.status)


def test_template_that_breaks_under_way_costs_no_consent(user: User, generous: HostileProvider) -> None:
    user.apply(at(generous, user, MODEST))
    user.wait_for_reason("AuthorizationRequired")
    with Person() as person:
        callback = person.consent(person.begin(user.link()))
        user.apply(at(generous, user, {"header": "{{ acess_token }}"}))
        user.wait_for_reason("InvalidConfiguration")
        page = person.come_back(callback)
    assert STORED in page.text, page.text

    user.apply(at(generous, user, MODEST))
    user.wait_for_reason("Authorized")
