"""What earlier versions stored is taken up by this one: nothing is cleared, nothing is written that nobody asked for."""

import json
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from datasource.api.clock import parse_rfc3339
from datasource.api.names import CALLBACK_RIGHTS, LINK_KEYS_SECRET, SecretType
from datasource.api.states import PROVIDER_REACHABLE
from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.controlplane import ControlPlane
from deploy.local.stack import OPERATOR, Process, Stack, install
from tests.support.api import SECRETS
from tests.support.audit import ApiRequest, writes_by
from tests.support.user import User, eventually
from tests.upgrade.stored import FIXTURES, NAMESPACE, Object, kept, put, version_of_this_checkout

pytestmark = pytest.mark.cluster

VERSIONS = sorted(folder.name for folder in FIXTURES.iterdir())

INTERRUPTED = "interrupted"
"""Its refresh was under way when the operator died: the one Datasource for which something has to be done."""


@dataclass
class Upgraded:
    """A cluster with what an earlier version stored, and the operator of this version at work on it."""

    control_plane: ControlPlane
    user: User
    objects: list[Object]
    swept: frozenset[str]
    """The flow records that had run out when the operator started; all of them, but for ten minutes after a recording."""

    def datasources(self) -> dict[str, Object]:
        """As they were stored, by name."""
        return {each["metadata"]["name"]: each for each in self.objects if each["kind"] == "Datasource"}

    def secrets(self, namespace: str) -> dict[str, Object]:
        """As they were stored, by name."""
        return {
            each["metadata"]["name"]: each
            for each in self.objects
            if each["kind"] == "Secret" and each["metadata"]["namespace"] == namespace
        }

    def writes(self) -> list[ApiRequest]:
        """What this version wrote to what it found; not the Lease, and not Events, which go away by themselves."""
        operator = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{OPERATOR}"
        written = writes_by(operator, self.control_plane.audit_log)
        return [each for each in written if each.resource not in {"leases", "events"}]


@pytest.fixture(scope="module", params=VERSIONS)
def upgraded(request: pytest.FixtureRequest, folder: Path) -> Iterator[Upgraded]:
    """The operator of this version has looked at everything that an earlier one left."""
    objects = kept(FIXTURES / request.param)
    with ControlPlane(folder / f"upgrade-from-{request.param}") as control_plane:
        cluster = control_plane.cluster
        install(cluster)
        cluster.kubectl("create", "namespace", NAMESPACE)
        put(control_plane, objects)
        external_url = _external_url(objects)
        swept = _run_out(objects, datetime.now(UTC))
        operator = Stack(cluster, folder / "logs", 0, {"DATASOURCE_EXTERNAL_URL": external_url}).operator("upgraded")
        operator.start()
        # Nobody authorizes here, so there is no provider.
        user = User(cluster, NAMESPACE, provider=None, external_url=external_url)  # type: ignore[arg-type]
        result = Upgraded(control_plane, user, objects, swept)
        try:
            _look_at_everything(result, operator)
            yield result
        finally:
            operator.stop()


def _external_url(objects: list[Object]) -> str:
    uris = {each["status"]["redirectURI"] for each in objects if each["kind"] == "Datasource"}
    (uri,) = uris
    return str(uri).removesuffix(f"/callback/{NAMESPACE}")


def _run_out(objects: list[Object], now: datetime) -> frozenset[str]:
    expiries = {
        each["metadata"]["name"]: parse_rfc3339(json.loads(b64decode(each["data"]["flow"]))["expiresAt"])
        for each in objects
        if each.get("type") == SecretType.FLOW
    }
    assert expiries
    return frozenset(name for name, expires_at in expiries.items() if expires_at < now)


def _look_at_everything(upgraded: Upgraded, operator: Process) -> None:
    """Once it leads, one edit of each Datasource that asks for one status: when that is there, all of it was looked at."""
    eventually("the operator leads", lambda: '"leads"' in operator.child.log.read_text(), operator.child.tail)
    for name in upgraded.datasources():
        upgraded.user.kubectl("patch", "datasource", name, "--type=merge", "-p", '{"spec": {"refreshBefore": "10m"}}')
    for name in upgraded.datasources():
        eventually(f"{name} was looked at", partial(_is_observed, upgraded.user, name))
    eventually("flow records are swept", lambda: upgraded.swept.isdisjoint(_flows(upgraded.user)))
    eventually("the callback server has its rights", lambda: _rights(upgraded) == {"roles", "rolebindings"})


def _rights(upgraded: Upgraded) -> set[str]:
    return {each.resource for each in upgraded.writes() if each.name == CALLBACK_RIGHTS}


def _flows(user: User) -> set[str]:
    return {each["metadata"]["name"] for each in user.api.all_of(SECRETS, SYSTEM_NAMESPACE)}


def _is_observed(user: User, name: str) -> bool:
    found = user.get(name)
    return bool(found["status"]["observedGeneration"] == found["metadata"]["generation"])


def _meaning(status: dict[str, Any], *, told: dict[str, Any] | None = None) -> dict[str, Any]:
    """A status without which edit it is about and without the words for people: those may be better in a later version.

    Args:
        told: what the earlier version said: of fields that are only good to know, this one may say more.
    """
    dropped = {"observedGeneration", "message"}
    # Each process draws anew when it is to be.
    status = {key: value for key, value in status.items() if key != "nextRefresh"}
    more = set() if told is None else {"authorizedAt", "expiresAt", "grantExpiresAt", "lastAuthorizedAs"} - set(told)
    status = {key: value for key, value in status.items() if key not in more}
    conditions = [
        {key: value for key, value in each.items() if key not in dropped}
        for each in status["conditions"]
        if each["type"] != PROVIDER_REACHABLE
    ]
    return {**status, "observedGeneration": 0, "conditions": conditions}


def _messages(status: dict[str, Any]) -> list[str]:
    return [each["message"] for each in status["conditions"]]


def test_this_version_has_fixtures() -> None:
    """`make fixtures`, once, when it is released."""
    assert f"v{version_of_this_checkout()}" in VERSIONS


def test_every_status_stays_as_it_was(upgraded: Upgraded) -> None:
    """State, reason, link, times: the links that people were sent go on to work."""
    stored = {name: each["status"] for name, each in upgraded.datasources().items()}
    for name, told in stored.items():
        assert _meaning(upgraded.user.status(name), told=told) == _meaning(told), name


def test_every_state_is_among_what_was_stored(upgraded: Upgraded) -> None:
    reasons = {
        condition["reason"]
        for each in upgraded.datasources().values()
        for condition in each["status"]["conditions"]
        if condition["type"] == "Ready"
    }
    assert reasons >= {
        "Authorized",
        "AuthorizationRequired",
        "CredentialCleared",
        "ParametersChanged",
        "GrantRevoked",
        "OAuth2Missing",
        "ClientSecretNotFound",
        "SecretConflict",
    }


def test_nothing_is_written_but_what_was_asked_for(upgraded: Upgraded) -> None:
    """One status for the one edit of each, the refresh that was interrupted, the flow records that ran out, keys for links,
    and the rights of the callback server, which v0.1.0 gave it on all Secrets at once.

    Where this version says something in other words, the status may have been written once more before the edit came.
    The refresh that waits for the process that began it is told again after the edit, which has everything looked at anew.
    """
    interrupted = f"{INTERRUPTED}-oauth2-credential"
    written = [
        (each.verb, each.resource, each.name)
        for each in upgraded.writes()
        if each.name not in {interrupted, LINK_KEYS_SECRET, CALLBACK_RIGHTS}
    ]
    keys = [each.verb for each in upgraded.writes() if each.name == LINK_KEYS_SECRET]
    flows = [("delete", "secrets", name) for name in upgraded.swept]
    statuses = [("patch", "datasources/status", name) for name in upgraded.datasources()]
    reworded = [
        ("patch", "datasources/status", name)
        for name, stored in upgraded.datasources().items()
        if _messages(upgraded.user.status(name)) != _messages(stored["status"])
    ]

    waits_again = [("patch", "datasources/status", INTERRUPTED)]
    # The provider of that time is gone, and v0.1.0 did not look whether it is there.
    unreachable = [
        ("patch", "datasources/status", name)
        for name in upgraded.datasources()
        if any(each["type"] == PROVIDER_REACHABLE for each in upgraded.user.status(name)["conditions"])
    ]
    most = Counter(statuses + flows + reworded + waits_again + unreachable)

    assert Counter(statuses + flows) <= Counter(written) <= most
    assert keys == ([] if LINK_KEYS_SECRET in upgraded.secrets(SYSTEM_NAMESPACE) else ["create"])
    assert _rights(upgraded) == {"roles", "rolebindings"}


def test_no_secret_is_changed(upgraded: Upgraded) -> None:
    stored = upgraded.secrets(NAMESPACE)
    found = {name: upgraded.user.secret(name) for name in stored}

    for name, secret in stored.items():
        now = found[name]
        assert now is not None, name
        assert (now["type"], now.get("data")) == (secret["type"], secret.get("data")), name
        assert now["metadata"]["uid"] == secret["metadata"]["uid"]
        if name != f"{INTERRUPTED}-oauth2-credential":
            assert now["metadata"].get("annotations") == secret["metadata"].get("annotations"), name


def test_refresh_that_was_interrupted_is_taken_up(upgraded: Upgraded) -> None:
    """The provider of that time is gone, so the request cannot be delivered: the intent goes, the tokens stay."""
    intent = "datasource.dev/intent"
    stored = upgraded.secrets(NAMESPACE)[f"{INTERRUPTED}-oauth2-credential"]
    assert intent in stored["metadata"]["annotations"]

    def intent_now() -> str | None:
        secret = upgraded.user.credential(INTERRUPTED)
        assert secret is not None
        assert secret["data"] == stored["data"]
        annotation: str | None = secret["metadata"]["annotations"].get(intent)
        return annotation

    # A stranger's intent is respected until it was seen unchanged for 35 s.
    eventually("it is taken up", lambda: intent_now() != stored["metadata"]["annotations"][intent], seconds=120)
    assert upgraded.user.state(INTERRUPTED) == "AUTHORIZED"
