"""Pure: a spec parsed once, at the edge, and the problems that the schema of the API cannot find."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec

from datasource.api.durations import parse_duration
from datasource.api.names import CREDENTIAL_SUFFIX
from datasource.api.option_problems import PROTOCOL_PARAMETERS, header_problems, token_url_problems
from datasource.api.presets import PRESETS
from datasource.api.spec import (
    AssertionAudience,
    AssertionType,
    InvalidSpec,
    OAuth2,
    Pkce,
    Spec,
    SpecProblem,
)
from datasource.api.template_problems import credential_template_problems
from datasource.api.token_endpoints import listed_endpoints
from datasource.oauth2.client_assertion import CLIENT_ASSERTION_ALGORITHMS
from datasource.oauth2.provider_metadata import has_placeholder
from datasource.oauth2.reserved_parameters import (
    RESERVED_PARAMETERS,
    RESERVED_TOKEN_PARAMETERS,
    reserved_parameters_in,
)
from datasource.oauth2.token_request import (
    WITH_A_SECRET,
    WITHOUT_A_SECRET,
    ClientAuthentication,
)
from datasource.outbound.egress import REMEDY, EgressPolicy
from datasource.outbound.endpoint import endpoint_problem
from datasource.outbound.trust import LARGEST_BUNDLE, UnusableBundle, check_bundle

_STRICT_EGRESS = EgressPolicy()


def parse_spec(raw: Mapping[str, Any], *, allow_insecure_http: bool, egress: EgressPolicy = _STRICT_EGRESS) -> Spec:
    """Parse a spec and check what the API server's schema cannot; its template is left to `template_problem`.

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
            "spec", f"does not fit the schema: {error}", "Compare it with `kubectl explain dsrc.spec`."
        ) from None
    for problem in _problems(spec, allow_insecure_http=allow_insecure_http, egress=egress):
        raise problem.error()
    return spec


def _problems(spec: Spec, *, allow_insecure_http: bool, egress: EgressPolicy) -> Iterator[SpecProblem]:
    yield from credential_template_problems(spec.credential_secret.template)
    if spec.oauth2 is not None:
        yield from _preset_problems(spec.oauth2)
        yield from _endpoint_problems(spec.oauth2, allow_insecure_http=allow_insecure_http)
        yield from _discovery_problems(spec.oauth2.expanded())
        yield from _egress_problems(spec.oauth2, egress)
        yield from _trust_problems(spec.oauth2)
        yield from _parameter_problems(spec.oauth2)
        yield from _client_problems(spec.oauth2)
        yield from header_problems(spec.oauth2)
        yield from token_url_problems(spec.oauth2.expanded())
        yield from _identity_problems(spec.oauth2)
        yield from _reply_problems(spec.oauth2)


def _preset_problems(oauth2: OAuth2) -> Iterator[SpecProblem]:
    if oauth2.provider and oauth2.preset is None:
        yield SpecProblem(
            "spec.oauth2.provider", "is not a known preset", f"Use one of {', '.join(PRESETS)}, or leave it out."
        )


def _endpoint_problems(oauth2: OAuth2, *, allow_insecure_http: bool) -> Iterator[SpecProblem]:
    for name, url in _written_endpoints(oauth2).items():
        yield from _url_problems(f"spec.oauth2.{name}", url, allow_insecure_http=allow_insecure_http)


def _written_endpoints(oauth2: OAuth2) -> dict[str, str]:
    """All URLs, by field of spec.oauth2."""
    endpoints = {
        "issuer": oauth2.issuer,
        "discoveryURL": oauth2.discovery_url,
        "authorizeURL": oauth2.authorize_url,
        "tokenURL": oauth2.token_url,
        "refreshURL": oauth2.refresh_url,
        "revocationURL": oauth2.revocation_url,
        "pushedAuthorizationURL": oauth2.pushed_authorization_url,
        **listed_endpoints(oauth2.token_urls),
    }
    return {field: url for field, url in endpoints.items() if url}


def _discovery_problems(whole: OAuth2) -> Iterator[SpecProblem]:
    if not whole.discovery_url:
        return
    if not whole.issuer:
        yield SpecProblem(
            "spec.oauth2.discoveryURL",
            "names the metadata of an issuer, and there is no issuer",
            "Set spec.oauth2.issuer to what the tokens name as their issuer (iss).",
        )
    elif has_placeholder(whole.issuer):
        yield SpecProblem(
            "spec.oauth2.issuer",
            "has a placeholder in braces, and no token names such an issuer",
            "Write the ID of your tenant in its place.",
        )


def _egress_problems(oauth2: OAuth2, egress: EgressPolicy) -> Iterator[SpecProblem]:
    # Of a list that a preset has, one entry may lead where this installation lets nobody go: that entry alone is of no use.
    return egress_problems(oauth2.expanded().called_endpoints() | listed_endpoints(oauth2.token_urls), egress)


def egress_problems(endpoints: Mapping[str, str], egress: EgressPolicy) -> Iterator[SpecProblem]:
    """Endpoints, by field of spec.oauth2, to whose hosts no request may go."""
    for name, url in endpoints.items():
        host = urlsplit(url).hostname or ""
        denied = egress.host_denial(host)
        if denied is not None:
            yield SpecProblem(f"spec.oauth2.{name}", f"leads to {denied} ({host}). No request may go there", REMEDY)


def _trust_problems(oauth2: OAuth2) -> Iterator[SpecProblem]:
    if oauth2.ca_bundle is not None and oauth2.ca_bundle_ref is not None:
        yield SpecProblem("spec.oauth2.caBundleRef", "is set as well as caBundle", "Set one of the two, not both.")
    if oauth2.ca_bundle is not None:
        yield from bundle_problems("spec.oauth2.caBundle", oauth2.ca_bundle)


def bundle_problems(field: str, pem: str) -> Iterator[SpecProblem]:
    """What is wrong with a CA bundle, wherever it is from."""
    try:
        check_bundle(pem)
    except UnusableBundle as error:
        yield SpecProblem(
            field,
            str(error),
            f"Give the certificates of the provider's authorities, each from BEGIN to END CERTIFICATE, in at most "
            f"{LARGEST_BUNDLE} characters.",
        )


def _url_problems(field: str, url: str, *, allow_insecure_http: bool) -> Iterator[SpecProblem]:
    found = endpoint_problem(url, allow_insecure_http=allow_insecure_http)
    if found is not None:
        yield SpecProblem(field, found.problem, found.remedy)


def _parameter_problems(oauth2: OAuth2) -> Iterator[SpecProblem]:
    for field, url in _written_endpoints(oauth2).items():
        for name in reserved_parameters_in(url, field):
            yield SpecProblem(
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
                yield SpecProblem(f"spec.oauth2.{field}", f"sets {name}", "Leave that out: the flow sets it itself.")
            if name == "resource" and oauth2.resource:
                yield SpecProblem(
                    f"spec.oauth2.{field}", "sets resource beside spec.oauth2.resource", "Use one of the two."
                )
    if oauth2.audience and "audience" in oauth2.authorize_parameters:
        yield SpecProblem(
            "spec.oauth2.authorizeParameters", "sets audience beside spec.oauth2.audience", "Use one of the two."
        )


def _client_problems(oauth2: OAuth2) -> Iterator[SpecProblem]:
    method = oauth2.effective_client_authentication()
    field = "spec.oauth2.clientAuthentication"
    if oauth2.client_secret_ref is not None and oauth2.private_key_ref is not None:
        yield SpecProblem(
            "spec.oauth2.privateKeyRef",
            "is set as well as clientSecretRef",
            "Set one of the two, not both: a client authenticates in one way.",
        )
    if method in WITH_A_SECRET and oauth2.client_secret_ref is None:
        yield SpecProblem(field, f"is {method} without a client secret", "Name one in clientSecretRef.")
    if method is ClientAuthentication.PRIVATE_KEY_JWT and oauth2.private_key_ref is None:
        yield SpecProblem(field, f"is {method} without a private key", "Name one in privateKeyRef.")
    if method in WITHOUT_A_SECRET and oauth2.client_secret_ref is not None:
        yield SpecProblem(field, f"is {method} beside a clientSecretRef", "Leave one of the two out.")
    if method in WITHOUT_A_SECRET and oauth2.private_key_ref is not None:
        yield SpecProblem(field, f"is {method} beside a privateKeyRef", "Leave one of the two out.")
    if method in WITHOUT_A_SECRET and oauth2.pkce is Pkce.NONE:
        yield SpecProblem(
            "spec.oauth2.pkce",
            "is none for a client without a secret",
            "Use S256, or name a secret in clientSecretRef.",
        )
    yield from _assertion_problems(oauth2.expanded())
    for place, ref in (("clientSecretRef", oauth2.client_secret_ref), ("privateKeyRef", oauth2.private_key_ref)):
        if ref is not None and ref.name.endswith(CREDENTIAL_SUFFIX):
            yield SpecProblem(
                f"spec.oauth2.{place}.name",
                "names a credential Secret",
                "Name the Secret that holds what the client authenticates with.",
            )
    key = oauth2.private_key_ref
    if key is not None and key.algorithm is not None and key.algorithm not in CLIENT_ASSERTION_ALGORITHMS:
        yield SpecProblem(
            "spec.oauth2.privateKeyRef.algorithm",
            "is not an algorithm for a private key",
            f"Use one of {', '.join(CLIENT_ASSERTION_ALGORITHMS)}, or leave it out.",
        )


def _assertion_problems(whole: OAuth2) -> Iterator[SpecProblem]:
    """Whoever reads the type relies on the audience: the issuer alone (draft-ietf-oauth-rfc7523bis)."""
    field, of_type = "spec.oauth2.assertionType", f"is {whole.assertion_type}"
    if whole.assertion_type is not AssertionType.CLIENT_AUTHENTICATION:
        return
    if whole.assertion_audience is AssertionAudience.TOKEN_URL:
        yield SpecProblem(
            field,
            f"{of_type} beside assertionAudience tokenURL",
            "Leave one of the two out: such an assertion is addressed to the issuer.",
        )
    if whole.issuer is None:
        yield SpecProblem(
            field, f"{of_type} without an issuer, to which it is addressed", "Set spec.oauth2.issuer, or use JWT."
        )


def _identity_problems(oauth2: OAuth2) -> Iterator[SpecProblem]:
    whole = oauth2.expanded()
    if oauth2.expected_identity and whole.issuer is None:
        yield SpecProblem(
            "spec.oauth2.expectedIdentity",
            "cannot be checked without an issuer, whose keys verify the id_token",
            "Set spec.oauth2.issuer.",
        )
    if oauth2.expected_identity and whole.nonce is False:
        yield SpecProblem(
            "spec.oauth2.nonce",
            "is false and expectedIdentity is set, but without a nonce an id_token may come from another authorization",
            "Leave one of the two out.",
        )
    if oauth2.expected_identity and "openid" not in whole.scopes:
        yield SpecProblem(
            "spec.oauth2.expectedIdentity",
            "cannot be checked without an id_token, which needs the scope openid",
            "Add openid to spec.oauth2.scopes.",
        )


SHORTEST_LIFETIME = timedelta(minutes=1)

_TOKENS = frozenset({"access_token", "refresh_token", "id_token"})


def _reply_problems(oauth2: OAuth2) -> Iterator[SpecProblem]:
    lifetimes = {
        "defaultLifetime": oauth2.default_lifetime,
        "maxLifetime": oauth2.max_lifetime,
        "grantLifetime": oauth2.grant_lifetime,
        "grantIdleLifetime": oauth2.grant_idle_lifetime,
    }
    for field, text in lifetimes.items():
        lifetime = parse_duration(text)
        if text is not None and (lifetime is None or lifetime < SHORTEST_LIFETIME):
            yield SpecProblem(
                f"spec.oauth2.{field}", "is not a duration of at least one minute", "Write it like 30m or 2h."
            )
    for rule in oauth2.error_rules:
        if (rule.path, rule.error, rule.description, rule.status) == (None, None, None, None):
            yield SpecProblem(
                "spec.oauth2.errorRules",
                "has an entry that matches every reply",
                "Set path, error, description or status.",
            )
    captured = oauth2.captured_fields
    # Apps mount what the template makes of captured fields, and must never see a refresh token.
    for field, names, reserved in (
        ("tokenResponse", captured.token_response, _TOKENS),
        ("callback", captured.callback, PROTOCOL_PARAMETERS),
    ):
        for name in names:
            if name.rpartition(".")[2] in reserved:
                yield SpecProblem(
                    f"spec.oauth2.capturedFields.{field}", f"names {name}", "Leave that out: it is not for apps."
                )
