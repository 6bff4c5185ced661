"""Where the API server is, and how to log in there."""

import json
import os
import ssl
import traceback
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import incluster_config

from datasource.cluster.kube import Kube
from datasource.cluster.login import UnusableLogin, bearer_token, login, ssl_context
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


def kubeconfig(cluster: Any = None, user: Any = None, context: str = "c") -> str:
    """A kubeconfig of an API server that nobody runs, with these in place of what works."""
    cluster = {"server": "https://127.0.0.1:1"} if cluster is None else cluster
    user = {"token": "s3cret"} if user is None else user
    content = {
        "current-context": context,
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }
    return json.dumps(content)


BROKEN = {
    "empty": ("", "it is not written as a kubeconfig"),
    "half written": (kubeconfig()[:-20], "it is not written as a kubeconfig"),
    "a list": ("[s3cret]", "it is not written as a kubeconfig"),
    "of something else": ("a: s3cret", "it lacks current-context"),
    "a context that it has not": (kubeconfig(context="other"), "its list of contexts has no entry other"),
    "no server": (kubeconfig(cluster={"certificate-authority-data": "s3cret"}), "its server is no URL"),
    "a number for a server": (kubeconfig(cluster={"server": 17}), "it is not written as a kubeconfig"),
    "a server without a scheme": (kubeconfig(cluster={"server": "127.0.0.1:1"}), "its server is no URL"),
    "a CA that is not there": (
        kubeconfig(cluster={"server": "https://127.0.0.1:1", "certificate-authority": "/nowhere/ca"}),
        "there is no file /nowhere/ca",
    ),
    "a CA that is none": (
        kubeconfig(cluster={"server": "https://127.0.0.1:1", "certificate-authority-data": "czNjcmV0"}),
        "a certificate or a key of it cannot be read",
    ),
    "a certificate that is none": (
        kubeconfig(user={"client-certificate-data": "czNjcmV0", "client-key-data": "czNjcmV0"}),
        "a certificate or a key of it cannot be read",
    ),
    "a user that is a word": (kubeconfig(user="s3cret"), "it is not written as a kubeconfig"),
    # Here the loader quotes the whole entry.
    "a context without a cluster": (kubeconfig().replace('"cluster": "k"', '"other": "s3cret"'), "it lacks cluster"),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_kubeconfig_that_cannot_be_used_is_an_error_with_a_reason_and_without_its_secrets(
    case: str, tmp_path: Path
) -> None:
    content, why = BROKEN[case]
    path = tmp_path / "kubeconfig"
    path.write_text(content)
    with pytest.raises(UnusableLogin) as raised:
        async with Kube(str(path), user_agent="test"):
            pass
    text = str(raised.value)
    assert text.startswith(f"the kubeconfig {path} cannot be used to log in to the API server: {why}")
    assert text.endswith(". Correct the file, or set KUBECONFIG to the path of another.")
    printed = "".join(traceback.format_exception(raised.value))
    assert "s3cret" not in printed
    assert "czNjcmV0" not in printed


async def test_folder_in_place_of_a_kubeconfig_is_an_error_with_the_words_of_the_machine(tmp_path: Path) -> None:
    with pytest.raises(UnusableLogin, match=f"{tmp_path}: Is a directory"):
        await login(str(tmp_path))


async def test_kubeconfig_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnusableLogin, match=r"there is no such file\. Set KUBECONFIG to the path of a kubeconfig"):
        await login(f"{tmp_path / 'missing'}{os.pathsep}{tmp_path / 'missing too'}")


async def test_one_kubeconfig_of_several_is_enough(tmp_path: Path) -> None:
    (tmp_path / "there").write_text(kubeconfig())
    read = await login(f"{tmp_path / 'missing'}{os.pathsep}{tmp_path / 'there'}")
    assert (read.host, bearer_token(read)) == ("https://127.0.0.1:1", "s3cret")


async def test_without_a_pod_and_a_kubeconfig_the_error_names_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UnusableLogin, match="KUBECONFIG is not set, and this process does not run in a pod"):
        await login()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda folder: (folder / "token").unlink(), "Service token file does not exist"),
        (
            lambda folder: (folder / "token").write_text(""),
            "Token file exists but empty",
        ),
        (
            lambda folder: (folder / "ca.crt").write_text("no certificate"),
            "a certificate or a key of it cannot be read",
        ),
    ],
    ids=["no token", "an empty token", "a CA that is none"],
)
async def test_pod_whose_service_account_is_not_mounted_whole_is_told_what_to_set(
    spoil: Any, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_service_account(tmp_path, monkeypatch)
    spoil(tmp_path)
    with pytest.raises(UnusableLogin, match=f"the ServiceAccount of this pod .*: ({why})") as raised:
        async with Kube(None, user_agent="test"):
            pass
    assert str(raised.value).endswith(". Set automountServiceAccountToken: true in the pod's spec, or set KUBECONFIG.")
