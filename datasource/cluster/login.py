"""I/O: where the API server is and how to log in; configuration and login are kubernetes.aio's."""

import os
import ssl

from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import load_incluster_config, load_kube_config


async def login(kubeconfig: str | None = None) -> Configuration:
    """Where the API server is and how to log in: a named kubeconfig, else the pod's ServiceAccount, else $KUBECONFIG.

    Raises:
        ConfigException: none of them is usable.
    """
    configuration = Configuration()
    if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        load_incluster_config(client_configuration=configuration, try_refresh_token=False)
    else:
        await load_kube_config(config_file=kubeconfig, client_configuration=configuration, persist_config=False)
    return configuration


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
