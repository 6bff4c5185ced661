"""Secrets stay secret: what the provider issued and what clients know stands in no log, Event, status, annotation or page."""

import json
from pathlib import Path

import pytest

from deploy.local.provider import Provider
from deploy.local.stack import SYSTEM_NAMESPACE
from tests.support.person import Person
from tests.support.user import CLIENT_SECRET, User

pytestmark = [pytest.mark.cluster, pytest.mark.last]

WRONG_SECRET = "sentinel-wrong-client-secret"


def found_in(text: str, provider: Provider) -> list[str]:
    """The kinds of secrets that stand in a text, by their first characters only."""
    secrets = provider.secrets().all() | {CLIENT_SECRET, WRONG_SECRET}
    return [secret[:6] + "..." for secret in secrets if secret in text]


def test_no_log_holds_a_secret(user: User, provider: Provider, folder: Path) -> None:
    with Person() as person:
        person.authorize(user.ready_to_authorize())
    user.wait_for_reason("Authorized")
    logs = sorted(folder.glob("logs/*.log"))

    assert len(provider.secrets().all()) >= 5
    assert {"operator.log", "callback-server.log"} <= {log.name for log in logs}
    assert {log.name: found_in(log.read_text(), provider) for log in logs} == {log.name: [] for log in logs}


def test_nothing_that_a_viewer_reads_holds_a_secret(user: User, provider: Provider) -> None:
    pages = []
    with Person() as person:
        link = user.ready_to_authorize()
        pages.append(person.get(link).text)
        pages.append(person.come_back(person.consent(person.begin(link), "Deny")).text)
        user.kubectl("delete", "secret", "app")
        user.create_client_secret(WRONG_SECRET)
        pages.append(person.authorize(link).text)
        user.kubectl("delete", "secret", "app")
        user.create_client_secret()
        pages.append(person.authorize(link).text)
    user.wait_for_reason("Authorized")
    user.clear("1")
    user.wait_for_reason("CredentialCleared")

    for page in pages:
        assert found_in(page, provider) == []
    assert found_in(user.kubectl("get", "datasources,events.v1.events.k8s.io", "-o", "json"), provider) == []
    for namespace in (user.namespace, SYSTEM_NAMESPACE):
        secrets = user.cluster.get("secrets", "-n", namespace)["items"]
        metadata = json.dumps([each["metadata"] for each in secrets])
        assert found_in(metadata, provider) == []
    assert "last-applied-configuration" not in json.dumps(user.credential())
