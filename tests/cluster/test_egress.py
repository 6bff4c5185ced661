"""Where the operator and the callback server go, and whom they trust there: flags, CA bundles, and what a user reads."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from deploy.local.processes import free_ports
from deploy.local.provider import Provider
from deploy.local.stack import Process, Stack
from tests.support.hostile_provider import self_signed
from tests.support.person import STORED, Person
from tests.support.tls_front import TlsFront
from tests.support.user import CLIENT_SECRET, User

pytestmark = pytest.mark.cluster


@pytest.fixture
def person() -> Iterator[Person]:
    """Somebody with cookies of their own."""
    with Person() as somebody:
        yield somebody


@pytest.fixture
def front(provider: Provider) -> Iterator[TlsFront]:
    """The provider's token endpoint under a certificate that nobody trusts unless told to."""
    with TlsFront(urlsplit(provider.issuer).port or 0) as started:
        yield started


def token_url(front: TlsFront) -> str:
    return f"https://127.0.0.1:{front.port}/token"


def config_map(user: User, pem: str, name: str = "company-ca") -> None:
    manifest: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    user.apply(manifest | {"data": {"ca.crt": pem}})


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("169.254.169.254", "a cloud's metadata service"),
        ("[::ffff:169.254.169.254]", "a cloud's metadata service"),
        ("10.96.0.1", "a private network"),
        ("127.0.0.2", "the machine that asks"),
        ("kubernetes.default.svc", "a Service of the cluster"),
        ("kubernetes.default.svc.cluster.local", "a Service of the cluster"),
    ],
)
def test_cve_2026_92804_token_url_into_the_network_is_an_error_that_names_field_and_flag(
    user: User, host: str, kind: str
) -> None:
    user.create_client_secret()
    user.apply(user.datasource(user.oauth2(tokenURL=f"https://{host}/token")))

    user.wait_for_reason("InvalidConfiguration")

    message = user.ready()["message"]
    assert message.startswith(f"spec.oauth2.tokenURL leads to {kind}")
    assert "DATASOURCE_EGRESS_ALLOW" in message
    user.apply(user.datasource(user.oauth2()))
    user.wait_for_reason("AuthorizationRequired")


def test_authority_of_the_provider_is_trusted_from_a_config_map(user: User, person: Person, front: TlsFront) -> None:
    config_map(user, front.certificate.certificate)
    link = user.ready_to_authorize(tokenURL=token_url(front), caBundleRef={"name": "company-ca"})

    assert STORED in person.authorize(link).text
    user.wait_for_reason("Authorized")
    user.annotate("refresh", "1")
    user.wait_for_handled("refresh", "1")


def test_authority_of_the_provider_is_trusted_from_the_spec(user: User, person: Person, front: TlsFront) -> None:
    link = user.ready_to_authorize(tokenURL=token_url(front), caBundle=front.certificate.certificate)

    assert STORED in person.authorize(link).text


@pytest.mark.parametrize("bundle", [None, self_signed().certificate], ids=["none", "of somebody else"])
def test_provider_under_an_unknown_certificate_gets_nothing(
    user: User, person: Person, front: TlsFront, bundle: str | None
) -> None:
    link = user.ready_to_authorize(tokenURL=token_url(front), caBundle=bundle)
    user.provider.forget_token_requests()

    page = person.authorize(link).text

    assert "The service does not answer" in page
    assert [each for each in user.provider.token_requests() if each.client_id == user.client_id] == []


def test_bundle_that_is_missing_or_broken_is_told_by_its_place(user: User) -> None:
    user.create_client_secret()
    with_reference = user.oauth2(caBundleRef={"name": "company-ca"})
    user.apply(user.datasource(with_reference))
    user.wait_for_reason("InvalidConfiguration")
    assert "names ConfigMap company-ca, which does not exist" in user.ready()["message"]
    assert f"kubectl create configmap company-ca -n {user.namespace}" in user.ready()["message"]

    config_map(user, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    user.apply(user.datasource(with_reference, url="https://api.example.com/v4"))
    user.wait_for_message("key ca.crt of ConfigMap company-ca is not a list of certificates in PEM")

    config_map(user, self_signed().certificate)
    user.apply(user.datasource(with_reference, url="https://api.example.com/v5"))
    user.wait_for_reason("AuthorizationRequired")


@pytest.fixture
def strict_operator(stack: Stack, operator: Process) -> Iterator[Process]:
    """The operator with the flag, in the place of the other one."""
    operator.stop()
    process = stack.operator("operator-strict", DATASOURCE_REQUIRE_ALLOWED_HOSTS="true")
    process.start()
    yield process
    process.stop()
    operator.start()


def test_where_the_flag_says_so_a_client_secret_must_name_its_hosts(user: User, strict_operator: Process) -> None:
    user.create_client_secret()
    user.apply(user.datasource(user.oauth2()))

    user.wait_for_reason("InvalidConfiguration")

    assert "which does not list the hosts that it may be sent to" in user.ready()["message"]
    assert "kubectl annotate secret app datasource.dev/allowed-hosts=127.0.0.1" in user.ready()["message"]
    user.kubectl("annotate", "secret", "app", "datasource.dev/allowed-hosts=127.0.0.1")
    user.wait_for_reason("AuthorizationRequired")


def test_where_the_flag_says_so_the_callback_server_sends_no_secret_that_names_no_hosts(
    user: User, stack: Stack, person: Person
) -> None:
    (port,) = free_ports(1)
    place = f"http://localhost:{port}"
    server = stack.callback_server(
        "callback-server-strict",
        DATASOURCE_EXTERNAL_URL=place,
        DATASOURCE_LISTEN=f"127.0.0.1:{port}",
        DATASOURCE_REQUIRE_ALLOWED_HOSTS="true",
    )
    link = user.ready_to_authorize().replace(user.external_url, place)
    user.provider.register_client(user.client_id, CLIENT_SECRET, [f"{place}/callback/{user.namespace}"])
    server.start()
    try:
        refused = person.submit(person.get(link), "Get new credential")
        assert refused.status_code == 409
        assert "which does not list the hosts that it may be sent to" in refused.text

        user.kubectl("annotate", "secret", "app", "datasource.dev/allowed-hosts=127.0.0.1")
        assert STORED in person.authorize(link).text
    finally:
        server.stop()


def test_callback_server_calls_nothing_that_its_own_flags_deny(user: User, stack: Stack, person: Person) -> None:
    """Both processes judge for themselves: a link that the operator offered opens nothing."""
    (port,) = free_ports(1)
    place = f"http://localhost:{port}"
    server = stack.callback_server(
        "callback-server-denying",
        DATASOURCE_EXTERNAL_URL=place,
        DATASOURCE_LISTEN=f"127.0.0.1:{port}",
        DATASOURCE_EGRESS_DENY="127.0.0.0/8",
    )
    link = user.ready_to_authorize().replace(user.external_url, place)
    server.start()
    try:
        answer = person.get(link)
    finally:
        server.stop()
    assert answer.status_code == 409
    assert "DATASOURCE_EGRESS_DENY" in answer.text


def test_schema_refuses_a_bundle_with_a_private_key(user: User) -> None:
    certificate = self_signed()
    manifest = user.datasource(user.oauth2(caBundle=certificate.certificate + certificate.key))

    done = user.cluster.kubectl("-n", user.namespace, "apply", "-f", "-", stdin=json.dumps(manifest), check=False)

    assert done.returncode != 0
    assert "spec.oauth2.caBundle must not hold a private key" in done.stderr
