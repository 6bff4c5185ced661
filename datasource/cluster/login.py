"""I/O: where the API server is and how to log in; configuration and login are kubernetes.aio's."""

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

DEFAULT_KUBECONFIG = "~/.kube/config"

_MISSING_KEY = re.compile(r"Expected key ([\w-]+) in ")
_MISSING_ENTRY = re.compile(r"Expected object with name (\S+) in .*\b(contexts|clusters|users) list$", re.DOTALL)
_MISSING_FILE = re.compile(r"File does not exists?: (.+)$")


class UnusableLogin(Exception):
    """This process cannot log in to the API server. The text says why and what to do, and holds no secret."""


class _NoKubeconfig(UnusableLogin):
    """There is no file of that name."""


async def login(kubeconfig: str | None = None) -> Configuration:
    """Where the API server is and how to log in: a named kubeconfig, else the pod's ServiceAccount, else ~/.kube/config.

    Args:
        kubeconfig: the path of a file, or several paths as KUBECONFIG lists them.

    Raises:
        UnusableLogin: none of them is usable.
    """
    configuration = Configuration()
    with login_problems(kubeconfig):
        if _is_in_pod(kubeconfig):
            load_incluster_config(client_configuration=configuration, try_refresh_token=False)
        else:
            _require_kubeconfig(kubeconfig)
            await load_kube_config(config_file=kubeconfig, client_configuration=configuration, persist_config=False)
            if not re.match("https?://.", configuration.host):
                raise UnusableLogin("its server is no URL that begins with https://")
    return configuration


@contextmanager
def login_problems(kubeconfig: str | None) -> Iterator[None]:
    """Turn every error of the block into an UnusableLogin. The loader raises errors of many kinds.

    The text of the loader's own error may hold a token, so it is neither repeated nor kept as the cause.
    """
    try:
        yield
    except Exception as error:
        why = _why(error)
        if _is_in_pod(kubeconfig):
            if isinstance(error, ConfigException):
                # All texts for a pod are fixed.
                why = str(error).rstrip(".")
            login_of = "the ServiceAccount of this pod"
            remedy = "Set automountServiceAccountToken: true in the pod's spec, or set KUBECONFIG."
        else:
            login_of = f"the kubeconfig {kubeconfig or DEFAULT_KUBECONFIG}"
            remedy = "Correct the file, or set KUBECONFIG to the path of another."
            if isinstance(error, _NoKubeconfig):
                remedy = "Set KUBECONFIG to the path of a kubeconfig, or run the process in a pod."
        text = f"{login_of} cannot be used to log in to the API server: {why}. {remedy}"
        raise UnusableLogin(text) from None


def _is_in_pod(kubeconfig: str | None) -> bool:
    return kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ


def _require_kubeconfig(kubeconfig: str | None) -> None:
    paths = (kubeconfig or DEFAULT_KUBECONFIG).split(os.pathsep)
    if not any(path and Path(path).expanduser().exists() for path in paths):
        no_pod = "" if kubeconfig else ", KUBECONFIG is not set, and this process does not run in a pod"
        raise _NoKubeconfig(f"there is no such file{no_pod}")


def _why(error: Exception) -> str:
    """What is wrong with a login, without a word that may be secret: the loader quotes whole entries, tokens among them."""
    text = str(error)
    if isinstance(error, UnusableLogin):
        return text
    if isinstance(error, ssl.SSLError):
        return "a certificate or a key of it cannot be read"
    if isinstance(error, OSError):
        return f"{error.filename or 'a file that it names'}: {error.strerror}"
    if isinstance(error, ConfigException):
        if missing := _MISSING_FILE.search(text):
            return f"there is no file {missing[1]}"
        if missing := _MISSING_ENTRY.search(text):
            return f"its list of {missing[2]} has no entry {missing[1]}"
        if missing := _MISSING_KEY.search(text):
            return f"it lacks {missing[1]}"
    return "it is not written as a kubeconfig"


def bearer_token(configuration: Configuration) -> str | None:
    """The bearer token of a login, without the scheme; None where it uses a client certificate."""
    header = configuration.api_key.get("BearerToken") or configuration.api_key.get("authorization")
    return None if header is None else header.partition(" ")[2].strip()


def credentials(configuration: Configuration) -> dict[str, str]:
    """The header that goes with every request."""
    token = bearer_token(configuration)
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def ssl_context(configuration: Configuration) -> ssl.SSLContext:
    """The TLS settings of a login."""
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
