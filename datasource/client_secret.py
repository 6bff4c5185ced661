"""I/O: the client secret, read live at each use and never cached."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from datasource.kube import SECRETS, Kube, NotFound
from datasource.names import Annotation, SecretType
from datasource.objects import Secret
from datasource.spec import ClientSecretRef, InvalidSpec, OAuth2

REFUSED_TYPES = frozenset(
    {
        *SecretType,
        "kubernetes.io/service-account-token",
        "kubernetes.io/tls",
        "kubernetes.io/dockercfg",
        "kubernetes.io/dockerconfigjson",
        "bootstrap.kubernetes.io/token",
        "helm.sh/release.v1",
    }
)
"""Types that never hold a client secret: naming one would post a credential of something else to the token URL."""


class ClientSecretNotFound(Exception):
    """The Secret or its key is not there yet; the text names it and the remedy."""


async def read_client_secret(
    kube: Kube, namespace: str, oauth2: OAuth2, *, require_allowed_hosts: bool = False
) -> str | None:
    """Read the client secret that the parameters name; None for a public client.

    With `require_allowed_hosts` a Secret that does not say to which hosts it may be sent is sent to none.

    Raises:
        ClientSecretNotFound: it is not there, or is empty.
        InvalidSpec: the Secret is not one that may be used so.
        ApiError, Unavailable: the API server refused or did not answer.
    """
    ref = oauth2.client_secret_ref
    if ref is None:
        return None
    try:
        secret = await kube.get(SECRETS, namespace, ref.name, Secret)
    except NotFound:
        raise ClientSecretNotFound(
            f"Secret {ref.name} named by spec.oauth2.clientSecretRef does not exist. "
            f"Create it: kubectl create secret generic {ref.name} -n {namespace} --from-literal={ref.key}=..."
        ) from None
    return usable_client_secret(secret, ref, oauth2, require_allowed_hosts=require_allowed_hosts)


def usable_client_secret(
    secret: Secret, ref: ClientSecretRef, oauth2: OAuth2, *, require_allowed_hosts: bool = False
) -> str:
    """The client secret in a Secret, if that may be used as one and sent to these endpoints.

    Raises:
        ClientSecretNotFound: the key is missing or empty.
        InvalidSpec: the Secret is of a refused type, bound to other hosts, or not text.
    """
    if secret.type in REFUSED_TYPES:
        raise InvalidSpec(
            "spec.oauth2.clientSecretRef",
            f"names Secret {ref.name} of type {secret.type}",
            "Put the client secret into a Secret of its own, of type Opaque.",
        )
    check_allowed_hosts(secret, oauth2.secret_endpoints(), required=require_allowed_hosts)
    try:
        value = secret.value(ref.key)
    except ValueError:
        raise InvalidSpec(
            "spec.oauth2.clientSecretRef",
            f"names key {ref.key}, which is not text",
            "Store the client secret as UTF-8.",
        ) from None
    if not value:
        raise ClientSecretNotFound(
            f"Secret {ref.name} has no key {ref.key} with a value, as spec.oauth2.clientSecretRef asks. "
            "Add the key, or name another in clientSecretRef.key."
        )
    return value


def check_allowed_hosts(secret: Secret, endpoints: Mapping[str, str], *, required: bool) -> None:
    """Check that a client secret may be sent to all of these endpoints.

    Args:
        secret: with the annotation `datasource.dev/allowed-hosts`, or without.
        endpoints: URLs by the field of `spec.oauth2` that names them.
        required: whether a Secret without the annotation may be sent to nobody, rather than to anybody.

    Raises:
        InvalidSpec: it may not.
    """
    name = secret.metadata.name
    allowed = secret.metadata.annotations.get(Annotation.ALLOWED_HOSTS)
    if allowed is None:
        if required:
            raise InvalidSpec(
                "spec.oauth2.clientSecretRef",
                f"names Secret {name}, which does not say to which hosts it may be sent",
                "Whoever keeps that Secret must say so, here with: "
                f"kubectl annotate secret {name} {Annotation.ALLOWED_HOSTS}={_hosts_of(endpoints)}",
            )
        return
    hosts = {host.lower() for host in allowed.replace(",", " ").split()}
    for field, url in endpoints.items():
        if _host_of(url) not in hosts:
            raise InvalidSpec(
                f"spec.oauth2.{field}",
                f"is on a host that Secret {name} may not be sent to",
                f"Its annotation {Annotation.ALLOWED_HOSTS} names the hosts it may: ask whoever keeps that Secret.",
            )


def _host_of(url: str) -> str:
    return (urlsplit(url).hostname or "").lower()


def _hosts_of(endpoints: Mapping[str, str]) -> str:
    return ",".join(dict.fromkeys(_host_of(url) for url in endpoints.values()))
