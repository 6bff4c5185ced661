"""Where the API server is, and how to log in there."""

import ssl
from pathlib import Path

import pytest
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, incluster_config

from datasource.cluster.login import bearer_token, login, ssl_context
from tests.support.hostile_provider import self_signed
from tests.unit.datasource.api_server import (
    ApiServer,
)


def configuration(**settings: object) -> Configuration:
    made = Configuration()
    for name, value in settings.items():
        setattr(made, name, value)
    return made


def test_certificates_are_verified_unless_the_login_says_otherwise() -> None:
    strict = ssl_context(configuration())
    assert (strict.verify_mode, strict.check_hostname) == (ssl.CERT_REQUIRED, True)
    lax = ssl_context(configuration(verify_ssl=False))
    assert (lax.verify_mode, lax.check_hostname) == (ssl.CERT_NONE, False)


def test_client_certificate_of_the_login_is_loaded(tmp_path: Path) -> None:
    certificate, key = self_signed().write_into(tmp_path)
    assert ssl_context(configuration(cert_file=str(certificate), key_file=str(key))) is not None
    with pytest.raises(ssl.SSLError):
        ssl_context(configuration(cert_file=str(certificate), key_file=str(certificate)))


@pytest.mark.parametrize(
    ("api_key", "token"),
    [
        ({"BearerToken": "Bearer t-1"}, "t-1"),
        ({"BearerToken": "bearer t-1\n"}, "t-1"),
        ({"authorization": "Bearer t-1"}, "t-1"),
        ({}, None),
    ],
    ids=["of a kubeconfig", "of a ServiceAccount", "by its older name", "none with a client certificate"],
)
def test_bearer_token_is_told_without_its_scheme(api_key: dict[str, str], token: str | None) -> None:
    assert bearer_token(configuration(api_key=api_key)) == token


def write_service_account(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "token").write_text("sa-token\n")
    (folder / "ca.crt").write_text(self_signed().certificate)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(folder / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(folder / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")


async def test_pod_logs_in_with_its_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_service_account(tmp_path, monkeypatch)
    read = await login()
    assert (read.host, bearer_token(read)) == ("https://10.0.0.1:443", "sa-token")


async def test_named_kubeconfig_wins_over_the_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_service_account(tmp_path, monkeypatch)
    async with ApiServer() as server:
        read = await login(str(server.kubeconfig))
        assert (read.host, bearer_token(read)) == (server.url, "token-1")


async def test_kubeconfig_that_leads_nowhere_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigException):
        await login(str(tmp_path / "missing"))
