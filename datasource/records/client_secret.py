"""What a client authenticates with, a secret or a private key: which Secret may be used, and where it may be sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from datasource.api.names import Annotation, SecretType
from datasource.api.objects import Secret
from datasource.api.spec import ClientSecretRef, HeaderSecretRef, InvalidSpec, OAuth2, PrivateKeyRef
from datasource.oauth2.client_assertion import SigningKey, UnusableKey, signing_key
from datasource.oauth2.extra_headers import value_problem

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
"""Secrets of these types hold other credentials. A spec that names one would send them to the token URL."""


Ref = ClientSecretRef | PrivateKeyRef | HeaderSecretRef
"""A reference to a Secret whose value is sent to a provider, or proves there who the client is."""


class ClientSecretNotFound(Exception):
    """The Secret or its key does not exist yet. The text names it and the remedy."""


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A client secret, or a private key, and where it may be sent."""

    name: str
    """Of the Secret."""
    text: str = field(repr=False)
    allowed_hosts: frozenset[str] | None = None
    """The hosts that its owner lets it be sent to; None: any."""

    def require_allowed(self, endpoints: Mapping[str, str]) -> None:
        """Check the endpoints that it may be sent to, by the fields of spec.oauth2.

        Raises:
            InvalidSpec: one is on another host.
        """
        for name, url in endpoints.items():
            if self.allowed_hosts is not None and _host_of(url) not in self.allowed_hosts:
                raise InvalidSpec(
                    f"spec.oauth2.{name}",
                    f"is on a host that Secret {self.name} may not be sent to",
                    f"Its annotation {Annotation.ALLOWED_HOSTS} lists the allowed hosts. Ask its owner to add this one.",
                )


def usable_client_secret(
    secret: Secret,
    ref: Ref,
    oauth2: OAuth2,
    endpoints: Mapping[str, str],
    *,
    require_allowed_hosts: bool,
) -> ClientSecret:
    """The value that a reference names in a Secret, if it may be sent to `endpoints` and to those in the spec.

    Args:
        secret: what was read.
        ref: the reference that names it.
        oauth2: the parameters that the reference is part of.
        endpoints: further endpoints by field of spec.oauth2; they replace what the parameters say.
        require_allowed_hosts: whether a Secret that lists no allowed hosts may be sent nowhere.

    Raises:
        ClientSecretNotFound: the key is missing or empty.
        InvalidSpec: the Secret is of a refused type, bound to other hosts, not text, or no private key.
    """
    field = field_of(ref)
    if secret.type in REFUSED_TYPES:
        raise InvalidSpec(
            field,
            f"names Secret {ref.name}, whose type {secret.type} is not for client secrets",
            "Store what the client authenticates with in a Secret of its own, of type Opaque.",
        )
    if Annotation.ROLE in secret.metadata.annotations:
        raise InvalidSpec(
            field,
            f"names Secret {ref.name}, which is the operator's own",
            "Store what the client authenticates with in a Secret of its own, of type Opaque.",
        )
    known = oauth2.expanded().secret_endpoints()
    check_allowed_hosts(secret, {**known, **endpoints}, required=require_allowed_hosts, field=field)
    try:
        value = secret.value(ref.key)
    except ValueError:
        raise InvalidSpec(
            field, f"names key {ref.key}, whose value is not text", "Store the value as UTF-8 text."
        ) from None
    if value is not None and not isinstance(ref, PrivateKeyRef):
        value = _without_what_editors_leave(value)
    if not value:
        raise ClientSecretNotFound(
            f"{field} names key {ref.key}, which is missing or empty in Secret {ref.name}. "
            f"Add the key to the Secret, or name another one in {key_field_of(ref)}."
        )
    if isinstance(ref, PrivateKeyRef):
        usable_signing_key(value, ref)
    if isinstance(ref, ClientSecretRef) and not value.isprintable():
        # Such as a second line, UTF-16, or a zero-width space. The provider would reject the client after the consent.
        raise InvalidSpec(
            field,
            f"names key {ref.key} of Secret {ref.name}, whose value has characters that no client secret has",
            "Store the client secret there as one line of UTF-8, and nothing else.",
        )
    wrong = value_problem(value) if isinstance(ref, HeaderSecretRef) else None
    if wrong is not None:
        raise InvalidSpec(
            field,
            f"names key {ref.key} of Secret {ref.name}, whose value {wrong}",
            "Store the value of the header there, and nothing else.",
        )
    return ClientSecret(ref.name, value, _allowed_hosts(secret))


def _without_what_editors_leave(value: str) -> str:
    """The value without the line ends of `echo secret > file`, the blanks beside them, and a byte order mark.

    No client secret has any of these (RFC 6749 appendix A.2). Blanks alone may be meant, so they stay.
    """
    text = value.removeprefix("\ufeff")
    return text if text == text.strip("\r\n\t") else text.strip()


def usable_signing_key(text: str, ref: PrivateKeyRef) -> SigningKey:
    """The private key that a reference names.

    Raises:
        InvalidSpec: it cannot sign assertions.
    """
    try:
        return signing_key(text, key_id=ref.key_id, algorithm=ref.algorithm)
    except UnusableKey as error:
        raise InvalidSpec(
            "spec.oauth2.privateKeyRef",
            f"names key {ref.key} of Secret {ref.name}, which {error}",
            "Store a private key there: PEM without a password, or a JWK.",
        ) from None


def field_of(ref: Ref) -> str:
    """The field that names the Secret."""
    match ref:
        case PrivateKeyRef():
            return "spec.oauth2.privateKeyRef"
        case HeaderSecretRef():
            return "spec.oauth2.tokenHeaders"
        case _:
            return "spec.oauth2.clientSecretRef"


def key_field_of(ref: Ref) -> str:
    """The field that names the key in it, below spec.oauth2."""
    within = ".secretRef" if isinstance(ref, HeaderSecretRef) else ""
    return f"{field_of(ref).rpartition('.')[2]}{within}.key"


def example_of(ref: Ref) -> str:
    """The option of `kubectl create secret` for the value. It names a file: a command line is seen and kept."""
    return f"--from-file={ref.key}=key.pem" if isinstance(ref, PrivateKeyRef) else f"--from-file={ref.key}=FILE"


def _allowed_hosts(secret: Secret) -> frozenset[str] | None:
    allowed = secret.metadata.annotations.get(Annotation.ALLOWED_HOSTS)
    return None if allowed is None else frozenset(host.lower() for host in allowed.replace(",", " ").split())


def check_allowed_hosts(
    secret: Secret, endpoints: Mapping[str, str], *, required: bool, field: str = "spec.oauth2.clientSecretRef"
) -> None:
    """Check that what a client authenticates with may be sent to all of these endpoints.

    Args:
        secret: with the annotation `datasource.dev/allowed-hosts`, or without.
        endpoints: URLs by the field of `spec.oauth2` that names them.
        required: whether a Secret without the annotation may be sent nowhere, rather than anywhere.
        field: the field that names the Secret.

    Raises:
        InvalidSpec: it may not.
    """
    name, hosts = secret.metadata.name, _allowed_hosts(secret)
    if hosts is None and required:
        raise InvalidSpec(
            field,
            f"names Secret {name}, which does not list the hosts that it may be sent to",
            "The Secret's owner must list them, for these endpoints with: "
            f"kubectl annotate secret {name} {Annotation.ALLOWED_HOSTS}={_hosts_of(endpoints) or 'HOST'}",
        )
    ClientSecret(name, "", hosts).require_allowed(endpoints)


def _host_of(url: str) -> str:
    return (urlsplit(url).hostname or "").lower()


def _hosts_of(endpoints: Mapping[str, str]) -> str:
    return ",".join(dict.fromkeys(_host_of(url) for url in endpoints.values()))
