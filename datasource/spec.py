"""A Datasource's spec, parsed once at the edge, and what the schema of the API cannot check."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from datasource.names import CREDENTIAL_SUFFIX, default_token_secret_name
from datasource.oauth2 import RESERVED_PARAMETERS, ClientAuthentication, EgressPolicy
from datasource.oauth2.egress import REMEDY
from datasource.oauth2.endpoint import endpoint_problem
from datasource.oauth2.trust import LARGEST_BUNDLE, UnusableBundle, check_bundle
from datasource.template import unknown_variables

_DURATION = re.compile(r"([0-9]{1,9}(\.[0-9]{1,9})?[smh])+")
_DURATION_PART = re.compile(r"([0-9.]+)([smh])")
_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1)}


class InvalidSpec(Exception):
    """The spec cannot be used as it is; names the field and the remedy."""

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field} {problem}. {remedy}")
        self.field = field


class Pkce(StrEnum):
    """Proof Key for Code Exchange (RFC 7636): S256, or none for providers that refuse it."""

    S256 = "S256"
    NONE = "none"


class ClientSecretRef(msgspec.Struct, frozen=True):
    """Where the client secret is: a key of a Secret in the Datasource's own namespace.

    No omit_defaults: msgspec tells a default text by identity, so one written out would hash unlike one left out.
    """

    name: str
    key: str = "client-secret"


class CABundleRef(msgspec.Struct, frozen=True):
    """Where a CA bundle is: a key of a ConfigMap in the Datasource's own namespace."""

    name: str
    key: str = "ca.crt"


class OAuth2(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={
        "client_id": "clientID",
        "client_secret_ref": "clientSecretRef",
        "authorize_url": "authorizeURL",
        "token_url": "tokenURL",
        "revocation_url": "revocationURL",
        "client_authentication": "clientAuthentication",
        "authorize_parameters": "authorizeParameters",
        "ca_bundle": "caBundle",
        "ca_bundle_ref": "caBundleRef",
    },
):
    """`spec.oauth2`: the parameters of the authorization code flow (RFC 6749 section 4.1)."""

    client_id: str | None = None
    client_secret_ref: ClientSecretRef | None = None
    issuer: str | None = None
    provider: str | None = None
    authorize_url: str | None = None
    token_url: str | None = None
    revocation_url: str | None = None
    scopes: tuple[str, ...] = ()
    client_authentication: ClientAuthentication | None = None
    pkce: Pkce = Pkce.S256
    authorize_parameters: dict[str, str] = {}
    ca_bundle: str | None = None
    ca_bundle_ref: CABundleRef | None = None

    def secret_endpoints(self) -> dict[str, str]:
        """Where the client secret, or what proves that we have it, is sent, by the field that says so."""
        endpoints = {"tokenURL": self.token_url, "revocationURL": self.revocation_url}
        return {field: url for field, url in endpoints.items() if url}

    def called_endpoints(self) -> dict[str, str]:
        """Where we send requests, by field. The authorize URL is not among them: the browser goes there."""
        return {**self.secret_endpoints(), **({"issuer": self.issuer} if self.issuer else {})}

    def missing(self) -> tuple[str, ...]:
        """The fields, as written in YAML, without which no credential can be got."""
        required = {"clientID": self.client_id, "authorizeURL": self.authorize_url, "tokenURL": self.token_url}
        return tuple(field for field, value in required.items() if not value)

    def effective_client_authentication(self) -> ClientAuthentication:
        """How the client authenticates at the token endpoint (RFC 6749 section 2.3)."""
        if self.client_authentication is not None:
            return self.client_authentication
        return ClientAuthentication.NONE if self.client_secret_ref is None else ClientAuthentication.CLIENT_SECRET_BASIC


class TokenSecretTemplate(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the token Secret carries besides its own annotations."""

    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    data: dict[str, str] = {}


class TokenSecret(msgspec.Struct, frozen=True, omit_defaults=True):
    """`spec.tokenSecret`: the Secret that apps mount."""

    name: str | None = None
    template: TokenSecretTemplate = TokenSecretTemplate()


class Spec(
    msgspec.Struct,
    frozen=True,
    rename={"token_secret": "tokenSecret", "refresh_before": "refreshBefore"},
):
    """The spec of a Datasource."""

    url: str
    type: str = "URL"
    oauth2: OAuth2 | None = None
    token_secret: TokenSecret = TokenSecret()
    refresh_before: str | None = None
    suspend: bool = False
    """Neither refreshes nor links until it is false again; tokens stay."""

    def token_secret_name(self, datasource_name: str) -> str:
        """The name of the Secret that apps mount."""
        return self.token_secret.name or default_token_secret_name(datasource_name)

    def refresh_before_duration(self) -> timedelta | None:
        """`refreshBefore` as Go writes durations, such as 1h30m; None where it is not set or none."""
        return parse_duration(self.refresh_before)


def parse_duration(text: str | None) -> timedelta | None:
    """Read a duration as Go writes it; None where it is none."""
    if text is None or not _DURATION.fullmatch(text):
        return None
    parts = _DURATION_PART.findall(text)
    return sum((float(number) * _UNITS[unit] for number, unit in parts), start=timedelta(0))


_STRICT_EGRESS = EgressPolicy()


def missing_fields(fields: Iterable[str]) -> str:
    """What a person reads about fields of `spec.oauth2` that are not set yet."""
    named = ", ".join(f"spec.oauth2.{field}" for field in fields)
    return f"Not set yet: {named}. The service tells them when you register there."


def parse(raw: Mapping[str, Any], *, allow_insecure_http: bool, egress: EgressPolicy = _STRICT_EGRESS) -> Spec:
    """Parse a spec and check what the API server's schema cannot.

    Args:
        raw: the object's `spec`, as decoded JSON.
        allow_insecure_http: whether OAuth2 endpoints may be http:// on other hosts than loopback.
        egress: where requests may go, as far as it can be told before a name is resolved.

    Raises:
        InvalidSpec: with the field, what is wrong with it and the remedy.
    """
    try:
        spec = msgspec.convert(raw, Spec)
    except msgspec.ValidationError as error:
        raise InvalidSpec(
            "spec", f"does not fit the schema: {error}", "Compare it with `kubectl explain datasource.spec`."
        ) from None
    for problem in _problems(spec, allow_insecure_http=allow_insecure_http, egress=egress):
        raise problem
    return spec


def _problems(spec: Spec, *, allow_insecure_http: bool, egress: EgressPolicy) -> Iterator[InvalidSpec]:
    if spec.oauth2 is not None:
        yield from _endpoint_problems(spec.oauth2, allow_insecure_http=allow_insecure_http)
        yield from _egress_problems(spec.oauth2, egress)
        yield from _trust_problems(spec.oauth2)
        yield from _parameter_problems(spec.oauth2)
        yield from _client_problems(spec.oauth2)
    yield from _template_problems(spec.token_secret.template)


def _endpoint_problems(oauth2: OAuth2, *, allow_insecure_http: bool) -> Iterator[InvalidSpec]:
    endpoints = {
        "issuer": oauth2.issuer,
        "authorizeURL": oauth2.authorize_url,
        "tokenURL": oauth2.token_url,
        "revocationURL": oauth2.revocation_url,
    }
    for name, url in endpoints.items():
        if url:
            yield from _url_problems(f"spec.oauth2.{name}", url, allow_insecure_http=allow_insecure_http)


def _egress_problems(oauth2: OAuth2, egress: EgressPolicy) -> Iterator[InvalidSpec]:
    for name, url in oauth2.called_endpoints().items():
        denied = egress.host_denial(urlsplit(url).hostname or "")
        if denied is not None:
            yield InvalidSpec(f"spec.oauth2.{name}", f"leads to {denied}, where no request may go", REMEDY)


def _trust_problems(oauth2: OAuth2) -> Iterator[InvalidSpec]:
    if oauth2.ca_bundle is not None and oauth2.ca_bundle_ref is not None:
        yield InvalidSpec("spec.oauth2.caBundleRef", "stands beside a caBundle", "Leave one of the two out.")
    if oauth2.ca_bundle is not None:
        yield from bundle_problems("spec.oauth2.caBundle", oauth2.ca_bundle)


def bundle_problems(field: str, pem: str) -> Iterator[InvalidSpec]:
    """What is wrong with a CA bundle, wherever it is from."""
    try:
        check_bundle(pem)
    except UnusableBundle as error:
        yield InvalidSpec(
            field,
            str(error),
            f"Give the certificates of the provider's authorities, each from BEGIN to END CERTIFICATE, in at most "
            f"{LARGEST_BUNDLE} characters.",
        )


def _url_problems(field: str, url: str, *, allow_insecure_http: bool) -> Iterator[InvalidSpec]:
    found = endpoint_problem(url, allow_insecure_http=allow_insecure_http)
    if found is not None:
        yield InvalidSpec(field, found.problem, found.remedy)


def _parameter_problems(oauth2: OAuth2) -> Iterator[InvalidSpec]:
    query = urlsplit(oauth2.authorize_url or "").query
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if name in RESERVED_PARAMETERS:
            yield InvalidSpec(
                "spec.oauth2.authorizeURL", f"sets {name} in its query", "Leave that out: the flow sets it itself."
            )
    for name in oauth2.authorize_parameters:
        if name in RESERVED_PARAMETERS:
            yield InvalidSpec(
                "spec.oauth2.authorizeParameters", f"sets {name}", "Leave that out: the flow sets it itself."
            )


def _client_problems(oauth2: OAuth2) -> Iterator[InvalidSpec]:
    method = oauth2.effective_client_authentication()
    if method is not ClientAuthentication.NONE and oauth2.client_secret_ref is None:
        yield InvalidSpec(
            "spec.oauth2.clientAuthentication", f"is {method} without a client secret", "Name one in clientSecretRef."
        )
    if method is ClientAuthentication.NONE and oauth2.client_secret_ref is not None:
        yield InvalidSpec(
            "spec.oauth2.clientAuthentication", "is none beside a clientSecretRef", "Leave one of the two out."
        )
    if method is ClientAuthentication.NONE and oauth2.pkce is Pkce.NONE:
        yield InvalidSpec(
            "spec.oauth2.pkce",
            "is none for a client without a secret",
            "Use S256, or name a secret in clientSecretRef.",
        )
    if oauth2.client_secret_ref is not None and oauth2.client_secret_ref.name.endswith(CREDENTIAL_SUFFIX):
        yield InvalidSpec(
            "spec.oauth2.clientSecretRef.name",
            "names a credential Secret",
            "Name the Secret that holds the client secret.",
        )


def _template_problems(template: TokenSecretTemplate) -> Iterator[InvalidSpec]:
    for key, text in template.data.items():
        for variable in unknown_variables(text):
            yield InvalidSpec(
                f"spec.tokenSecret.template.data[{key}]",
                f"uses {{{{ {variable} }}}}, which there is not",
                "See `kubectl explain datasource.spec.tokenSecret.template.data` for those there are.",
            )
