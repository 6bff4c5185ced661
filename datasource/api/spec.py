"""A Datasource's spec, parsed once at the edge, and what the schema of the API cannot check."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from datasource.api.names import CREDENTIAL_SUFFIX, GROUP, default_token_secret_name
from datasource.api.presets import PRESETS, Preset
from datasource.api.template import rendered_size, unknown_variables, uses
from datasource.oauth2.authorize import RESERVED_PARAMETERS
from datasource.oauth2.client_assertion import CLIENT_ASSERTION_ALGORITHMS
from datasource.oauth2.token_request import (
    RESERVED_TOKEN_PARAMETERS,
    SECRET_PARAMETERS,
    BodyFormat,
    ClientAuthentication,
)
from datasource.oauth2.token_response import ErrorCode
from datasource.outbound.egress import REMEDY, EgressPolicy
from datasource.outbound.endpoint import endpoint_problem
from datasource.outbound.trust import LARGEST_BUNDLE, UnusableBundle, check_bundle

_DURATION = re.compile(r"([0-9]{1,9}(\.[0-9]{1,9})?[smh])+")
_DURATION_PART = re.compile(r"([0-9.]+)([smh])")
_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1)}


class InvalidSpec(Exception):
    """The spec cannot be used as it is; names the field and the remedy."""

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field} {problem}. {remedy}")
        self.field = field

    def alone(self) -> "InvalidSpec":
        """The same, to be kept: nothing leads from it to the frames that it came through, nor to what they hold."""
        self.__cause__ = self.__context__ = None
        return self.with_traceback(None)


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


class ClientSecretRef(msgspec.Struct, frozen=True):
    """Where the client secret is: a key of a Secret in the Datasource's own namespace.

    No omit_defaults: msgspec tells a default text by identity, so one written out would hash unlike one left out.
    """

    name: str
    key: str = "client-secret"


class PrivateKeyRef(msgspec.Struct, frozen=True, rename={"key_id": "keyID"}):
    """Where the private key for private_key_jwt is: PEM or a JWK, in a Secret of the Datasource's own namespace."""

    name: str
    key: str = "private-key"
    key_id: str | None = None
    """The `kid` under which the provider knows it; a JWK may carry its own."""
    algorithm: str | None = None
    """The JWS algorithm; None: the usual one for such a key."""


class CapturedFields(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
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
    rename={
        "client_id": "clientID",
        "client_secret_ref": "clientSecretRef",
        "private_key_ref": "privateKeyRef",
        "authorize_url": "authorizeURL",
        "token_url": "tokenURL",
        "refresh_url": "refreshURL",
        "revocation_url": "revocationURL",
        "pushed_authorization_url": "pushedAuthorizationURL",
        "pushed_authorization": "pushedAuthorization",
        "scope_separator": "scopeSeparator",
        "client_authentication": "clientAuthentication",
        "assertion_audience": "assertionAudience",
        "authorize_parameters": "authorizeParameters",
        "expected_identity": "expectedIdentity",
        "token_parameters": "tokenParameters",
        "refresh_parameters": "refreshParameters",
        "body_format": "bodyFormat",
        "token_path": "tokenPath",
        "default_lifetime": "defaultLifetime",
        "max_lifetime": "maxLifetime",
        "missing_token_type_allowed": "missingTokenTypeAllowed",
        "bearer_token_types": "bearerTokenTypes",
        "error_codes": "errorCodes",
        "captured_fields": "capturedFields",
        "ca_bundle": "caBundle",
        "ca_bundle_ref": "caBundleRef",
    },
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
    ca_bundle: str | None = None
    ca_bundle_ref: CABundleRef | None = None

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
        return {**self.secret_endpoints(), **({"issuer": self.issuer} if self.issuer else {})}

    def missing(self) -> tuple[str, ...]:
        """The fields, as written in YAML, without which no credential can be got.

        An issuer tells the URLs, and so does a preset; one of a service without an issuer for everybody asks for it.
        """
        whole = self.expanded()
        required = {"clientID": whole.client_id}
        if whole.issuer:
            pass
        elif self.preset is not None and self.preset.issuer_example is not None:
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
    template: TokenSecretTemplate = TokenSecretTemplate()


class Spec(
    msgspec.Struct,
    frozen=True,
    dict=True,  # for what is worked out once
    rename={"token_secret": "tokenSecret", "refresh_before": "refreshBefore", "deletion_policy": "deletionPolicy"},
):
    """The spec of a Datasource."""

    url: str
    type: str = "URL"
    oauth2: OAuth2 | None = None
    token_secret: TokenSecret = TokenSecret()
    refresh_before: str | None = None
    suspend: bool = False
    """Neither refreshes nor links until it is false again; tokens stay."""
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE

    def token_secret_name(self, datasource_name: str) -> str:
        """The name of the Secret that apps mount."""
        return self.token_secret.name or default_token_secret_name(datasource_name)

    @cached_property
    def template_problem(self) -> InvalidSpec | None:
        """Why no token Secret can be made of the template, whatever the token; None where one can.

        Apart from what `parse` refuses: the credential is none the worse for it, and goes on being refreshed.
        """
        captured = () if self.oauth2 is None else self.oauth2.captured_names
        return next(_template_problems(self.token_secret.template, captured), None)

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
    """Parse a spec and check what the API server's schema cannot; its template is left to `Spec.template_problem`.

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
        yield from _preset_problems(spec.oauth2)
        yield from _endpoint_problems(spec.oauth2, allow_insecure_http=allow_insecure_http)
        yield from _egress_problems(spec.oauth2, egress)
        yield from _trust_problems(spec.oauth2)
        yield from _parameter_problems(spec.oauth2)
        yield from _client_problems(spec.oauth2)
        yield from _identity_problems(spec.oauth2)
        yield from _reply_problems(spec.oauth2)


def _preset_problems(oauth2: OAuth2) -> Iterator[InvalidSpec]:
    if oauth2.provider and oauth2.preset is None:
        yield InvalidSpec(
            "spec.oauth2.provider", "names no preset there is", f"Use one of {', '.join(PRESETS)}, or leave it out."
        )


def _endpoint_problems(oauth2: OAuth2, *, allow_insecure_http: bool) -> Iterator[InvalidSpec]:
    endpoints = {
        "issuer": oauth2.issuer,
        "authorizeURL": oauth2.authorize_url,
        "tokenURL": oauth2.token_url,
        "refreshURL": oauth2.refresh_url,
        "revocationURL": oauth2.revocation_url,
        "pushedAuthorizationURL": oauth2.pushed_authorization_url,
    }
    for name, url in endpoints.items():
        if url:
            yield from _url_problems(f"spec.oauth2.{name}", url, allow_insecure_http=allow_insecure_http)


def _egress_problems(oauth2: OAuth2, egress: EgressPolicy) -> Iterator[InvalidSpec]:
    return egress_problems(oauth2.expanded().called_endpoints(), egress)


def egress_problems(endpoints: Mapping[str, str], egress: EgressPolicy) -> Iterator[InvalidSpec]:
    """Endpoints, by field of spec.oauth2, to whose hosts no request may go."""
    for name, url in endpoints.items():
        denied = egress.host_denial(urlsplit(url).hostname or "")
        if denied is not None:
            yield InvalidSpec(f"spec.oauth2.{name}", f"leads to {denied}: no request may go there", REMEDY)


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
    queries = {
        "authorizeURL": (oauth2.authorize_url, RESERVED_PARAMETERS),
        # Credentials never stand in a URL: proxies and servers log them.
        "tokenURL": (oauth2.token_url, SECRET_PARAMETERS),
        "refreshURL": (oauth2.refresh_url, SECRET_PARAMETERS),
    }
    for field, (url, reserved) in queries.items():
        for name, _ in parse_qsl(urlsplit(url or "").query, keep_blank_values=True):
            if name in reserved:
                yield InvalidSpec(
                    f"spec.oauth2.{field}", f"sets {name} in its query", "Leave that out: the flow sets it itself."
                )
    maps = {
        "authorizeParameters": (oauth2.authorize_parameters, RESERVED_PARAMETERS),
        "tokenParameters": (oauth2.token_parameters, RESERVED_TOKEN_PARAMETERS),
        "refreshParameters": (oauth2.refresh_parameters, RESERVED_TOKEN_PARAMETERS),
    }
    for field, (parameters, reserved) in maps.items():
        for name in parameters:
            if name in reserved:
                yield InvalidSpec(f"spec.oauth2.{field}", f"sets {name}", "Leave that out: the flow sets it itself.")
            if name == "resource" and oauth2.resource:
                yield InvalidSpec(
                    f"spec.oauth2.{field}", "sets resource beside spec.oauth2.resource", "Use one of the two."
                )
    if oauth2.audience and "audience" in oauth2.authorize_parameters:
        yield InvalidSpec(
            "spec.oauth2.authorizeParameters", "sets audience beside spec.oauth2.audience", "Use one of the two."
        )


_WITH_A_SECRET = frozenset({ClientAuthentication.CLIENT_SECRET_BASIC, ClientAuthentication.CLIENT_SECRET_POST})


def _client_problems(oauth2: OAuth2) -> Iterator[InvalidSpec]:
    method = oauth2.effective_client_authentication()
    field = "spec.oauth2.clientAuthentication"
    if oauth2.client_secret_ref is not None and oauth2.private_key_ref is not None:
        yield InvalidSpec(
            "spec.oauth2.privateKeyRef",
            "stands beside a clientSecretRef",
            "Leave one of the two out: a client has one way.",
        )
    if method in _WITH_A_SECRET and oauth2.client_secret_ref is None:
        yield InvalidSpec(field, f"is {method} without a client secret", "Name one in clientSecretRef.")
    if method is ClientAuthentication.PRIVATE_KEY_JWT and oauth2.private_key_ref is None:
        yield InvalidSpec(field, f"is {method} without a private key", "Name one in privateKeyRef.")
    if method is ClientAuthentication.NONE and oauth2.client_secret_ref is not None:
        yield InvalidSpec(field, "is none beside a clientSecretRef", "Leave one of the two out.")
    if method is ClientAuthentication.NONE and oauth2.private_key_ref is not None:
        yield InvalidSpec(field, "is none beside a privateKeyRef", "Leave one of the two out.")
    if method is ClientAuthentication.NONE and oauth2.pkce is Pkce.NONE:
        yield InvalidSpec(
            "spec.oauth2.pkce",
            "is none for a client without a secret",
            "Use S256, or name a secret in clientSecretRef.",
        )
    for place, ref in (("clientSecretRef", oauth2.client_secret_ref), ("privateKeyRef", oauth2.private_key_ref)):
        if ref is not None and ref.name.endswith(CREDENTIAL_SUFFIX):
            yield InvalidSpec(
                f"spec.oauth2.{place}.name",
                "names a credential Secret",
                "Name the Secret that holds what the client authenticates with.",
            )
    key = oauth2.private_key_ref
    if key is not None and key.algorithm is not None and key.algorithm not in CLIENT_ASSERTION_ALGORITHMS:
        yield InvalidSpec(
            "spec.oauth2.privateKeyRef.algorithm",
            "is none that signs with a private key",
            f"Use one of {', '.join(CLIENT_ASSERTION_ALGORITHMS)}, or leave it out.",
        )


def _identity_problems(oauth2: OAuth2) -> Iterator[InvalidSpec]:
    whole = oauth2.expanded()
    if oauth2.expected_identity and whole.issuer is None:
        yield InvalidSpec(
            "spec.oauth2.expectedIdentity",
            "cannot be checked without an issuer, whose keys verify the id_token",
            "Set spec.oauth2.issuer.",
        )
    if oauth2.expected_identity and "openid" not in whole.scopes:
        yield InvalidSpec(
            "spec.oauth2.expectedIdentity",
            "cannot be checked without the scope openid, which is what yields an id_token",
            "Add openid to spec.oauth2.scopes.",
        )


SHORTEST_LIFETIME = timedelta(minutes=1)

_TOKENS = frozenset({"access_token", "refresh_token", "id_token"})
_CALLBACK = frozenset({"code", "state", "iss", "error", "error_description", "id_token", "access_token"})


def _reply_problems(oauth2: OAuth2) -> Iterator[InvalidSpec]:
    for field, text in (("defaultLifetime", oauth2.default_lifetime), ("maxLifetime", oauth2.max_lifetime)):
        lifetime = parse_duration(text)
        if text is not None and (lifetime is None or lifetime < SHORTEST_LIFETIME):
            yield InvalidSpec(f"spec.oauth2.{field}", "is no duration of a minute or more", "Write it like 30m or 2h.")
    captured = oauth2.captured_fields
    # Apps mount what the template makes of captured fields, and must never see a refresh token.
    for field, names, reserved in (
        ("tokenResponse", captured.token_response, _TOKENS),
        ("callback", captured.callback, _CALLBACK),
    ):
        for name in names:
            if name.rpartition(".")[2] in reserved:
                yield InvalidSpec(
                    f"spec.oauth2.capturedFields.{field}", f"names {name}", "Leave that out: it is not for apps."
                )


LARGEST_SECRET = 512 * 1024
"""Bytes of a token Secret's data: its keys, and its values in base64. Kubernetes takes 1 MiB before base64."""

LARGEST_TEMPLATE = 64 * 1024
"""Bytes of a template's keys and values, labels and annotations included, beyond which the CRD lets no new one in.

What v0.1.0 let in is served as long as the Secret can be made.
"""

LARGEST_ANNOTATIONS = 255 * 1024
"""Bytes of a template's annotations, keys and values: Kubernetes takes 256 KiB in all, and some are ours."""

_TEMPLATE = "spec.tokenSecret.template"
_SECRET_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_METADATA_KEY = re.compile(rf"(?P<prefix>[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?{_NAME}")
_LABEL_VALUE = re.compile(rf"({_NAME})?")
_LONGEST_PREFIX = 253
_LONGEST_SHOWN = 253


def template_size(template: TokenSecretTemplate) -> int:
    """Bytes of all keys and values that a template consists of."""
    return sum(map(_bytes_of, (template.labels, template.annotations, template.data)))


def size_problem(data: Mapping[str, str], sizes: Mapping[str, int]) -> InvalidSpec | None:
    """Whether the Secret would be too large, counted before anything is rendered.

    Args:
        data: the templates by key.
        sizes: of the variables, in bytes; empty: of what no variable can make smaller.
    """
    by_key = {key: len(key) + _base64_size(rendered_size(text, sizes)) for key, text in data.items()}
    total = sum(by_key.values())
    if total <= LARGEST_SECRET:
        return None
    largest = max(by_key, key=lambda key: by_key[key])
    return InvalidSpec(
        f"{_TEMPLATE}.data",
        f"makes a Secret of {total:,} bytes; at most {LARGEST_SECRET:,} are allowed, keys and base64 included. "
        f"Its largest key is {largest} with {by_key[largest]:,} bytes{_most_of(data[largest], sizes)}",
        "Use variables fewer times, take text out, or have the service issue shorter tokens.",
    )


def _most_of(text: str, sizes: Mapping[str, int]) -> str:
    """What a value mostly consists of, in words to go on with; nothing where it is the template's own text."""
    used = uses(text)
    name = max(used, key=lambda name: used[name] * sizes.get(name, 0), default="")
    if 2 * used[name] * sizes.get(name, 0) < rendered_size(text, sizes):
        return ""
    times = "once" if used[name] == 1 else f"{used[name]:,} times"
    return f": {{{{ {name} }}}} has {sizes[name]:,} bytes and stands there {times}"


def _base64_size(size: int) -> int:
    return 4 * ((size + 2) // 3)


def _bytes_of(texts: Mapping[str, str]) -> int:
    return sum(len(key.encode()) + len(value.encode()) for key, value in texts.items())


def _template_problems(template: TokenSecretTemplate, captured: tuple[str, ...]) -> Iterator[InvalidSpec]:
    yield from _data_problems(template.data, captured)
    yield from _metadata_key_problems("labels", template.labels)
    for key, value in template.labels.items():
        if not _LABEL_VALUE.fullmatch(value):
            yield InvalidSpec(
                f"{_TEMPLATE}.labels[{key}]",
                "has a value that no label can have",
                "Use up to 63 letters, digits, - _ and ., with a letter or digit at both ends.",
            )
    yield from _metadata_key_problems("annotations", template.annotations)
    if (size := _bytes_of(template.annotations)) > LARGEST_ANNOTATIONS:
        yield InvalidSpec(
            f"{_TEMPLATE}.annotations",
            f"has {size:,} bytes; at most {LARGEST_ANNOTATIONS:,} are allowed",
            "Take some out, or shorten them.",
        )


def _data_problems(data: Mapping[str, str], captured: tuple[str, ...]) -> Iterator[InvalidSpec]:
    for key, text in data.items():
        if not _SECRET_KEY.fullmatch(key) or key == "." or key.startswith(".."):
            yield InvalidSpec(
                f"{_TEMPLATE}.data[{key[:_LONGEST_PREFIX]}]",
                "is no key that a Secret can have",
                "Use up to 253 letters, digits, - _ and ., not . alone and no two dots in front.",
            )
        for variable in unknown_variables(text, captured):
            yield InvalidSpec(
                f"{_TEMPLATE}.data[{key}]",
                f"uses {{{{ {_shown(variable)} }}}}, which there is not",
                "See `kubectl explain datasource.spec.tokenSecret.template.data` for those there are.",
            )
    if (too_large := size_problem(data, {})) is not None:
        yield too_large


def _shown(name: str) -> str:
    return name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]} ..."


def _metadata_key_problems(place: str, texts: Mapping[str, str]) -> Iterator[InvalidSpec]:
    for key in texts:
        found = _METADATA_KEY.fullmatch(key)
        if found is None or len(found["prefix"] or "/") - 1 > _LONGEST_PREFIX:
            yield InvalidSpec(
                f"{_TEMPLATE}.{place}[{key[:_LONGEST_PREFIX]}]",
                "is no key that Kubernetes takes",
                "Use up to 63 letters, digits, - _ and ., and perhaps a DNS name and / in front.",
            )
        elif key.startswith(f"{GROUP}/"):
            yield InvalidSpec(f"{_TEMPLATE}.{place}[{key}]", "is the operator's own", "Choose another key.")
