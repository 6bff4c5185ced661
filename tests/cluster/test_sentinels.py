"""Secrets stay secret: what the provider issued and what clients know stands in no log, Event, status, annotation or page."""

import json
import re
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.provider import Authentication, Provider
from tests.conftest import ISSUED, RUNS
from tests.support.api import SECRETS
from tests.support.person import STORED, Person
from tests.support.user import CLIENT_SECRET, User, new_private_key

pytestmark = [pytest.mark.cluster, pytest.mark.last]

WRONG_SECRET = "sentinel-wrong-client-secret"

SHAPES = {
    "a private key": re.compile(
        r"PRIVATE KEY|MIGHAgEAMBMGByqGSM49AgEG"
    ),  # PEM, and how the keys of our tests begin in it
    "a signed token": re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{40,}"),  # JWS: client assertions and id_tokens
}
"""Secrets that are made anew each time, and known by what they look like."""


def found_in(text: str, secrets: frozenset[str]) -> list[str]:
    """The kinds of secrets that stand in a text, by their first characters only."""
    known = [secret[:6] + "..." for secret in secrets | {CLIENT_SECRET, WRONG_SECRET} if secret in text]
    return known + [shape for shape, pattern in SHAPES.items() if pattern.search(text)]


def issued_in(run: Path) -> frozenset[str]:
    """What the provider of an earlier run issued."""
    kept = run / ISSUED
    return frozenset(json.loads(kept.read_text())) if kept.exists() else frozenset()


def test_keys_and_assertions_would_be_found() -> None:
    pem = new_private_key()
    assertion = jwt.encode({"alg": "ES256", "kid": "key-1"}, {"iss": "my-app", "sub": "my-app"}, ECKey.import_key(pem))

    assert found_in(f"refused: {assertion!r}", frozenset()) == ["a signed token"]
    assert found_in(f"cannot use {pem!r}", frozenset()) == ["a private key"]
    assert found_in(f"cannot use {pem.splitlines()[1]}", frozenset()) == ["a private key"]


def test_no_log_holds_a_secret(user: User, provider: Provider, folder: Path) -> None:
    with Person() as person:
        person.authorize(user.ready_to_authorize())
    user.wait_for_reason("Authorized")
    issued = {run: issued_in(run) for run in RUNS.iterdir()} | {folder: provider.secrets().all()}
    logs = sorted((log, run) for run in issued for log in run.glob("logs/*.log"))

    assert len(issued[folder]) >= 5
    assert {"operator.log", "callback-server.log"} <= {log.name for log in folder.glob("logs/*.log")}
    found = {str(log): found_in(log.read_text(), issued[run]) for log, run in logs}
    assert {log: secrets for log, secrets in found.items() if secrets} == {}


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

    assert_nothing_is_found(user, provider, pages)


def test_nothing_that_a_viewer_reads_holds_a_key_or_what_it_signed(user: User, provider: Provider) -> None:
    wrong_key = user.create_private_key()
    user.register_application(authentication=Authentication.PRIVATE_KEY_JWT, public_keys=[wrong_key])
    user.kubectl("delete", "secret", "signing")
    right_key = user.create_private_key()
    oauth2 = user.oauth2(clientSecretRef=None, privateKeyRef={"name": "signing", "keyID": "key-1"})
    user.apply(user.datasource(oauth2))
    user.wait_for_reason("AuthorizationRequired")
    with Person() as person:
        pages = [person.authorize(user.link()).text]
        user.register_application(authentication=Authentication.PRIVATE_KEY_JWT, public_keys=[right_key])
        pages.append(person.authorize(user.link()).text)
    user.wait_for_reason("Authorized")

    assert [STORED in page for page in pages] == [False, True]
    assert_nothing_is_found(user, provider, pages)


def assert_nothing_is_found(user: User, provider: Provider, pages: list[str]) -> None:
    """Neither on the pages that a person saw nor in what a viewer reads with kubectl."""
    issued = provider.secrets().all()
    for page in pages:
        assert found_in(page, issued) == []
    assert found_in(user.kubectl("get", "datasources,events.v1.events.k8s.io", "-o", "json"), issued) == []
    for namespace in (user.namespace, SYSTEM_NAMESPACE):
        secrets = user.api.all_of(SECRETS, namespace)
        metadata = json.dumps([each["metadata"] for each in secrets])
        assert found_in(metadata, issued) == []
    assert "last-applied-configuration" not in json.dumps(user.credential())
