"""A Datasource's spec, typed. What is wrong with one is for spec_problems and template_problems to say."""

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any

import msgspec

from datasource.api.display import Display
from datasource.api.durations import parse_duration
from datasource.api.names import default_token_secret_name, redirect_uri
from datasource.api.presets import PRESETS, Preset
from datasource.api.probe import Probe
from datasource.api.secret_metadata import CredentialSecret
from datasource.api.spelling import spelled
from datasource.api.token_endpoints import TokenEndpoint
from datasource.oauth2.error_reply import ErrorCode, ErrorRule
from datasource.oauth2.token_request import (
    BodyFormat,
    ClientAuthentication,
)


class SpecProblem(msgspec.Struct, frozen=True):
    """Why a spec cannot be used as it is. It may be kept; an exception may not, its traceback leads to what frames hold."""

    field: str
    problem: str
    """The rest of the sentence that begins with the field."""
    remedy: str

    def __str__(self) -> str:
        return f"{self.field} {self.problem}. {self.remedy}"

    def error(self) -> "InvalidSpec":
        """For whoever cannot go on with it."""
        return InvalidSpec(self.field, self.problem, self.remedy)


class InvalidSpec(Exception):
    """The same, for whoever cannot go on; caught at the next edge and never kept."""

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        self.problem = SpecProblem(field, problem, remedy)
        super().__init__(str(self.problem))


class Pkce(StrEnum):
    """Proof Key for Code Exchange (RFC 7636): S256, or none for providers that refuse it. Never plain."""

    S256 = "S256"
    S256_UNADVERTISED = "S256Unadvertised"
    """S256, although the provider's metadata does not list it."""
    NONE = "none"


class DeletionPolicy(StrEnum):
    """What becomes of the grant when the Datasource is deleted: nothing, or its tokens are revoked (RFC 7009)."""

    DELETE = "Delete"
    REVOKE = "Revoke"


class PushedAuthorization(StrEnum):
    """Whether the authorization request is pushed (RFC 9126); AUTO: where the provider's metadata offers it."""

    AUTO = "auto"
    REQUIRED = "required"
    NEVER = "never"


class AssertionAudience(StrEnum):
    """Whom a client assertion (private_key_jwt) is addressed to."""

    ISSUER = "issuer"
    TOKEN_URL = "tokenURL"  # noqa: S105 - a choice, not a token


class AssertionType(StrEnum):
    """The `typ` of a client assertion."""

    JWT = "JWT"
    CLIENT_AUTHENTICATION = "client-authentication+jwt"
    """As draft-ietf-oauth-rfc7523bis has it: some providers take no other, and some take only JWT."""


class RedirectURI(StrEnum):
    """Whether Datasources of a namespace share a redirect URI."""

    PER_NAMESPACE = "PerNamespace"
    PER_DATASOURCE = "PerDatasource"


class ClientSecretRef(msgspec.Struct, frozen=True):
    """Where the client secret is: a key of a Secret in the Datasource's own namespace.

    No omit_defaults: msgspec tells a default text by identity, so one written out would hash unlike one left out.
    """

    name: str
    key: str = "client-secret"


class PrivateKeyRef(msgspec.Struct, frozen=True, rename=spelled):
    """Where the private key for private_key_jwt is: PEM or a JWK, in a Secret of the Datasource's own namespace."""

    name: str
    key: str = "private-key"
    key_id: str | None = None
    """The `kid` under which the provider knows it; a JWK may carry its own."""
    algorithm: str | None = None
    """The JWS algorithm; None: the usual one for such a key."""


class HeaderSecretRef(msgspec.Struct, frozen=True):
    """Where the value of a header is: a key of a Secret in the Datasource's own namespace."""

    name: str
    key: str


class TokenHeader(msgspec.Struct, frozen=True, omit_defaults=True, rename=spelled):
    """A header of requests with which the client authenticates: its value, or where that is."""

    name: str
    value: str | None = None
    secret_ref: HeaderSecretRef | None = None


class CapturedFields(msgspec.Struct, frozen=True, omit_defaults=True, rename=spelled):
    """What else of the provider's answers is kept with the credential, by name."""

    token_response: tuple[str, ...] = ()
    """Members of the token reply; a dot leads into an object, as in team.id."""
    callback: tuple[str, ...] = ()
    """Parameters of the callback's query."""


class CABundleRef(msgspec.Struct, frozen=True):
    """Where a CA bundle is: a key of a ConfigMap in the Datasource's own namespace."""

    name: str
    key: str = "ca.crt"


class OAuth2(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename=spelled,
):
    """`spec.oauth2`: the parameters of the authorization code flow (RFC 6749 section 4.1).

    None and what is empty count as not written: there a preset fills in (`expanded`). New fields have defaults, or the hash of
    every spec there is would change.
    """

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
    expected_identity: dict[str, str] = {}
    """Claims of the id_token that must match, or nobody gets in."""
    private_key_ref: PrivateKeyRef | None = None
    assertion_audience: AssertionAudience | None = None
    refresh_url: str | None = None
    pushed_authorization_url: str | None = None
    pushed_authorization: PushedAuthorization | None = None
    scope_separator: str | None = None
    audience: str | None = None
    resource: tuple[str, ...] = ()
    token_parameters: dict[str, str] = {}
    refresh_parameters: dict[str, str] = {}
    body_format: BodyFormat | None = None
    token_path: str | None = None
    default_lifetime: str | None = None
    max_lifetime: str | None = None
    missing_token_type_allowed: bool = False
    bearer_token_types: tuple[str, ...] = ()
    error_codes: dict[str, ErrorCode] = {}
    captured_fields: CapturedFields = CapturedFields()
    client_id_in_body: bool = False
    """Beside Basic."""
    redirect_uri_on_refresh: bool = False
    nonce: bool | None = None
    """False: none is sent with the scope openid."""
    error_rules: tuple[ErrorRule, ...] = ()
    """How errors are known that errorCodes cannot name, and what they mean."""
    ca_bundle: str | None = None
    ca_bundle_ref: CABundleRef | None = None
    redirect_uri: RedirectURI | None = None
    assertion_type: AssertionType | None = None
    discovery_url: str | None = None
    """Where the metadata of the issuer stands, if not where the issuer says."""
    token_headers: tuple[TokenHeader, ...] = ()
    """What an API gateway before the provider asks for."""
    token_urls: tuple[TokenEndpoint, ...] = msgspec.field(default=(), name="tokenURLs")
    """Of which the callback may choose one in place of the token URL."""
    grant_lifetime: str | None = None
    """How long a grant lasts, whatever is done."""
    grant_idle_lifetime: str | None = None
    """How long after its last refresh."""

    @property
    def preset(self) -> Preset | None:
        """What `provider` stands for."""
        return PRESETS.get(self.provider or "")

    def expanded(self) -> "OAuth2":
        """The parameters with those of the preset where none are written; of maps, each key by itself.

        A preset's way of client authentication is for a client secret, and is left out where there is none.
        """
        if self.preset is None:
            return self
        theirs = msgspec.convert(self.preset.options, OAuth2)
        filled = {name: _first_written(getattr(self, name), getattr(theirs, name)) for name in self.__struct_fields__}
        filled["nonce"] = theirs.nonce if self.nonce is None else self.nonce
        filled["error_rules"] = tuple(dict.fromkeys(self.error_rules + theirs.error_rules))
        if self.token_url:
            # Whoever names a token URL of their own, a gateway perhaps, is sent nowhere else.
            filled["token_urls"] = self.token_urls
        if self.client_secret_ref is None:
            filled["client_authentication"] = self.client_authentication
        if self.pkce is Pkce.S256:
            # The schema writes S256 for whoever writes nothing.
            filled["pkce"] = theirs.pkce
        return OAuth2(**filled)

    def secret_endpoints(self) -> dict[str, str]:
        """Where the client secret, or what proves that we have it, is sent, by the field that says so."""
        endpoints = {
            "tokenURL": self.token_url,
            "refreshURL": self.refresh_url,
            "revocationURL": self.revocation_url,
            "pushedAuthorizationURL": self.pushed_authorization_url,
        }
        return {field: url for field, url in endpoints.items() if url}

    def called_endpoints(self) -> dict[str, str]:
        """Where we send requests, by field. The authorize URL is not among them: the browser goes there."""
        metadata = {"discoveryURL": self.discovery_url} if self.discovery_url else {"issuer": self.issuer}
        return {**self.secret_endpoints(), **{field: url for field, url in metadata.items() if url}}

    def missing(self) -> tuple[str, ...]:
        """The fields, as written in YAML, without which no credential can be got.

        An issuer tells the URLs, and so does a preset; one of a service without an issuer for everybody asks for it.
        """
        whole = self.expanded()
        required = {"clientID": whole.client_id}
        if whole.issuer:
            pass
        elif self.preset is not None and "issuer" in self.preset.asks_for:
            required["issuer"] = whole.issuer
        else:
            required |= {"authorizeURL": whole.authorize_url, "tokenURL": whole.token_url}
        return tuple(field for field, value in required.items() if not value)

    def effective_client_authentication(self) -> ClientAuthentication:
        """How the client authenticates at the token endpoint (RFC 6749 section 2.3)."""
        written = self.expanded().client_authentication
        if written is not None:
            return written
        if self.private_key_ref is not None:
            return ClientAuthentication.PRIVATE_KEY_JWT
        return ClientAuthentication.NONE if self.client_secret_ref is None else ClientAuthentication.CLIENT_SECRET_BASIC

    @property
    def captured_names(self) -> tuple[str, ...]:
        """The captured fields that a template may use."""
        captured = self.expanded().captured_fields
        return captured.token_response + captured.callback


def redirect_uri_of(oauth2: OAuth2 | None, external_url: str, namespace: str, name: str) -> str:
    """The redirect URI of a Datasource, as its parameters ask for it."""
    is_its_own = oauth2 is not None and oauth2.redirect_uri is RedirectURI.PER_DATASOURCE
    return redirect_uri(external_url, namespace, name if is_its_own else None)


def _first_written(mine: Any, theirs: Any) -> Any:
    if isinstance(mine, dict):
        return theirs | mine
    return mine if mine not in (None, "", (), False, CapturedFields()) else theirs


class TokenSecretTemplate(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the token Secret carries besides its own annotations."""

    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    data: dict[str, str] = {}


class TokenSecret(msgspec.Struct, frozen=True, omit_defaults=True):
    """`spec.tokenSecret`: the Secret that apps mount."""

    name: str | None = None
    type: str | None = None
    """Of the Secret (`Secret.type`); None: ours, by which it is known."""
    template: TokenSecretTemplate = TokenSecretTemplate()


class Spec(
    msgspec.Struct,
    frozen=True,
    dict=True,  # for what is worked out once
    rename=spelled,
):
    """The spec of a Datasource."""

    url: str
    type: str = "URL"
    oauth2: OAuth2 | None = None
    token_secret: TokenSecret = TokenSecret()
    credential_secret: CredentialSecret = CredentialSecret()
    refresh_before: str | None = None
    suspend: bool = False
    """Neither refreshes nor links until it is false again; tokens stay."""
    display: Display = Display()
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE
    probe: Probe | None = None
    """What shows whether the service takes the access token; None: nobody asks it."""

    def token_secret_name(self, datasource_name: str) -> str:
        """The name of the Secret that apps mount."""
        return self.token_secret.name or default_token_secret_name(datasource_name)

    def refresh_before_duration(self) -> timedelta | None:
        """`refreshBefore` as Go writes durations, such as 1h30m; None where it is not set or none."""
        return parse_duration(self.refresh_before)


def missing_fields(fields: Sequence[str], preset: Preset | None = None) -> str:
    """What a person reads about fields of `spec.oauth2` that are not set yet, with the preset's examples."""
    named = ", ".join(f"spec.oauth2.{field}" for field in fields)
    examples = {} if preset is None else preset.asks_for
    such_as = "".join(f" An example of {field}: {examples[field]}." for field in fields if field in examples)
    return f"Not set yet: {named}.{such_as} The service shows these values where you register the application."
