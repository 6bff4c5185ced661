"""What a client proves itself with and whom it trusts: read at each use, and told in one way where it is missing."""

import dataclasses
from typing import Any

import pytest

from datasource.api.states import Reason
from datasource.cluster.api_errors import Forbidden, Unavailable
from datasource.cluster.clients import (
    ClientMaterial,
    ClientMaterialMissing,
    Clients,
    ConfigMapsForbidden,
    Headers,
    SecretsForbidden,
)
from datasource.cluster.kube import Kube
from datasource.oauth2.token_request import ClientAuthentication
from datasource.records.client_secret import ClientSecret
from datasource.records.effective import read_recorded_client
from tests.support.hostile_provider import self_signed
from tests.unit.datasource.api_server import ApiServer, fails, json_reply
from tests.unit.datasource.builders import NOW, allowed_hosts, credential_data, oauth2
from tests.unit.datasource.records.test_client_secret import WITH_KEY, private_key

PEM = self_signed().certificate
REF = {"name": "company-ca"}
NOBODY = Kube(user_agent="nobody is asked")


def clients(kube: Kube, *, required: bool = False) -> Clients:
    return Clients(kube, require_allowed_hosts=required, now=lambda: NOW, token_bytes=bytes)


def config_map(data: Any) -> dict[str, Any]:
    return {"metadata": {"name": "company-ca"}, "data": data}


def client_secret(data: str = "MQ==", *, key: str = "client-secret", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "my-app", **metadata}, "data": {key: data}}


# The client secret.


async def test_public_client_reads_no_secret() -> None:
    async with ApiServer() as server, server.kube() as kube:
        assert await clients(kube).client_secret("shop", oauth2(clientSecretRef=None), {}) is None
    assert server.requests == []


async def test_secret_is_read_at_each_use() -> None:
    replies = json_reply(client_secret("MQ==")), json_reply(client_secret("Mg=="))
    async with ApiServer(*replies) as server, server.kube() as kube:
        values = [await clients(kube).client_secret("shop", oauth2(), {}) for _ in range(2)]
    assert [value and value.text for value in values] == ["1", "2"]
    assert [request.path for request in server.requests] == ["/api/v1/namespaces/shop/secrets/my-app"] * 2


async def test_secret_that_is_not_there_is_told_with_the_command_that_creates_it() -> None:
    async with ApiServer(fails(404, "NotFound")) as server, server.kube() as kube:
        with pytest.raises(ClientMaterialMissing, match=r"Secret my-app named by .* does not exist") as caught:
            await clients(kube).client_secret("shop", oauth2(), {})
    assert "kubectl create secret generic my-app -n shop --from-file=client-secret=FILE" in str(caught.value)
    assert (caught.value.reason, caught.value.secret) == (Reason.CLIENT_SECRET_NOT_FOUND, "my-app")


async def test_private_key_that_is_not_there_is_told_with_the_command_that_creates_it() -> None:
    async with ApiServer(fails(404, "NotFound")) as server, server.kube() as kube:
        with pytest.raises(ClientMaterialMissing, match=r"named by spec\.oauth2\.privateKeyRef") as caught:
            await clients(kube).client_secret("shop", oauth2(**WITH_KEY), {})
    assert "--from-file=private-key=key.pem" in str(caught.value)


async def test_secret_without_the_key_is_missing_too() -> None:
    async with ApiServer(json_reply(client_secret(key="other"))) as server, server.kube() as kube:
        with pytest.raises(ClientMaterialMissing, match="names key client-secret, which is missing or empty") as caught:
            await clients(kube).client_secret("shop", oauth2(), {})
    assert (caught.value.reason, caught.value.secret) == (Reason.CLIENT_SECRET_NOT_FOUND, "my-app")


async def test_secret_that_may_not_be_sent_there_is_told_with_the_secret_whose_change_may_mend_it() -> None:
    bound = client_secret(annotations=allowed_hosts("login.example.com"))
    async with ApiServer(json_reply(bound)) as server, server.kube() as kube:
        with pytest.raises(ClientMaterialMissing, match="may not be sent to") as caught:
            await clients(kube).client_secret("shop", oauth2(), {"revocationURL": "https://evil.example/r"})
    assert (caught.value.reason, caught.value.secret) == (Reason.INVALID_CONFIGURATION, "my-app")


async def test_where_hosts_must_be_named_a_secret_without_them_is_not_had() -> None:
    async with ApiServer(json_reply(client_secret())) as server, server.kube() as kube:
        with pytest.raises(ClientMaterialMissing, match="does not list the hosts"):
            await clients(kube, required=True).material("shop", oauth2(), {})


def test_who_forgets_to_say_whether_hosts_must_be_named_reads_nothing() -> None:
    with pytest.raises(TypeError, match="require_allowed_hosts"):
        Clients(NOBODY, now=lambda: NOW)  # type: ignore[call-arg]
    (field,) = [field for field in dataclasses.fields(Clients) if field.name == "require_allowed_hosts"]
    assert field.default is dataclasses.MISSING


async def test_secret_that_our_rights_do_not_reach_is_told_as_such() -> None:
    async with ApiServer(fails(403, "Forbidden", "cannot get secrets")) as server, server.kube() as kube:
        with pytest.raises(SecretsForbidden) as caught:
            await clients(kube).client_secret("shop", oauth2(), {})
    assert isinstance(caught.value, Forbidden)
    assert (caught.value.status, caught.value.message) == (403, "cannot get secrets")


async def test_silence_of_the_api_server_is_passed_on() -> None:
    async with ApiServer() as server, server.kube() as kube:
        await server.stop()
        with pytest.raises(Unavailable):
            await clients(kube).material("shop", oauth2(), {})


# The CA bundle.


@pytest.mark.parametrize(("fields", "bundle"), [({}, None), ({"caBundle": PEM}, PEM)])
async def test_without_a_reference_nothing_is_read(fields: dict[str, Any], bundle: str | None) -> None:
    async with ApiServer() as server, server.kube() as kube:
        assert await clients(kube).ca_bundle("shop", oauth2(**fields)) == bundle
    assert server.requests == []


async def test_bundle_is_read_from_its_config_map_at_each_use() -> None:
    other = self_signed().certificate
    replies = json_reply(config_map({"ca.crt": PEM})), json_reply(config_map({"ca.crt": other}))
    async with ApiServer(*replies) as server, server.kube() as kube:
        bundles = [await clients(kube).ca_bundle("shop", oauth2(caBundleRef=REF)) for _ in range(2)]
    assert bundles == [PEM, other]
    assert [request.path for request in server.requests] == ["/api/v1/namespaces/shop/configmaps/company-ca"] * 2


async def test_bundle_may_stand_under_another_key() -> None:
    async with ApiServer(json_reply(config_map({"root.pem": PEM}))) as server, server.kube() as kube:
        assert await clients(kube).ca_bundle("shop", oauth2(caBundleRef=REF | {"key": "root.pem"})) == PEM


async def test_config_map_that_is_not_there_is_told_with_the_command_that_creates_it() -> None:
    async with ApiServer(fails(404, "NotFound")) as server, server.kube() as kube:
        with pytest.raises(ClientMaterialMissing, match="names ConfigMap company-ca, which does not exist") as caught:
            await clients(kube).ca_bundle("shop", oauth2(caBundleRef=REF))
    assert "kubectl create configmap company-ca -n shop --from-file=ca.crt=..." in str(caught.value)
    assert (caught.value.reason, caught.value.secret) == (Reason.INVALID_CONFIGURATION, None)


@pytest.mark.parametrize("data", [None, {}, {"other": PEM}])
async def test_key_that_is_not_there_is_told_with_the_remedy(data: Any) -> None:
    async with ApiServer(json_reply(config_map(data))) as server, server.kube() as kube:
        with pytest.raises(ClientMaterialMissing, match=r"names key ca\.crt, which ConfigMap company-ca does not have"):
            await clients(kube).ca_bundle("shop", oauth2(caBundleRef=REF))


async def test_broken_bundle_in_a_config_map_is_told_by_its_place() -> None:
    async with ApiServer(json_reply(config_map({"ca.crt": "x"}))) as server, server.kube() as kube:
        with pytest.raises(
            ClientMaterialMissing, match=r"key ca\.crt of ConfigMap company-ca is not a list of certificates"
        ):
            await clients(kube).ca_bundle("shop", oauth2(caBundleRef=REF))


async def test_config_map_that_our_rights_do_not_reach_is_told_as_such() -> None:
    async with ApiServer(fails(403, "Forbidden")) as server, server.kube() as kube:
        with pytest.raises(ConfigMapsForbidden) as caught:
            await clients(kube).ca_bundle("shop", oauth2(caBundleRef=REF))
    assert isinstance(caught.value, Forbidden)


# Both together.


async def test_material_is_all_that_one_request_takes() -> None:
    replies = json_reply(client_secret()), json_reply(config_map({"ca.crt": PEM}))
    async with ApiServer(*replies) as server, server.kube() as kube:
        material = await clients(kube).material("shop", oauth2(provider="github", caBundleRef=REF), {})
        client = clients(kube).client(material, token_endpoint="https://login.example.com/token")
    assert (material.secret and material.secret.text, material.ca_bundle) == ("1", PEM)
    assert (client.client_id, client.client_secret) == ("my-app", "1")
    assert material.parameters.expanded() == material.parameters


def test_client_with_a_private_key_asserts_anew_for_each_request() -> None:
    numbers = iter(range(1, 99))
    made_by = Clients(NOBODY, False, now=lambda: NOW, token_bytes=lambda count: bytes([next(numbers)]) * count)
    material = ClientMaterial(oauth2(**WITH_KEY), _secret(private_key()))
    first, second = (made_by.client(material, token_endpoint="https://t.example/") for _ in range(2))
    assert first.assertion is not None
    assert first.assertion != second.assertion
    assert first.client_secret is None


def test_material_does_not_print_what_it_holds() -> None:
    assert "s3cret" not in repr(ClientMaterial(oauth2(), _secret("s3cret"), PEM))
    assert "CERTIFICATE" not in repr(ClientMaterial(oauth2(), _secret("s3cret"), PEM))


def test_endpoints_that_are_learnt_later_are_checked_too() -> None:
    bound = dataclasses.replace(_secret("s3cret"), allowed_hosts=frozenset({"login.example.com"}))
    material = ClientMaterial(oauth2(), bound)
    material.require_allowed({"tokenURL": "https://login.example.com/t"})
    with pytest.raises(ClientMaterialMissing, match="may not be sent to") as caught:
        material.require_allowed({"tokenURL": "https://evil.example/t"})
    assert caught.value.secret == "my-app"
    ClientMaterial(oauth2()).require_allowed({"tokenURL": "https://evil.example/t"})


# What is recorded with tokens.


@pytest.mark.parametrize(
    ("is_to_be_revoked", "endpoint", "kept"),
    [
        pytest.param(True, "https://login.example.com/r", ("s3cret", PEM), id="to be revoked on deletion"),
        pytest.param(False, "https://login.example.com/r", (None, None), id="not to be revoked"),
        pytest.param(True, None, (None, None), id="cannot be revoked"),
    ],
)
def test_secret_is_copied_only_for_tokens_that_are_revoked_on_deletion(
    is_to_be_revoked: bool, endpoint: str | None, kept: tuple[str | None, str | None]
) -> None:
    data = credential_data(revocation_endpoint=endpoint, client_secret="an earlier copy", ca_bundle="an earlier one")
    recorded = ClientMaterial(oauth2(), _secret("s3cret"), PEM).recorded_in(data, is_to_be_revoked=is_to_be_revoked)
    assert (recorded.client_secret, recorded.ca_bundle) == kept
    assert (recorded.access_token, recorded.refresh_token) == (data.access_token, data.refresh_token)


def test_public_client_is_recorded_without_a_secret() -> None:
    public = oauth2(clientSecretRef=None)
    recorded = ClientMaterial(public).recorded_in(credential_data(), is_to_be_revoked=True)
    assert recorded.client_secret is None
    client = read_recorded_client(recorded.client_parameters)
    assert client is not None
    assert client.effective_client_authentication() is ClientAuthentication.NONE


def test_tokens_that_are_there_are_authenticated_for_as_when_they_were_obtained() -> None:
    posting = ClientMaterial(oauth2(clientAuthentication="client_secret_post"), _secret("s3cret"))
    data = posting.recorded_in(credential_data(), is_to_be_revoked=False)
    # The spec says nothing of it any more: the provider's metadata told it then.
    material = ClientMaterial(oauth2(), _secret("s3cret"), PEM).as_recorded(data)
    assert material.parameters.effective_client_authentication() is ClientAuthentication.CLIENT_SECRET_POST
    assert (material.secret, material.ca_bundle) == (_secret("s3cret"), PEM)


def _secret(text: str) -> ClientSecret:
    return ClientSecret("my-app", text)


# Headers for an API gateway.

GATEWAY: dict[str, Any] = {
    "clientSecretRef": None,
    "tokenHeaders": [
        {"name": "X-Api-Key", "secretRef": {"name": "gateway", "key": "api-key"}},
        {"name": "User-Agent", "value": "my-app/1"},
    ],
}


def gateway(value: str = "azN5", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "gateway", **metadata}, "data": {"api-key": value}}


async def test_headers_are_read_at_each_use_and_sent_with_whatever_the_client_asks() -> None:
    replies = json_reply(gateway()), json_reply(gateway("bmV3"))
    async with ApiServer(*replies) as server, server.kube() as kube:
        reader = clients(kube)
        for value in ("k3y", "new"):
            material = await reader.material("shop", oauth2(**GATEWAY), {})
            sent = reader.client(material, token_endpoint="https://login.example.com/token").headers
            assert [(each.name, each.value, each.is_secret) for each in sent] == [
                ("X-Api-Key", value, True),
                ("User-Agent", "my-app/1", False),
            ]
    assert [request.path for request in server.requests] == ["/api/v1/namespaces/shop/secrets/gateway"] * 2


async def test_headers_go_to_no_host_that_their_secret_does_not_allow_also_where_it_is_learnt_later() -> None:
    bound = gateway(annotations=allowed_hosts("login.example.com"))
    async with ApiServer(json_reply(bound)) as server, server.kube() as kube:
        material = await clients(kube).material("shop", oauth2(**GATEWAY), {})
    assert material.secret_name == "gateway"
    assert ClientMaterial(oauth2(), ClientSecret("my-app", "s")).secret_name == "my-app"
    assert ClientMaterial(oauth2()).secret_name is None
    material.require_allowed({"tokenURL": "https://login.example.com/other"})
    with pytest.raises(ClientMaterialMissing, match="Secret gateway may not be sent to") as caught:
        material.require_allowed({"tokenURL": "https://evil.example.com/token"})
    assert caught.value.secret == "gateway"


@pytest.mark.parametrize(
    ("reply", "reason", "says"),
    [
        (fails(404, "NotFound"), Reason.CLIENT_SECRET_NOT_FOUND, "--from-file=api-key=FILE"),
        (json_reply(gateway("azN5CkhvczogeA==")), Reason.INVALID_CONFIGURATION, "whose value is empty, begins"),
        (json_reply({"metadata": {"name": "gateway"}}), Reason.CLIENT_SECRET_NOT_FOUND, "missing or empty"),
    ],
)
async def test_header_that_is_not_there_or_cannot_be_sent_is_told_with_the_secret_to_correct(
    reply: Any, reason: Reason, says: str
) -> None:
    async with ApiServer(reply) as server, server.kube() as kube:
        with pytest.raises(ClientMaterialMissing, match=r"spec\.oauth2\.tokenHeaders") as caught:
            await clients(kube).material("shop", oauth2(**GATEWAY), {})
    assert says in str(caught.value)
    assert (caught.value.reason, caught.value.secret) == (reason, "gateway")


async def test_rights_that_do_not_reach_the_secret_of_a_header_are_told_with_its_name() -> None:
    async with ApiServer(fails(403, "Forbidden", "cannot get secrets")) as server, server.kube() as kube:
        with pytest.raises(SecretsForbidden) as caught:
            await clients(kube).material("shop", oauth2(**GATEWAY), {})
    assert caught.value.secret == "gateway"


async def test_headers_are_recorded_where_the_tokens_are_to_be_revoked_and_read_again() -> None:
    async with ApiServer(json_reply(gateway())) as server, server.kube() as kube:
        material = await clients(kube).material("shop", oauth2(**GATEWAY), {})
    data = credential_data(revocation_endpoint="https://login.example.com/revoke")
    recorded = material.recorded_in(data, is_to_be_revoked=True).token_headers
    assert recorded is not None
    assert [(each.name, each.value) for each in Headers.read(recorded).sent] == [
        ("X-Api-Key", "k3y"),
        ("User-Agent", "my-app/1"),
    ]
    assert material.recorded_in(data, is_to_be_revoked=False).token_headers is None
    assert ClientMaterial(oauth2()).recorded_in(data, is_to_be_revoked=True).token_headers is None
    assert "k3y" not in repr(material)


@pytest.mark.parametrize("altered", ["", "[]", "{", '{"X": 5}'])
def test_headers_that_somebody_altered_are_none(altered: str) -> None:
    assert Headers.read(altered) == Headers()


def test_altered_header_that_no_request_can_have_is_left_out() -> None:
    altered = '{"Authorization": "Basic x", "X-Key": "a\\nHost: b", "X-Good": "x"}'
    assert [each.name for each in Headers.read(altered).sent] == ["X-Good"]
